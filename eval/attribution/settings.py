"""What an evaluation of attributions measures."""

from __future__ import annotations

from typing import ClassVar, Literal, get_args

from pydantic import Field, model_validator

from attribution import BanzhafSampling
from eval.attribution.methods import DEFAULT_METHODS, PAIR_METHODS, parse_method
from eval.comparison import BaselineSettings
from eval.retrieval.settings import SearchSettings
from rag.settings import AttributionSettings, ReaderSettings
from rag.settings_base import Section

SampledShapley = Literal["auto", "permutation", "kernel", "gaussian-process", "regression-adjusted"]
"""Estimators of Shapley values."""

Measure = Literal["evidence", "drop", "curves", "LDS", "agreement"]
"""Groups of measures: see `eval.attribution.faithfulness`, `agreement` and `evidence`."""


class ComparedMethods(Section):
    """Methods that score passages, and the reader whose answers they explain.

    Attributes:
        depth: at most this many passages of a question.
        methods: what is compared (see `eval.attribution.methods`); by default all that the reader has.
        budget: distinct coalitions that each sampled method may ask the reader about.
        estimator: of Shapley values.
        lasso_alpha: weight of the penalty of "lasso".
        reader: answers, and is attributed.
        report: baseline (by default the first method), draws, confidence and seed.
    """

    DEFAULT: ClassVar[tuple[str, ...]] = DEFAULT_METHODS

    depth: int = Field(default=20, ge=2)
    methods: list[str] | None = Field(default=None, min_length=1)
    budget: int = Field(default=300, ge=4)
    estimator: SampledShapley = "auto"
    lasso_alpha: float = Field(default=0.01, gt=0)
    reader: ReaderSettings = ReaderSettings()
    report: BaselineSettings = BaselineSettings()

    @model_validator(mode="after")
    def _can_compare(self) -> ComparedMethods:
        if self.reader.is_endpoint:
            raise ValueError("reader: few endpoints give log-probabilities of given answers, which the methods need")
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
        if self.report.baseline not in (None, *names):
            raise ValueError(f"report.baseline: {self.report.baseline!r} is no method; there are {', '.join(names)}")
        return self

    def systems(self) -> list[str]:
        """Names of all methods, in the order of the table."""
        if self.methods is not None:
            return self.methods
        return [name for name in self.DEFAULT if name != "relevance" or self.reader.embedded_folder]

    def baseline(self) -> str:
        """The method that all others are tested against; one of single passages, if there is one."""
        singles = [name for name in self.systems() if name not in PAIR_METHODS]
        return self.report.baseline or [*singles, *self.systems()][0]

    def sampled(self, seed: int) -> AttributionSettings:
        """How values are estimated with a seed."""
        return AttributionSettings(budget=self.budget, estimator=self.estimator, seed=seed)


class AttributionRun(SearchSettings, ComparedMethods):
    """Questions, their passages, and the methods that score these.

    Attributes:
        passages: "own": those that came with the question, in their order; "retrieved": what the retriever finds.
        retriever: finds the passages; its order is the method "retriever".
        seeds: of the sampling; the first one's scores are measured, all of them compared for stability.
        measures: what is measured of each method, which for a costly reader takes more coalitions than the methods do.
        coalitions: random coalitions of the linear datamodelling score.
        reference: coalitions from which reference values are made; exact where these are all, up to 14 passages.
    """

    passages: Literal["own", "retrieved"] = "retrieved"
    retriever: Literal["bm25", "dense", "hybrid"] = "bm25"
    seeds: list[int] = Field(default=[0, 1, 2], min_length=1)
    measures: list[Measure] = Field(default=[*get_args(Measure)], min_length=1)
    coalitions: int = Field(default=128, ge=8)
    reference: int = Field(default=4096, ge=64)

    @model_validator(mode="after")
    def _consistent(self) -> AttributionRun:
        if min(self.seeds) < 0 or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds must be different numbers from 0, got {self.seeds}")
        if self.passages == "own" and (self.index or self.corpus or self.pool):
            raise ValueError("passages=own searches nothing; leave out index, corpus and pool")
        return self
