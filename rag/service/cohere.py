"""`/v2/rerank` by Cohere's protocol, and `/v1/rerank`, a path that Cohere and Jina share."""

from __future__ import annotations

import secrets
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from rag.service.errors import RESPONSES, Failure
from rag.service.operations import Ranked
from rag.service.state import Service, service_of
from rag.service.texts import Text

router = APIRouter(tags=["rerank protocols"])

_JINA_FIELDS = {"truncation", "max_doc_length", "return_embeddings"}
_QUERY = "Which ferry carries cars to Suduroy?"
_DOCUMENTS: list[JsonValue] = [
    "Sheep graze on the steep slopes.",
    "The ferry Smyril carries cars between Tórshavn and Suduroy.",
]


class RerankV2(BaseModel):
    """Cohere's request, version 2; `max_tokens_per_doc` and `priority` are accepted and have no effect."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"model": "ragshap", "query": _QUERY, "documents": _DOCUMENTS, "top_n": 1}]}
    )

    model: Text = Field(description="Any name; the service has one reader.")
    query: Text
    documents: list[Text] = Field(min_length=1)
    top_n: int | None = Field(default=None, ge=1)
    max_tokens_per_doc: int | None = None
    priority: int | None = None


class RerankV1(BaseModel):
    """Cohere's request, version 1, or Jina's; further fields of theirs are accepted and have no effect.

    Without `return_documents`, the texts are returned to Jina's clients only, because that is Jina's default. A client
    is taken for one of Jina's if its model is called "jina-…", or if it sends `truncation`, `max_doc_length` or
    `return_embeddings`.
    """

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={"examples": [{"query": _QUERY, "documents": _DOCUMENTS, "return_documents": True}]},
    )

    model: Text | None = Field(default=None, description="Any name; the service has one reader.")
    query: Text
    documents: list[Text | dict[str, Text | int | float | bool | None]] = Field(
        min_length=1, description='Texts, or objects with a `text`, such as {"text": "…"}.'
    )
    top_n: int | None = Field(default=None, ge=1)
    rank_fields: list[str] | None = Field(default=None, description="Fields of the objects to read; by default `text`.")
    return_documents: bool | None = None

    def is_jina(self) -> bool:
        """Whether the request comes from one of Jina's clients."""
        return (self.model or "").startswith("jina-") or bool(_JINA_FIELDS & set(self.model_extra or ()))


class Document(BaseModel):
    """A document's text."""

    text: str


class Result(BaseModel):
    """A document by its place in the request, from 0.

    By default, a relevance of 0 means that the document moves no answer. With `rerank.score=value` or
    `attribution.utility=likelihood` in the service's settings, that is 0.5, and less means that it pulls away.
    """

    index: int
    relevance_score: float = Field(ge=0, le=1)
    document: Document | None = None


class Meta(BaseModel):
    """Cohere's account of the call."""

    api_version: dict[str, str]
    billed_units: dict[str, float]


class Usage(BaseModel):
    """Jina's account of the call; tokens are not counted."""

    total_tokens: int = 0
    prompt_tokens: int = 0


class RerankedV2(BaseModel):
    """Cohere's answer, version 2."""

    id: str
    results: list[Result]
    meta: Meta


class RerankedV1(RerankedV2):
    """Cohere's answer, version 1, with the fields that Jina's adds."""

    model: str
    object: str = "list"
    usage: Usage = Usage()


@router.post("/v2/rerank", responses=RESPONSES, response_model_exclude_none=True)
async def rerank_v2(request: Request, body: RerankV2) -> RerankedV2:
    """Rerank documents by what they contribute to the answer to the query."""
    ranked = await rerank(service_of(request), request, body.query, body.documents)
    return RerankedV2(id=_id(), results=_results(ranked, body.top_n, None), meta=_meta("2"))


@router.post("/v1/rerank", responses=RESPONSES, response_model_exclude_none=True)
async def rerank_v1(request: Request, body: RerankV1) -> RerankedV1:
    """Rerank documents for clients of Cohere's version 1 and of Jina."""
    texts = [_text(index, document, body.rank_fields) for index, document in enumerate(body.documents)]
    ranked = await rerank(service_of(request), request, body.query, texts)
    wanted = body.is_jina() if body.return_documents is None else body.return_documents
    results = _results(ranked, body.top_n, texts if wanted else None)
    return RerankedV1(id=_id(), results=results, meta=_meta("1"), model=body.model or "ragshap")


async def rerank(service: Service, request: Request, query: str, documents: list[str]) -> list[Ranked]:
    """What all protocols do: check the limits, then have the documents ranked."""
    service.take(request, query, len(documents), documents)
    return await service.compute(request, lambda: service.engine.rerank(query, documents))


def _text(index: int, document: str | dict[str, Any], fields: list[str] | None) -> str:
    if isinstance(document, str):
        return document
    found = [str(document[name]) for name in fields or ["text"] if document.get(name) is not None]
    if not found:
        raise Failure(422, f"documents.{index}: there is no {' or '.join(fields or ['text'])}; only text can be read")
    return "\n".join(found)


def _results(ranked: list[Ranked], top_n: int | None, texts: list[str] | None) -> list[Result]:
    return [
        Result(index=index, relevance_score=score, document=None if texts is None else Document(text=texts[index]))
        for index, score, _ in ranked[:top_n]
    ]


def _meta(version: str) -> Meta:
    return Meta(api_version={"version": version}, billed_units={"search_units": 1})


def _id() -> str:
    return secrets.token_hex(12)
