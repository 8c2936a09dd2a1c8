"""What an evaluation of attributions measures."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from attribution import BanzhafSampling
from eval.attribution.methods import DEFAULT_METHODS, PAIR_METHODS, parse_method
from eval.comparison import BaselineSettings
from eval.retrieval.settings import Kind, RetrievalRun
from rag.settings import AttributionSettings, BM25Settings, DenseSettings, ReaderSettings
from rag.settings_base import Section


class AttributionRun(Section):
    """Questions, their passages, and the methods that score these.

    Attributes:
        data: question files, or BEIR folders.
        qrels: judgements that mark evidence; by default those of `split` in a BEIR folder, else the passages that the
            questions mark as supporting.
        split: of a BEIR folder's judgements.
        passages: "own": those that came with the question, in their order; "retrieved": what the retriever finds.
        retriever: which finds the passages, and whose order is the method "retriever".
        depth: at most so many passages of a question, the first ones.
        index: a saved index to search instead of the data's passages.
        corpus: a corpus to search instead, cut as `passage_words` says.
        pool: more files or folders whose passages are searched beside the data's own.
        passage_words: length at which the corpus's documents are cut; null keeps them whole.
        ids: all questions, or those whose id ends in an odd or even number.
        limit: at most so many questions, drawn at random with `seed`; null is all.
        seed: of that draw.
        methods: what is compared (see `eval.attribution.methods`); by default all that the reader has.
        budget: distinct coalitions that each sampled method may ask the reader about.
        estimator: of Shapley values.
        seeds: of the sampling; the first one's scores are measured, all of them compared for stability.
        lasso_alpha: weight of the penalty of "lasso".
        coalitions: random coalitions of the linear datamodelling score.
        reference: coalitions from which reference values are made; exact where these are all, up to 14 passages.
        report: baseline (by default the first method), draws, confidence and seed.
    """

    data: list[str] = Field(min_length=1)
    qrels: str | None = None
    split: str = "test"
    passages: Literal["own", "retrieved"] = "retrieved"
    retriever: Literal["bm25", "dense", "hybrid"] = "bm25"
    depth: int = Field(default=20, ge=2)
    index: str | None = None
    corpus: str | None = None
    pool: list[str] = Field(default=[])
    passage_words: int | None = Field(default=100, ge=1)
    ids: Literal["all", "odd", "even"] = "all"
    limit: int | None = Field(default=None, ge=1)
    seed: int = Field(default=0, ge=0)
    methods: list[str] | None = Field(default=None, min_length=1)
    budget: int = Field(default=300, ge=4)
    estimator: Literal["auto", "permutation", "kernel", "regression-adjusted"] = "auto"
    seeds: list[int] = Field(default=[0, 1, 2], min_length=1)
    lasso_alpha: float = Field(default=0.01, gt=0)
    coalitions: int = Field(default=128, ge=8)
    reference: int = Field(default=4096, ge=64)
    bm25: BM25Settings = BM25Settings()
    dense: DenseSettings = DenseSettings()
    reader: ReaderSettings = ReaderSettings()
    report: BaselineSettings = BaselineSettings()

    @model_validator(mode="after")
    def _consistent(self) -> AttributionRun:
        if self.reader.is_endpoint:
            raise ValueError("reader: endpoints give no log-probabilities of given answers, which the measures need")
        names = self.systems()
        for name in names:
            scoring = parse_method(name)
            if scoring is not None and scoring.semivalue == "banzhaf":
                least = BanzhafSampling(scoring.p or 0.5).minimum_budget(self.depth)
                if self.budget < least:
                    raise ValueError(
                        f"budget: {name} of {self.depth} passages needs {least} or more, got {self.budget}"
                    )
        if repeated := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"methods: {min(repeated)!r} is named twice")
        if min(self.seeds) < 0 or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds must be different numbers from 0, got {self.seeds}")
        if self.passages == "own" and (self.index or self.corpus or self.pool):
            raise ValueError("passages=own searches nothing; leave out index, corpus and pool")
        if self.report.baseline not in (None, *names):
            raise ValueError(f"report.baseline: {self.report.baseline!r} is no method; there are {', '.join(names)}")
        self.search("bm25", self.depth)
        return self

    def systems(self) -> list[str]:
        """Names of all methods, in the order of the table."""
        if self.methods is not None:
            return self.methods
        return [name for name in DEFAULT_METHODS if name != "relevance" or self.reader.is_embedded]

    def baseline(self) -> str:
        """The method that all others are tested against; one of single passages, if there is one."""
        singles = [name for name in self.systems() if name not in PAIR_METHODS]
        return self.report.baseline or [*singles, *self.systems()][0]

    def search(self, kind: Kind, depth: int) -> RetrievalRun:
        """How `evaluate retrieval` finds the same questions' first `depth` passages."""
        shared = ("data", "qrels", "split", "index", "corpus", "pool", "passage_words", "ids", "limit", "seed", "bm25")
        given = {name: getattr(self, name) for name in (*shared, "dense")}
        return RetrievalRun(**given, retrievers=[kind], depth=[depth], retrieve=max(20, depth))

    def sampling(self) -> AttributionSettings:
        """How values are estimated."""
        return AttributionSettings(budget=self.budget, estimator=self.estimator, seed=self.seeds[0])
