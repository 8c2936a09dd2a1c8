"""Our own routes: `/ask`, `/explain`, `/answer`, `/search` and the explanations that were given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from rag.answer import Answer
from rag.pipeline import Progress
from rag.report import render_page, render_report
from rag.service.errors import RESPONSES, Failure
from rag.service.state import Service, service_of
from rag.service.texts import Text
from retrievers import Passage

router = APIRouter(tags=["answers"])

_QUESTION = "Which ferry carries cars to Suduroy?"
_TEXTS: list[JsonValue] = [
    {"title": "Smyril", "text": "The ferry Smyril carries cars between Tórshavn and Suduroy."},
    {"text": "Sheep graze on the steep slopes all year."},
]
_STREAM = {
    "text/event-stream": {
        "schema": {"type": "string"},
        "example": 'event: progress\ndata: {"stage": "attribute", "done": 512, "total": 1000}\n\n',
    }
}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answer as `Answer.to_dict` has it, with `id`; or events, if `stream`",
        "content": _STREAM,
    },
    404: RESPONSES[422] | {"description": "The service was started without an index"},
    **RESPONSES,
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    question: Text


class _Attributed(_Strict):
    budget: int | None = Field(default=None, ge=2, description="Coalitions to evaluate.")
    level: Literal["passage", "sentence", "word"] | None = Field(default=None, description="What to attribute to.")
    stream: bool = Field(default=False, description="Server-sent events of progress, and then the answer.")

    def changes(self) -> dict[str, Any]:
        """The settings that the request changes."""
        return {"attribution.budget": self.budget, "hierarchy.level": self.level}


class SentPassage(BaseModel):
    """A passage that comes with the request; without an id, its place is its name."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: Text
    title: Text = ""
    id: Text | None = None


class _WithPassages(_Strict):
    passages: list[SentPassage]

    def as_passages(self) -> list[Passage]:
        """The passages; those without an id are called "1", "2" and so on."""
        numbered = enumerate(self.passages, 1)
        return [Passage(str(place) if sent.id is None else sent.id, sent.text, sent.title) for place, sent in numbered]

    def check(self, service: Service) -> None:
        """Raise a `Failure` if a limit is exceeded."""
        service.check_documents(len(self.passages))
        service.check_texts(self.question, *(text for sent in self.passages for text in (sent.text, sent.title)))


class Ask(_Attributed):
    """A question to the index."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"question": _QUESTION, "k": 10, "stream": False}]})

    k: int | None = Field(default=None, ge=1, description="Passages to retrieve.")


class Explain(_Attributed, _WithPassages):
    """A question with passages."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"question": _QUESTION, "passages": _TEXTS}]})


class Read(_WithPassages):
    """A question with passages, to be answered without attribution."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"question": _QUESTION, "passages": _TEXTS}]})


class Search(_Strict):
    """A question to the retriever."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"question": _QUESTION, "k": 3}]})

    k: int | None = Field(default=None, ge=1)


class Found(BaseModel):
    """A retrieved passage."""

    rank: int
    id: str
    score: float
    title: str
    text: str


class SearchResults(BaseModel):
    """The retriever's passages, best first."""

    question: str
    passages: list[Found]


class ReadAnswer(BaseModel):
    """What the reader answers; "" is "no answer"."""

    question: str
    answer: str


@router.post("/ask", responses=_ANSWERS, response_model=None)
async def ask(request: Request, asked: Ask) -> Response:
    """Answer from the index, and say which passages the answer comes from."""
    service = service_of(request)
    _check_index(service)
    service.check_texts(asked.question)
    _check_count(service, "k", asked.k, service.settings.max_documents)
    changes = asked.changes() | {"retriever.passages": asked.k}
    return await _attributed(
        service, request, asked, lambda progress: service.engine.ask(asked.question, changes, progress)
    )


@router.post("/explain", responses=_ANSWERS, response_model=None)
async def explain(request: Request, asked: Explain) -> Response:
    """Answer from passages that come with the request, and attribute the answer to them."""
    service = service_of(request)
    asked.check(service)
    passages, changes = asked.as_passages(), asked.changes()
    service.metrics.documents.inc(len(passages))
    request.state.log.update(documents=len(passages))
    return await _attributed(
        service, request, asked, lambda progress: service.engine.explain(asked.question, passages, changes, progress)
    )


@router.post("/answer", responses=RESPONSES)
async def answer(request: Request, asked: Read) -> ReadAnswer:
    """Answer from passages that come with the request, without attribution."""
    service = service_of(request)
    asked.check(service)
    passages = asked.as_passages()
    service.metrics.documents.inc(len(passages))
    request.state.log.update(documents=len(passages), text=asked.question)
    text = await service.compute(request, lambda: service.engine.answer(asked.question, passages))
    return ReadAnswer(question=asked.question, answer=text)


@router.post("/search", responses={404: _ANSWERS[404], **RESPONSES})
async def search(request: Request, asked: Search) -> SearchResults:
    """Retrieve passages only."""
    service = service_of(request)
    _check_index(service)
    service.check_texts(asked.question)
    _check_count(service, "k", asked.k, service.settings.max_documents)
    request.state.log.update(text=asked.question)
    hits = await service.compute(request, lambda: service.engine.search(asked.question, asked.k))
    found = [
        Found(rank=rank, id=hit.passage.id, score=hit.score, title=hit.passage.title, text=hit.passage.text)
        for rank, hit in enumerate(hits, 1)
    ]
    return SearchResults(question=asked.question, passages=found)


_SAVED: dict[int | str, dict[str, Any]] = {
    401: RESPONSES[401],
    404: RESPONSES[422] | {"description": "It is not, or no longer, kept"},
}


@router.get("/explanations/{name}", responses=_SAVED, response_model=None)
def saved(request: Request, name: str) -> Response:
    """An explanation that was given before, as `Answer.to_dict` has it."""
    return JSONResponse({"id": name, **_saved(request, name).to_dict()})


@router.get("/explanations/{name}/page", responses=_SAVED, response_class=HTMLResponse)
def saved_page(request: Request, name: str) -> HTMLResponse:
    """The same as a page that needs nothing else."""
    return HTMLResponse(render_page(_saved(request, name)))


@router.get("/explanations/{name}/report", responses=_SAVED, response_class=HTMLResponse)
def saved_report(request: Request, name: str) -> HTMLResponse:
    """What stands on that page, without its frame."""
    return HTMLResponse(render_report(_saved(request, name)))


async def _attributed(
    service: Service, request: Request, asked: _Attributed, work: Callable[[Progress], Answer]
) -> Response:
    _check_count(service, "budget", asked.budget, service.settings.max_budget)
    request.state.log.update(text=asked.question)

    def kept(progress: Progress) -> dict[str, Any]:
        answer = work(progress)
        return {"id": service.saved.add(answer), **answer.to_dict()}

    if asked.stream:
        return service.stream(request, kept)
    return JSONResponse(await service.compute(request, lambda: kept(lambda *_: None)))


def _saved(request: Request, name: str) -> Answer:
    try:
        return service_of(request).saved.get(name)
    except KeyError:
        raise Failure(404, "this explanation is not, or no longer, kept") from None
    except ValueError as error:
        raise Failure(404, f"this explanation cannot be read any more: {error}") from None


def _check_index(service: Service) -> None:
    if service.engine.pipeline.retriever is None:
        raise Failure(404, "this service has no index; start it with --index or --corpus, or send passages to /explain")


def _check_count(service: Service, name: str, value: int | None, most: int) -> None:
    if value is not None and value > most:
        raise Failure(422, f"{name}: {value} is more than this service's {most}")
