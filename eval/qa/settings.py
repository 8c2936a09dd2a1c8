"""Settings of an evaluation of answers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from eval.retrieval.settings import RerankedBy
from eval.selection import Selection
from eval.statistics import ComparisonSettings
from rag.settings import AnswerSettings

Keep = int | Literal["smallest"] | None
"""How many of the first passages an answer is read from. None is all; "smallest" is the smallest number that gives the
answer from all."""

_CURVE = (1, 2, 3, 5, 10)


class QARun(Selection, RerankedBy):
    """Which questions are asked, under which name, of which reader, and from which orders of the passages.

    With `rerank`, answers from the first passages of each reranked order are compared with those from the given one.

    Attributes:
        name: what the rows are called in a suite.
        depth: how many first passages the reader gets, which are those that are reranked; by default the largest k,
            and with `rerank` no fewer than are usual for `passages`.
        answer: who answers from the first passages of each order, if not the reader that orders them.
        report: of the comparisons; changing it asks no reader again.
    """

    name: str = ""
    depth: int | None = Field(default=None, ge=1)
    answer: AnswerSettings = AnswerSettings()
    report: ComparisonSettings = ComparisonSettings()

    @model_validator(mode="after")
    def _deep_enough(self) -> QARun:
        if self.answer.attribute:
            raise ValueError("answer.attribute has no part in how right answers are; leave it out")
        if self.depth is not None and self.k is not None and max(self.k) > self.depth:
            raise ValueError(f"depth: {self.depth} passages are fewer than the largest k")
        return self

    def read(self) -> int | None:
        """How many passages of each question the reader gets; None is all."""
        if self.depth is not None:
            return self.depth
        read, usual = super().read(), self.usual()
        return read if not self.rerank or read is None or usual is None else max(read, usual)

    def sizes(self) -> list[int | None]:
        """Numbers of first passages to answer from, ascending; None is all.

        With `rerank`, all that the reader gets are the last; without `k`, a curve's. Another reader that answers, whose
        answers cost more, is asked for `k` alone.
        """
        if not self.rerank:
            return [self.read()] if self.k is None else super().sizes()
        read = self.read()
        below = sorted({k for k in self.k or _CURVE if read is None or k < read})
        wanted = not (self.answer.reader and self.k) or max(self.k or [0]) == read
        return [*below, *([read] if wanted else [])]

    def reranked_sizes(self) -> list[Keep]:
        """As `sizes`, of a reranked order: without all passages, of which there is one order for most readers.

        "smallest" is the last, unless another reader answers.
        """
        fewer: list[Keep] = [size for size in self.sizes() if size != self.read()]
        return fewer if self.answer.reader else [*fewer, "smallest"]
