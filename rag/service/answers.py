"""Our own routes: `/ask`, `/explain`, `/answer`, `/search` and the explanations that were given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from rag.answer import Answer
from rag.progress import StageProgress
from rag.report import render_page, render_report
from rag.service.errors import RESPONSES, Failure
from rag.service.state import Service, service_of
from rag.service.texts import SearchResults, Sent, SentPassages, Spans, Text, numbered, spans_of
from retrievers import Passage

router = APIRouter(tags=["answers"])

_QUESTION = "Which ferry carries cars to Suduroy?"
_TEXTS: list[JsonValue] = [
    {"title": "Smyril", "text": "The ferry Smyril carries cars between Tórshavn and Suduroy."},
    "Sheep graze on the steep slopes all year.",
]
_STREAM = {
    "text/event-stream": {
        "schema": {"type": "string"},
        "example": 'event: progress\ndata: {"stage": "attribute", "done": 512, "total": 1000}\n\n',
    }
}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answer as `Answer.to_dict` writes it, with its `id`; with `stream`, server-sent events",
        "content": _STREAM,
    },
    404: RESPONSES[422] | {"description": "The service was started without an index"},
    **RESPONSES,
}


class _Request(Sent):
    question: Text


class _Attributed(_Request):
    budget: int | None = Field(
        default=None, ge=2, description="Coalitions to evaluate at most; by default what the service's settings say."
    )
    level: Literal["passage", "sentence", "word"] | None = Field(
        default=None, description="What to attribute to; by default what the service's settings say."
    )
    stream: bool = Field(
        default=False,
        description="Whether to send server-sent events: `progress` any number of times, then one `answer` or `error`.",
    )

    def changes(self) -> dict[str, Any]:
        """The settings that the request changes."""
        return {"attribution.budget": self.budget, "hierarchy.level": self.level}


class _WithPassages(_Request):
    model_config = ConfigDict(json_schema_extra={"examples": [{"question": _QUESTION, "passages": _TEXTS}]})

    passages: SentPassages = Field(description="Passages to answer from: objects, or plain strings.")


class Ask(_Attributed):
    """A question to answer from the index."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"question": _QUESTION, "k": 10, "stream": False}]})

    k: int | None = Field(default=None, ge=1, description="Passages to retrieve; by default what the settings say.")


class Explain(_Attributed, _WithPassages):
    """A question with passages to answer it from, and to attribute the reader's answer or a given one to."""

    answer: Text | None = Field(
        default=None,
        description="An answer to explain sentence by sentence; by default the reader answers.",
        examples=["The ferry Smyril carries cars to Suduroy. Sheep graze on the slopes."],
    )
    spans: Spans | None = Field(
        default=None,
        description="Parts of the answer to explain in place of its sentences: words that it holds once, or characters "
        "[start, end].",
        examples=[["carries cars to Suduroy", [41, 46]]],
    )


class Read(_WithPassages):
    """A question with passages to answer it from, without attribution."""


class Search(_Request):
    """A question to retrieve passages for."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"question": _QUESTION, "k": 3}]})

    k: int | None = Field(default=None, ge=1, description="Passages to retrieve; by default what the settings say.")


class ReadAnswer(BaseModel):
    """What a reader answers; "" means "no answer"."""

    question: str
    answer: str
    reader: str = Field(description="The reader that is attributed, also where another one gives final answers.")


@router.post("/ask", responses=_ANSWERS, response_model=None)
async def ask(request: Request, body: Ask) -> Response:
    """Answer from the index, and say which passages the answer comes from."""
    service = service_of(request)
    _check_retrieval(service, body.question, body.k, service.settings.attribute)
    changes = body.changes() | {"retriever.passages": body.k}
    return await _attributed(
        service, request, body, lambda progress: service.engine.ask(body.question, changes, progress)
    )


@router.post("/explain", responses=_ANSWERS, response_model=None)
async def explain(request: Request, body: Explain) -> Response:
    """Answer from passages that come with the request, and attribute the answer to them."""
    service = service_of(request)
    passages, changes = _taken(service, request, body), body.changes()
    return await _attributed(
        service,
        request,
        body,
        lambda progress: service.engine.explain(
            body.question, passages, changes, progress, body.answer, spans_of(body.spans)
        ),
    )


@router.post("/answer", responses=RESPONSES)
async def answer(request: Request, body: Read) -> ReadAnswer:
    """What the attributed reader answers from passages that come with the request, without attribution."""
    service = service_of(request)
    passages = _taken(service, request, body)
    text = await service.compute(request, lambda: service.engine.answer(body.question, passages))
    return ReadAnswer(question=body.question, answer=text, reader=service.engine.pipeline.reader.name)


@router.post("/search", responses={404: _ANSWERS[404], **RESPONSES})
async def search(request: Request, body: Search) -> SearchResults:
    """Retrieve passages without answering."""
    service = service_of(request)
    _check_retrieval(service, body.question, body.k, service.settings.max_documents)
    request.state.log.update(text=body.question)
    hits = await service.compute(request, lambda: service.engine.search(body.question, body.k))
    return SearchResults.of(body.question, hits)


_SAVED: dict[int | str, dict[str, Any]] = {
    401: RESPONSES[401],
    404: RESPONSES[422] | {"description": "The explanation is not, or no longer, kept"},
}


@router.get("/explanations/{name}", responses=_SAVED, response_model=None)
def saved(request: Request, name: str) -> Response:
    """An explanation that was given before, as `Answer.to_dict` writes it."""
    return JSONResponse({"id": name, **_saved(request, name).to_dict()})


@router.get("/explanations/{name}/page", responses=_SAVED, response_class=HTMLResponse)
def saved_page(request: Request, name: str) -> HTMLResponse:
    """The explanation as one self-contained HTML page."""
    return HTMLResponse(render_page(_saved(request, name)))


@router.get("/explanations/{name}/report", responses=_SAVED, response_class=HTMLResponse)
def saved_report(request: Request, name: str) -> HTMLResponse:
    """The content of that page, to be put into another page."""
    return HTMLResponse(render_report(_saved(request, name)))


async def _attributed(
    service: Service, request: Request, body: _Attributed, work: Callable[[StageProgress], Answer]
) -> Response:
    _check_count("budget", body.budget, service.settings.max_budget)
    request.state.log.update(text=body.question)

    def kept(progress: StageProgress) -> dict[str, Any]:
        answer = work(progress)
        return {"id": service.saved.add(answer), **answer.to_dict()}

    if body.stream:
        return service.stream(request, kept)
    return JSONResponse(await service.compute(request, lambda: kept(lambda *_: None)))


def _saved(request: Request, name: str) -> Answer:
    try:
        return service_of(request).saved.get(name)
    except KeyError:
        raise Failure(404, "this explanation is not, or no longer, kept") from None
    except ValueError as error:
        raise Failure(404, f"this explanation cannot be read any more: {error}") from None


def _taken(service: Service, request: Request, body: _WithPassages) -> list[Passage]:
    """The passages of a request, counted; raises a `Failure` if a limit is exceeded."""
    passages = numbered(body.passages)
    given = (body.answer, *(body.spans or ())) if isinstance(body, Explain) else ()
    texts = (
        *(one for one in given if isinstance(one, str)),
        *(text for passage in passages for text in (passage.text, passage.title)),
    )
    _check_count("passages", len(passages), service.settings.attribute, 413)
    service.take(request, body.question, len(passages), texts)
    return passages


def _check_retrieval(service: Service, question: str, k: int | None, most: int) -> None:
    """Raise a `Failure` if there is no index or a limit is exceeded."""
    if service.engine.pipeline.retriever is None:
        raise Failure(404, "this service has no index; start it with --index or --corpus, or send passages to /explain")
    service.check_texts(question)
    _check_count("k", k, most)


def _check_count(name: str, value: int | None, most: int, status: int = 422) -> None:
    if value is not None and value > most:
        raise Failure(status, f"{name}: {value:,} is more than this service's {most:,}")
