"""What an evaluation of retrieval measures."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from eval.comparison import BaselineSettings
from eval.retrieval.metrics import depths_of_metrics
from eval.retrieval.scoring import parse_scoring
from eval.selection import QuestionSettings
from rag.engine_settings import ENGINES, Engine, EngineSections, missing_settings
from rag.settings import AttributionSettings, BM25Settings, DenseSettings, ReaderSettings
from rag.settings_base import Section
from retrievers.base import RRF_K

Kind = Literal["bm25", "dense", "hybrid", "own"] | Engine


class ReportSettings(BaselineSettings):
    """What is computed from the rankings; changing it asks no reader again.

    Without a baseline, each reranking is tested against the order that it started from.

    Attributes:
        k: cut-offs of recall; the area under the recall curve is taken up to the largest.
        metrics: more measures by qrels, in ir_measures' notation, such as "nDCG@10" or "RR@10".
    """

    k: list[int] = Field(default=[1, 5, 20], min_length=1)
    metrics: list[str] = Field(default=[])


class SearchSettings(QuestionSettings):
    """What is searched, and what is judged relevant.

    Attributes:
        qrels: relevance judgements, TREC or BEIR; by default those of `split` in a BEIR folder, else the passages that
            the questions mark as gold.
        split: of a BEIR folder's judgements.
        corpus: a corpus to search instead of the data's passages, cut as `passage_words` says.
        passage_words: length at which the corpus's documents are cut; null keeps them whole.
        ignore_identical_ids: whether a hit with the question's own id is left out, as BEIR does; null is yes where the
            data are BEIR folders.
    """

    qrels: str | None = None
    split: str = "test"
    corpus: str | None = None
    passage_words: int | None = Field(default=100, ge=1)
    ignore_identical_ids: bool | None = None
    bm25: BM25Settings = BM25Settings()
    dense: DenseSettings = DenseSettings()

    @model_validator(mode="after")
    def _searches_one(self) -> SearchSettings:
        if sum(map(bool, (self.index, self.corpus, self.pool))) > 1:
            raise ValueError("give one of index, corpus and pool")
        return self


class RerankedBy(Section):
    """The scores that passages are reranked by, and the reader that they come from.

    Attributes:
        rerank: scores; see `eval.retrieval.scoring`.
        rrf_k: constant of reciprocal-rank fusion.
        reader: answers, and is attributed.
        attribution: estimator, budget and seed of the values; utility and semivalue are part of `rerank`.
    """

    rerank: list[str] = Field(default=[])
    rrf_k: float = Field(default=RRF_K, ge=0)
    reader: ReaderSettings = ReaderSettings()
    attribution: AttributionSettings = AttributionSettings()

    @model_validator(mode="after")
    def _can_rerank(self) -> RerankedBy:
        modes = {parse_scoring(scoring).mode for scoring in self.rerank}
        if len(set(self.rerank)) < len(self.rerank):
            raise ValueError("rerank names a score twice")
        if self.reader.is_endpoint and "likelihood" in modes:
            raise ValueError("rerank: few endpoints give log-probabilities of given answers; leave out :likelihood")
        plain = AttributionSettings()
        if (self.attribution.utility, self.attribution.semivalue) != (plain.utility, plain.semivalue):
            raise ValueError("attribution.utility and attribution.semivalue are chosen by rerank, as in 'banzhaf'")
        if self.attribution.screen or self.attribution.interactions:
            raise ValueError("attribution.screen and attribution.interactions have no part in rerank; leave them out")
        return self


class RetrievalRun(SearchSettings, RerankedBy, EngineSections):
    """Questions, what is searched, and the systems.

    Attributes:
        retrievers: "bm25", "dense", "hybrid", "own", the order in which the question's own passages came, and the
            search engines that have a section here; by default "bm25", or none where runs are given.
        runs: TREC runs, each a system named after its file.
        depth: how many first passages are reranked by each score; each number makes its own systems.
        retrieve: how many passages are retrieved and kept; null is as many as depth, k and the measures ask for, which
            is 1,000 for a measure of the whole ranking such as "AP".
        report: what is computed from the rankings.
    """

    retrievers: list[Kind] | None = None
    runs: list[str] = Field(default=[])
    depth: list[int] = Field(default=[20], min_length=1)
    retrieve: int | None = Field(default=None, ge=1)
    report: ReportSettings = ReportSettings()

    @model_validator(mode="after")
    def _names_systems(self) -> RetrievalRun:
        if min(self.depth) < 1 or min(self.report.k) < 1:
            raise ValueError("depth and report.k must be 1 or more")
        if self.retrieve is not None and self.shown() > self.retrieve:
            raise ValueError(f"retrieve: {self.retrieve} passages are fewer than the largest k or depth")
        names = self.first_stages()
        if not names:
            raise ValueError("retrievers and runs are both empty; name at least one")
        for kind in set(self.kinds()) & set(ENGINES):
            if missing := missing_settings(kind, self):
                raise ValueError(f"retrievers: {kind} needs {' and '.join(f'{kind}.{name}' for name in missing)}")
        if repeated := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"two systems are called {min(repeated)!r}; rename a run's file or name each once")
        return self

    def kept(self, before: int = 0) -> int:
        """How many passages of each question are ranked.

        Args:
            before: how many there are already, which are taken if they are enough.
        """
        needed, asked = depths_of_metrics(self.report.metrics)
        enough = before if before >= max(self.shown(), needed) else 0
        return self.retrieve or enough or max(self.shown(), asked)

    def shown(self) -> int:
        """How many ranks recall curves have."""
        return max(*self.report.k, *self.depth)

    def first_stages(self) -> list[str]:
        """Names of the orders before reranking."""
        return [*self.kinds(), *(run_name(path) for path in self.runs)]

    def kinds(self) -> list[Kind]:
        """The retrievers, by default BM25 where no run is given."""
        if self.retrievers is not None:
            return self.retrievers
        return [] if self.runs else ["bm25"]

    def systems(self) -> dict[str, str | None]:
        """All systems in the order of the table; for a reranking, the system whose order it starts from."""
        found: dict[str, str | None] = {}
        for first in self.first_stages():
            found[first] = None
            found |= {f"{first}/{depth}/{scoring}": first for depth in self.depth for scoring in self.rerank}
        return found


def run_name(path: str) -> str:
    """A run's system name: its file's, without suffixes."""
    return Path(path.removesuffix(".gz")).stem
