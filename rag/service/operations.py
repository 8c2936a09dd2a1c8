"""What the service computes, free of HTTP; it runs in the worker's thread."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from typing import Any

import numpy as np

from rag.answer import Answer
from rag.explanation.spans import Span
from rag.grades import DIGITS
from rag.pipeline import Pipeline
from rag.progress import StageProgress
from rag.rerank import Reranker, Reranking
from rag.settings import ATTRIBUTED, Settings
from retrievers import Hit, Passage

_LEAST = 10.0 ** -(DIGITS + 1)


class Engine:
    """Answers, explains, searches and reranks with one pipeline.

    Args:
        pipeline: may be without retriever; `ask` and `search` then raise `ValueError`.
        rerank_budget: coalitions that a rerank request evaluates, or four for each document if that is more.
        attribute: documents that are attributed; of more, the most relevant ones.
    """

    def __init__(self, pipeline: Pipeline, rerank_budget: int = 256, attribute: int = ATTRIBUTED):
        self.pipeline = pipeline
        self.rerank_budget = rerank_budget
        self.attribute = attribute

    def rerank(self, query: str, documents: Sequence[str]) -> Generator[None, None, Reranking]:
        """Documents by what they contribute to the answer to the query, best first; in steps, as `Reranker.steps`."""
        hits = [Hit(Passage(str(index), text), 0.0) for index, text in enumerate(documents)]
        settings = self.pipeline.settings
        budget = max(self.rerank_budget, 4 * min(len(hits), self.attribute))
        attribution = settings.attribution.model_copy(update={"budget": budget})
        changed = settings.model_copy(update={"attribution": attribution})
        return Reranker(self.pipeline.reader, changed, self.pipeline.screener).steps(query, hits, self.attribute)

    def search(self, question: str, k: int | None) -> list[Hit]:
        """The retriever's passages, best first."""
        return self.pipeline.search(question, k)

    def ask(self, question: str, changes: Mapping[str, Any], progress: StageProgress | None = None) -> Answer:
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
        progress: StageProgress | None = None,
        answer: str | None = None,
        spans: Sequence[Span] | None = None,
    ) -> Answer:
        """Attribute the reader's answer, or a given one, or spans of it; for the other arguments see `ask`."""
        return self._changed(changes).explain(question, passages, answer=answer, spans=spans, progress=progress)

    def answer(self, question: str, passages: Sequence[Passage]) -> str:
        """What the attributed reader answers from all the passages given, without attribution."""
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
        settings = Settings.model_validate(values)
        return Pipeline(own.retriever, own.reader, settings, own.screener, own.made_with, answerer=own.answerer)


def log_odds(score: float) -> float:
    """What the logistic function maps to a score in [0, 1]; finite, because scores have so many digits."""
    score = min(max(score, _LEAST), 1 - _LEAST)
    return math.log(score / (1 - score))
