"""What an evaluation of answers asks."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from eval.retrieval.scoring import parse_scoring
from eval.selection import Selection
from eval.statistics import ComparisonSettings
from rag.settings import AttributionSettings, ReaderSettings
from retrievers.base import RRF_K

Keep = int | Literal["smallest"] | None
"""How many passages an answer is read from: the first so many; None is all; "smallest" is as few of the first ones as
give the answer from all."""

_CURVE = (1, 2, 3, 5, 10)


class QARun(Selection):
    """What is asked (see `Selection`), under which name, of which reader, and from which orders of the passages.

    Attributes:
        name: what the rows are called in a suite.
        rerank: scores by which the passages are reordered; see `eval.retrieval.scoring`. The answers from the first
            passages of each order are then held against those from the given order.
        depth: how many first passages the reader gets, which are those that are reranked; by default the largest k,
            and with `rerank` no fewer than are usual for `passages`.
        rrf_k: constant of reciprocal-rank fusion.
        reader: answers, and is attributed.
        attribution: estimator, budget and seed of the values; utility and semivalue are part of `rerank`.
        report: of the comparisons; changing it asks no reader again.
    """

    name: str = ""
    rerank: list[str] = Field(default=[])
    depth: int | None = Field(default=None, ge=1)
    rrf_k: float = Field(default=RRF_K, ge=0)
    reader: ReaderSettings = ReaderSettings()
    attribution: AttributionSettings = AttributionSettings()
    report: ComparisonSettings = ComparisonSettings()

    @model_validator(mode="after")
    def _can_rerank(self) -> QARun:
        if len(set(self.rerank)) < len(self.rerank):
            raise ValueError("rerank names a score twice")
        if self.depth is not None and self.k is not None and max(self.k) > self.depth:
            raise ValueError(f"depth: {self.depth} passages are fewer than the largest k")
        modes = {parse_scoring(scoring).mode for scoring in self.rerank}
        if self.reader.is_endpoint and "likelihood" in modes:
            raise ValueError("rerank: endpoints give no log-probabilities of given answers; leave out :likelihood")
        plain = AttributionSettings()
        if (self.attribution.utility, self.attribution.semivalue) != (plain.utility, plain.semivalue):
            raise ValueError("attribution.utility and attribution.semivalue are chosen by rerank, as in 'banzhaf'")
        if self.attribution.screen or self.attribution.interactions:
            raise ValueError("attribution.screen and attribution.interactions have no part in rerank; leave them out")
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
