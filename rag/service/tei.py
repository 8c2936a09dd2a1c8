"""`/rerank` and `/info` by the protocol of text-embeddings-inference."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from rag.service.cohere import rerank
from rag.service.errors import RESPONSES, Failure
from rag.service.state import service_of
from rag.service.texts import Text

router = APIRouter(tags=["rerank protocols"])


class RerankRequest(BaseModel):
    """The request; `truncate` and `truncation_direction` have no effect: long texts are always cut at their end."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"query": "Which ferry carries cars?", "texts": ["Sheep graze.", "The ferry Smyril carries cars."]}
            ]
        }
    )

    query: Text
    texts: list[Text]
    raw_scores: bool = Field(
        default=False, description="Whether to return the reranking scores as they are, not mapped to [0, 1]."
    )
    return_text: bool = False
    truncate: bool | None = None
    truncation_direction: str | None = None


class Rank(BaseModel):
    """A text by its place in the request, from 0; the score is in [0, 1] unless `raw_scores` is set."""

    index: int
    score: float
    text: str | None = None


@router.post("/rerank", responses=RESPONSES, response_model_exclude_none=True)
async def rerank_texts(request: Request, body: RerankRequest) -> list[Rank]:
    """Rerank texts by what they contribute to the answer to the query."""
    if not body.texts:
        raise Failure(400, "texts is empty; send at least one")
    ranked = await rerank(service_of(request), request, body.query, body.texts)
    return [
        Rank(
            index=index,
            score=score if body.raw_scores else relevance,
            text=body.texts[index] if body.return_text else None,
        )
        for index, relevance, score in ranked
    ]


@router.get("/info", responses={401: RESPONSES[401]})
async def info(request: Request) -> dict[str, Any]:
    """The model, its kind and its limits, which clients ask for before they send texts."""
    service = service_of(request)
    pipeline = service.engine.pipeline
    return {
        "model_id": pipeline.reader.name,
        "model_sha": None,
        "model_dtype": pipeline.settings.reader.resolved().dtype,
        "model_type": {"reranker": {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}},
        "max_concurrent_requests": 1 + service.settings.waiting,
        "max_input_length": pipeline.settings.reader.max_block_tokens,
        "max_client_batch_size": service.settings.max_documents,
        "version": version("ragshap"),
    }
