"""Settings of an evaluation of answers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from eval.retrieval.settings import RerankedBy
from eval.selection import Selection
from eval.statistics import ComparisonSettings

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
        report: of the comparisons; changing it asks no reader again.
    """

    name: str = ""
    depth: int | None = Field(default=None, ge=1)
    report: ComparisonSettings = ComparisonSettings()

    @model_validator(mode="after")
    def _deep_enough(self) -> QARun:
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

        With `rerank`, all that the reader gets are the last; without `k`, a curve's.
        """
        if not self.rerank:
            return [self.read()] if self.k is None else super().sizes()
        read = self.read()
        below = sorted({k for k in self.k or _CURVE if read is None or k < read})
        return [*below, read]

    def reranked_sizes(self) -> list[Keep]:
        """As `sizes`, of a reranked order: all passages answer alike in every order, and "smallest" is the last."""
        return [*self.sizes()[:-1], "smallest"]
