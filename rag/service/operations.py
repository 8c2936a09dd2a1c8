"""What the service computes, free of HTTP; it runs in the worker's thread."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rag.answer import Answer
from rag.pipeline import Pipeline, Progress
from rag.rerank import Reranker
from rag.scores import FUSION
from rag.settings import Settings
from retrievers import Hit, Passage


class Ranked(NamedTuple):
    """A document of a rerank request: its place there, its relevance in [0, 1], and the score behind that."""

    place: int
    relevance: float
    score: float


class Engine:
    """Answers, explains, searches and reranks with one pipeline.

    Args:
        pipeline: may be without retriever; `ask` and `search` then raise `ValueError`.
        rerank_budget: coalitions that a rerank request evaluates, or four for each document if that is more.
    """

    def __init__(self, pipeline: Pipeline, rerank_budget: int = 256):
        self.pipeline = pipeline
        self.rerank_budget = rerank_budget

    def rerank(self, query: str, documents: Sequence[str]) -> list[Ranked]:
        """Documents by what they contribute to the answer to the query, best first."""
        hits = [Hit(Passage(str(index), text), 0.0) for index, text in enumerate(documents)]
        settings = self.pipeline.settings
        budget = max(self.rerank_budget, 4 * len(hits))
        attribution = settings.attribution.model_copy(update={"budget": budget})
        changed, kind = settings.model_copy(update={"attribution": attribution}), settings.rerank.score
        reranker = Reranker(self.pipeline.reader, changed, self.pipeline.screener)
        return [
            Ranked(int(hit.passage.id), relevance(hit.score, attribution.utility, kind), hit.score)
            for hit in reranker.rerank(query, hits)
        ]

    def search(self, question: str, k: int | None) -> list[Hit]:
        """The retriever's passages, best first."""
        return self.pipeline.search(question, k)

    def ask(self, question: str, changes: Mapping[str, Any], progress: Progress | None = None) -> Answer:
        """Answer from the index.

        Args:
            question: the question.
            changes: settings changed for this question, such as `{"hierarchy.level": "word"}`; None keeps what is set.
            progress: called as `progress(stage, done, total)`.
        """
        return self._changed(changes).ask(question, progress=progress)

    def explain(
        self,
        question: str,
        passages: Sequence[Passage],
        changes: Mapping[str, Any],
        progress: Progress | None = None,
        answer: str | None = None,
    ) -> Answer:
        """Attribute the reader's answer, or a given one, to the passages given; for the other arguments see `ask`."""
        return self._changed(changes).explain(question, passages, answer=answer, progress=progress)

    def answer(self, question: str, passages: Sequence[Passage]) -> str:
        """What the reader answers from all the passages given, without attribution."""
        reader = self.pipeline.reader
        encoded = reader.encode(question, passages)
        return reader.generate(encoded, np.ones((1, len(passages)), dtype=bool))[0]

    def _changed(self, changes: Mapping[str, Any]) -> Pipeline:
        """The pipeline with some settings changed, each named `section.key`; None keeps what is set."""
        given = {key: value for key, value in changes.items() if value is not None}
        if not given:
            return self.pipeline
        values = self.pipeline.settings.model_dump()
        for key, value in given.items():
            section, _, name = key.partition(".")
            values[section][name] = value
        own = self.pipeline
        return Pipeline(own.retriever, own.reader, Settings.model_validate(values), own.screener, own.made_with)


def relevance(score: float, utility: str, kind: str) -> float:
    """A rerank score mapped to [0, 1], in the same order.

    Args:
        score: the score; an estimate may lie beyond its bounds by sampling error.
        utility: the setting `attribution.utility`. Differences of log-probability have no bounds, so they go through
            the logistic function, and 0 becomes 0.5.
        kind: the setting `rerank.score`. Fused scores, and "positive" and "pivots" of votes, lie in [0, 1] and stay as
            they are; "value" lies in [-1, 1] and becomes (1 + score) / 2.
    """
    if utility == "votes" or kind.endswith(FUSION):
        return min(1.0, max(0.0, (1 + score) / 2 if kind == "value" else score))
    return 1 / (1 + math.exp(-max(score, -700.0)))  # beyond that it would overflow
