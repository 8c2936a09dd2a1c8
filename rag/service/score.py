"""Scores of documents for a query, in the bodies that others' clients send and read.

There are three bodies: that of Cohere, Jina, vLLM and their kin (`documents`), that of text-embeddings-inference
(`texts`), and vLLM's for pairs of texts (`text_1`, `text_2`). `POST /rerank` takes the first two and tells them by
their fields.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Generator
from importlib.metadata import version
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, JsonValue, Tag

from rag.rerank import Reranking
from rag.service.errors import RESPONSES, Failure
from rag.service.operations import log_odds
from rag.service.state import Service, service_of
from rag.service.texts import Text, encodable

router = APIRouter(tags=["scores"])

MODEL = "ragshap"
_JINA_FIELDS = {"truncation", "max_doc_length", "return_embeddings"}
_QUERY = "Which ferry carries cars to Suduroy?"
_DOCUMENTS: list[JsonValue] = [
    "Sheep graze on the steep slopes.",
    "The ferry Smyril carries cars between Tórshavn and Suduroy.",
]


def _text_of(sent: Any) -> Any:
    """The text of an object, as Jina's clients may send a query."""
    return sent["text"] if isinstance(sent, dict) and "text" in sent else sent


Query = Annotated[Text, BeforeValidator(_text_of, json_schema_input_type=str)]


class _Scoring(BaseModel):
    model_config = ConfigDict(extra="allow")

    model: Text | None = Field(default=None, description="Any name; the service has one reader.")


class RerankRequest(_Scoring):
    """A request to rerank; fields of the protocols that are not listed here are accepted and have no effect.

    Without `return_documents`, the texts are returned to Jina's clients only, because that is Jina's default. A client
    is taken for one of Jina's if its model is called "jina-…", or if it sends `truncation`, `max_doc_length` or
    `return_embeddings`.
    """

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"model": MODEL, "query": _QUERY, "documents": _DOCUMENTS, "top_n": 1}]}
    )

    query: Query
    documents: list[Text | dict[str, JsonValue]] = Field(
        min_length=1, description='Texts, or objects with a `text`, such as {"text": "…"}.'
    )
    top_n: int | None = Field(default=None, ge=0, description="How many to return; 0 is all.")
    rank_fields: list[str] | None = Field(default=None, description="Fields of the objects to read; by default `text`.")
    return_documents: bool | None = None

    def texts(self) -> list[str]:
        """The documents as texts."""
        return [_text(index, document, self.rank_fields) for index, document in enumerate(self.documents)]

    def wants_documents(self) -> bool:
        """Whether the response holds the texts."""
        if self.return_documents is not None:
            return self.return_documents
        return (self.model or "").startswith("jina-") or bool(_JINA_FIELDS & set(self.model_extra or ()))


class TeiRequest(_Scoring):
    """The request of text-embeddings-inference; other fields of its protocol have no effect."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"query": _QUERY, "texts": _DOCUMENTS}]})

    query: Text
    texts: list[Text]
    raw_scores: bool = Field(default=False, description="Whether to return the scores' log-odds, which are unbounded.")
    return_text: bool = False


def _kind(sent: Any) -> str:
    texts = isinstance(sent, TeiRequest) or (isinstance(sent, dict) and "texts" in sent and "documents" not in sent)
    return "by texts" if texts else "by documents"


EitherRequest = Annotated[
    Annotated[RerankRequest, Tag("by documents")] | Annotated[TeiRequest, Tag("by texts")], Discriminator(_kind)
]
"""The body of `/rerank`, told by its fields."""


class ScoreRequest(_Scoring):
    """vLLM's request: one text with one or more others, or as many as there are others, in pairs."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"text_1": _QUERY, "text_2": _DOCUMENTS}]})

    text_1: Text | list[Text] = Field(description="The query, or one query for each document.")
    text_2: Text | list[Text] = Field(description="The documents.")

    def pairs(self) -> list[tuple[str, str]]:
        """Queries with documents."""
        queries, documents = ([text] if isinstance(text, str) else text for text in (self.text_1, self.text_2))
        if not documents:
            raise Failure(422, "text_2 is empty; expected at least one document")
        if len(queries) not in (1, len(documents)):
            message = f"text_1 holds {len(queries)} texts and text_2 {len(documents)}; expected one, or as many"
            raise Failure(422, message)
        return list(zip(queries * (len(documents) if len(queries) == 1 else 1), documents, strict=True))


class Document(BaseModel):
    """A document's text."""

    text: str


class Result(BaseModel):
    """A document by its place in the request, from 0, with its graded score; see `rag.grades`."""

    index: int
    relevance_score: float = Field(ge=0, le=1)
    document: Document | None = None


class Parts(BaseModel):
    """What a document's score is made of; a document that was not attributed has no contribution, value and error."""

    index: int
    contribution: float | None = Field(default=None, description="Its `rerank.score`.")
    relevance: float | None = Field(default=None, description="How relevant the reader finds it, if it says so.")
    value: float | None = Field(default=None, description="Its Shapley value for the answer.")
    error: float | None = Field(default=None, description="The standard error of that.")


class Account(BaseModel):
    """The answer that documents are attributed, "" being no answer, and how many were."""

    answer: str
    attributed: int
    documents: list[Parts]


class Meta(BaseModel):
    """Cohere's account of the call, with `warnings` if there are any, and ours."""

    api_version: dict[str, str]
    billed_units: dict[str, float]
    warnings: list[str] | None = None
    ragshap: Account


class Usage(BaseModel):
    """How many tokens were read; the query counts with each document."""

    total_tokens: int
    prompt_tokens: int


class Reranked(BaseModel):
    """The response to Cohere, Jina, vLLM and their kin, the best document first."""

    id: str
    object: str = "list"
    model: str
    results: list[Result]
    meta: Meta
    usage: Usage


class Rank(BaseModel):
    """The response to TEI's clients holds one for each text, by its place in the request, the best first."""

    index: int
    score: float
    text: str | None = None


class Score(BaseModel):
    """The score of a pair, by its place in the request."""

    index: int
    object: str = "score"
    score: float


class Scored(BaseModel):
    """vLLM's response."""

    id: str
    object: str = "list"
    created: int
    model: str
    data: list[Score]
    usage: Usage


_OPTIONS: dict[str, Any] = {"responses": RESPONSES, "response_model_exclude_none": True}


@router.post("/v1/rerank", **_OPTIONS)
async def rerank_v1(request: Request, response: Response, body: RerankRequest) -> Reranked:
    """Rerank documents for clients of Cohere's version 1, Jina and vLLM."""
    return await _reranked(request, response, body, "1")


@router.post("/v2/rerank", **_OPTIONS)
async def rerank_v2(request: Request, response: Response, body: RerankRequest) -> Reranked:
    """Rerank documents for clients of Cohere's version 2."""
    return await _reranked(request, response, body, "2")


@router.post("/rerank", **_OPTIONS)
async def rerank(request: Request, response: Response, body: EitherRequest) -> Reranked | list[Rank]:
    """Rerank for clients of vLLM, llama.cpp and Infinity (`documents`), and of text-embeddings-inference (`texts`)."""
    if isinstance(body, RerankRequest):
        return await _reranked(request, response, body, "1")
    if not body.texts:
        raise Failure(400, "texts is empty; expected at least one")
    reranking = await _ranked(request, response, body.query, body.texts)
    return [
        Rank(
            index=ranked.rank - 1,
            score=log_odds(ranked.score) if body.raw_scores else ranked.score,
            text=ranked.passage.text if body.return_text else None,
        )
        for ranked in reranking.passages
    ]


@router.post("/v1/score", **_OPTIONS)
@router.post("/score", **_OPTIONS)
async def score(request: Request, response: Response, body: ScoreRequest) -> Scored:
    """Score pairs of texts for clients of vLLM; documents with the same query are scored against one another."""
    service, pairs = service_of(request), body.pairs()
    places: dict[str, list[int]] = {}
    for place, (query, _) in enumerate(pairs):
        places.setdefault(query, []).append(place)
    for query in places:
        service.check_texts(query)
    service.take(request, pairs[0][0], len(pairs), (document for _, document in pairs))

    def work() -> Generator[None, None, list[Reranking]]:
        found = []
        for query, own in places.items():
            found.append((yield from service.engine.rerank(query, [pairs[place][1] for place in own])))
        return found

    found = await service.compute_steps(request, work)
    data = [
        Score(index=own[ranked.rank - 1], score=ranked.score)
        for own, reranking in zip(places.values(), found, strict=True)
        for ranked in reranking.passages
    ]
    _warn(response, [warning for reranking in found for warning in reranking.warnings])
    return Scored(
        id=_id(),
        created=int(time.time()),
        model=body.model or MODEL,
        data=sorted(data, key=lambda score: score.index),
        usage=_usage(sum(reranking.tokens for reranking in found)),
    )


@router.get("/v1/models", responses={401: RESPONSES[401]})
async def models() -> dict[str, Any]:
    """The one model, for clients that ask which there are."""
    return {"object": "list", "data": [{"id": MODEL, "object": "model", "created": 0, "owned_by": MODEL}]}


@router.get("/info", responses={401: RESPONSES[401]})
async def info(request: Request) -> dict[str, Any]:
    """The model, its kind and its limits, which TEI's clients ask for before they send texts."""
    service = service_of(request)
    pipeline = service.engine.pipeline
    return {
        "model_id": pipeline.reader.name,
        "model_sha": None,
        "model_dtype": pipeline.settings.reader.resolved().dtype,
        "model_type": {"reranker": {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}},
        "max_concurrent_requests": 1 + service.settings.waiting,
        "max_input_length": pipeline.settings.reader.max_passage_tokens,
        "max_client_batch_size": service.settings.max_documents,
        "version": version("ragshap"),
    }


async def _reranked(request: Request, response: Response, body: RerankRequest, api: str) -> Reranked:
    reranking = await _ranked(request, response, body.query, body.texts())
    passages = reranking.passages[: body.top_n or None]
    wanted = body.wants_documents()
    return Reranked(
        id=_id(),
        model=body.model or MODEL,
        results=[
            Result(
                index=ranked.rank - 1,
                relevance_score=ranked.score,
                document=Document(text=ranked.passage.text) if wanted else None,
            )
            for ranked in passages
        ],
        meta=Meta(
            api_version={"version": api},
            billed_units={"search_units": 1},
            warnings=list(reranking.warnings) or None,
            ragshap=Account(
                answer=reranking.answer,
                attributed=reranking.attributed,
                documents=[
                    Parts(
                        index=ranked.rank - 1,
                        contribution=ranked.contribution,
                        relevance=ranked.relevance,
                        value=ranked.value,
                        error=ranked.error,
                    )
                    for ranked in passages
                ],
            ),
        ),
        usage=_usage(reranking.tokens),
    )


async def _ranked(request: Request, response: Response, query: str, documents: list[str]) -> Reranking:
    """What all bodies ask for: check the limits, then have the documents ranked."""
    service: Service = service_of(request)
    service.take(request, query, len(documents), documents)
    reranking = await service.compute_steps(request, lambda: service.engine.rerank(query, documents))
    _warn(response, reranking.warnings)
    return reranking


def _warn(response: Response, warnings: list[str] | tuple[str, ...]) -> None:
    """Put the warnings into headers, for the protocols that have no other place."""
    for warning in dict.fromkeys(warnings):
        response.headers.append("X-Warning", warning.encode("ascii", "replace").decode())


def _text(index: int, document: str | dict[str, Any], fields: list[str] | None) -> str:
    if isinstance(document, str):
        return document
    scalars = (document.get(name) for name in fields or ["text"])
    found = [str(value) for value in scalars if isinstance(value, str | int | float)]
    if not found:
        wanted = " or ".join(fields or ["text"])
        raise Failure(422, f"documents[{index}] has no {wanted}; only text can be read")
    try:
        return encodable("\n".join(found))
    except ValueError as error:
        raise Failure(422, f"documents[{index}]: {error}") from None


def _usage(tokens: int) -> Usage:
    return Usage(total_tokens=tokens, prompt_tokens=tokens)


def _id() -> str:
    return secrets.token_hex(12)
