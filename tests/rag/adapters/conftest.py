"""The embedded reader over the example corpus, with a budget that makes few passages exact."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag import Pipeline, Reranker, load_settings
from retrievers import BM25Retriever, Hit, load_corpus

CORPUS = str(Path(__file__).parents[3] / "examples" / "islands")
OVERRIDES = ["attribution.budget=64", "attribution.minimal_sets=0", "rerank.score=value", "threads=1"]


@pytest.fixture(scope="session")
def question() -> str:
    return "How high is Hvannadalshnjúkur?"


@pytest.fixture(scope="session")
def reranker() -> Reranker:
    return Reranker.from_config(overrides=OVERRIDES)


@pytest.fixture(scope="session")
def retriever() -> BM25Retriever:
    retriever = BM25Retriever()
    retriever.add(load_corpus(CORPUS))
    return retriever


@pytest.fixture(scope="session")
def hits(retriever, question) -> list[Hit]:
    """The passage that decides is not the first."""
    return retriever.search(question, 4)[::-1]


@pytest.fixture(scope="session")
def expected(reranker, hits, question) -> dict[str, dict]:
    """By passage id in attributed order, what must be in the metadata: worked out by the pipeline."""
    answer = Pipeline(None, reranker.reader, load_settings(overrides=OVERRIDES)).explain(question, hits)
    assert answer.full_text == "2,110 metres"
    graded = {ranked.passage.id: ranked for ranked in reranker.attribute(question, hits).passages}
    assert [e.passage.id for e in answer.evidence] == list(graded)
    return {
        e.passage.id: {
            "answer": answer.full_text,
            "reader": "embedded",
            "value": e.value,
            "error": e.error,
            "score": graded[e.passage.id].score,
            "contribution": e.value,
            "relevance": graded[e.passage.id].relevance,
            "rank_before": e.rank,
            "warnings": [],
        }
        for e in answer.evidence
    }
