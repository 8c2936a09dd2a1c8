"""Scores of documents for a query, by the protocols of others' clients; for the bodies see `rag.service.protocols`."""

from __future__ import annotations

import secrets
import time
from collections.abc import Generator
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Request, Response

from rag.rerank import Reranking
from rag.service.errors import RESPONSES, Failure
from rag.service.operations import log_odds
from rag.service.protocols import (
    MODEL,
    Account,
    Document,
    EitherRequest,
    Meta,
    Parts,
    Rank,
    Reranked,
    RerankRequest,
    Result,
    Score,
    Scored,
    ScoreRequest,
    Usage,
)
from rag.service.state import Service, service_of

router = APIRouter(tags=["scores"])

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
    reranking = await _ranked(request, response, body.query, body.documents())
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
    wanted, from_infinity = body.wants_documents(), body.raw_scores is not None

    def document(text: str) -> Document | str:
        return text if from_infinity else Document(text=text)

    return Reranked(
        id=_id(),
        object="rerank" if from_infinity else "list",
        model=body.model or MODEL,
        results=[
            Result(
                index=ranked.rank - 1,
                relevance_score=log_odds(ranked.score) if body.raw_scores else ranked.score,
                document=document(ranked.passage.text) if wanted else None,
            )
            for ranked in passages
        ],
        meta=Meta(
            api_version={"version": api},
            billed_units={"search_units": 1},
            warnings=reranking.warnings or None,
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


def _warn(response: Response, warnings: list[str]) -> None:
    """Put the warnings into headers, for the protocols that have no other place."""
    for warning in dict.fromkeys(warnings):
        response.headers.append("X-Warning", warning.encode("ascii", "replace").decode())


def _usage(tokens: int) -> Usage:
    return Usage(total_tokens=tokens, prompt_tokens=tokens)


def _id() -> str:
    return secrets.token_hex(12)
