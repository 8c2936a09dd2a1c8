"""What an evaluation of retrieval measures."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from eval.comparison import BaselineSettings
from eval.retrieval.scoring import parse_scoring
from rag.engine_settings import ENGINES, Engine, EngineSections, missing_settings
from rag.settings import AttributionSettings, BM25Settings, DenseSettings, ReaderSettings
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


class RetrievalRun(EngineSections):
    """Questions, what is searched, and the systems.

    Attributes:
        data: question files, or BEIR folders.
        qrels: relevance judgements, TREC or BEIR; by default those of `split` in a BEIR folder, else the passages that
            the questions mark as gold.
        split: of a BEIR folder's judgements.
        retrievers: "bm25", "dense", "hybrid", "own", the order in which the question's own passages came, and the
            search engines that have a section here; by default "bm25", or none where runs are given.
        runs: TREC runs, each a system named after its file.
        rerank: scores by which each of these orders is reranked; see `eval.retrieval.scoring`.
        depth: how many first passages are reranked; each number makes its own systems.
        retrieve: how many passages are retrieved and kept; null is the largest depth.
        index: a saved index to search instead of the data's passages.
        corpus: a corpus to search instead, cut as `passage_words` says.
        pool: more files or folders whose passages are searched beside the data's own.
        passage_words: length at which the corpus's documents are cut; null keeps them whole.
        ids: all questions, or those whose id ends in an odd or even number.
        limit: at most so many questions, drawn at random with `seed`; null is all.
        rrf_k: constant of reciprocal-rank fusion.
        attribution: estimator, budget and seed of the values; utility and semivalue are part of `rerank`.
    """

    data: list[str] = Field(min_length=1)
    qrels: str | None = None
    split: str = "test"
    retrievers: list[Kind] | None = None
    runs: list[str] = Field(default=[])
    rerank: list[str] = Field(default=[])
    depth: list[int] = Field(default=[20], min_length=1)
    retrieve: int | None = Field(default=None, ge=1)
    index: str | None = None
    corpus: str | None = None
    pool: list[str] = Field(default=[])
    passage_words: int | None = Field(default=100, ge=1)
    ids: Literal["all", "odd", "even"] = "all"
    limit: int | None = Field(default=None, ge=1)
    seed: int = Field(default=0, ge=0)
    rrf_k: float = Field(default=RRF_K, ge=0)
    bm25: BM25Settings = BM25Settings()
    dense: DenseSettings = DenseSettings()
    reader: ReaderSettings = ReaderSettings()
    attribution: AttributionSettings = AttributionSettings()
    report: ReportSettings = ReportSettings()

    @model_validator(mode="after")
    def _consistent(self) -> RetrievalRun:
        if min(self.depth) < 1 or min(self.report.k) < 1:
            raise ValueError("depth and report.k must be 1 or more")
        if max(*self.report.k, *self.depth) > self.kept():
            raise ValueError(f"retrieve: {self.kept()} passages are fewer than the largest k or depth")
        if sum(map(bool, (self.index, self.corpus, self.pool))) > 1:
            raise ValueError("give one of index, corpus and pool")
        plain = AttributionSettings()
        if (self.attribution.utility, self.attribution.semivalue) != (plain.utility, plain.semivalue):
            raise ValueError("attribution.utility and attribution.semivalue are chosen by rerank, as in 'banzhaf'")
        if self.attribution.screen or self.attribution.interactions:
            raise ValueError("attribution.screen and attribution.interactions have no part in rerank; leave them out")
        modes = {parse_scoring(scoring).mode for scoring in self.rerank}
        if self.reader.is_endpoint and "likelihood" in modes:
            raise ValueError("rerank: endpoints give no log-probabilities of given answers; leave out :likelihood")
        if not self.first_stages():
            raise ValueError("retrievers and runs are both empty; name at least one")
        for kind in set(self.kinds()) & set(ENGINES):
            if missing := missing_settings(kind, self):
                raise ValueError(f"retrievers: {kind} needs {' and '.join(f'{kind}.{name}' for name in missing)}")
        names = self.first_stages()
        if repeated := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"two systems are called {min(repeated)!r}; rename a run's file or name each once")
        return self

    def kept(self) -> int:
        """How many passages of each question are ranked."""
        return self.retrieve or max(self.depth)

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
