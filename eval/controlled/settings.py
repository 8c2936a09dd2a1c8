"""What is measured in controlled games."""

from __future__ import annotations

from pydantic import Field, model_validator

from attribution import BanzhafSampling
from eval.attribution.methods import PAIR_METHODS, parse_method
from eval.attribution.settings import SampledShapley
from eval.comparison import BaselineSettings
from eval.controlled.cases import GAMES
from eval.selection import QuestionSettings
from rag.settings import AttributionSettings, ReaderSettings

DEFAULT_METHODS = (
    *("shapley", "shapley:likelihood", "banzhaf", "banzhaf:likelihood", "leave-one-out", "leave-one-out:likelihood"),
    *("first-in", "first-in:likelihood", "lasso", "attention", "relevance", "random"),
)
_LEAST = 3  # passages: two that a game is about, and one of another article


class ControlledRun(QuestionSettings):
    """Games, how many cases of each, and the methods that score their passages.

    Attributes:
        games: names of `eval.controlled.cases.GAMES`.
        limit: cases of each game that the reader plays.
        tries: questions of which a game is made in search of these, at most.
        depth: passages in a case.
        methods: what is compared (see `eval.attribution.methods`), without pairs; by default all that the reader has.
        budget: distinct coalitions that each sampled method may ask the reader about. Fewer than 2^depth, so that
            values are estimated as they are in use, and have standard errors.
        seed: of the cases and of the sampling.
        estimator, lasso_alpha: as for evaluations of attributions.
        reader: answers, and is attributed.
        report: baseline (by default the first method), draws, confidence and seed.
    """

    games: list[str] = Field(default=[*GAMES], min_length=1)
    limit: int = Field(default=100, ge=1)
    tries: int = Field(default=1000, ge=1)
    depth: int = Field(default=8, ge=_LEAST)
    methods: list[str] | None = Field(default=None, min_length=1)
    budget: int = Field(default=128, ge=4)
    estimator: SampledShapley = "auto"
    lasso_alpha: float = Field(default=0.01, gt=0)
    reader: ReaderSettings = ReaderSettings()
    report: BaselineSettings = BaselineSettings()

    @model_validator(mode="after")
    def _consistent(self) -> ControlledRun:
        if unknown := [game for game in self.games if game not in GAMES]:
            raise ValueError(f"games: {unknown[0]!r} is unknown; there are {', '.join(GAMES)}")
        if len(set(self.games)) < len(self.games):
            raise ValueError("games names a game twice")
        if self.reader.is_endpoint:
            raise ValueError("reader: few endpoints give log-probabilities of given answers, which the methods need")
        if self.pool or self.index:
            raise ValueError("controlled games make their passages; leave out pool and index")
        names = self.systems()
        for name in names:
            scoring = parse_method(name)
            if name in (*PAIR_METHODS, "retriever"):
                raise ValueError(f"methods: {name} scores no passage of a controlled game; leave it out")
            if scoring is not None and scoring.semivalue == "banzhaf":
                least = BanzhafSampling(scoring.p or 0.5).minimum_budget(self.depth)
                if self.budget < least:
                    raise ValueError(f"budget: {name} of {self.depth} passages needs {least} or more")
        if len(set(names)) < len(names):
            raise ValueError("methods names one twice")
        if self.report.baseline not in (None, *names):
            raise ValueError(f"report.baseline: {self.report.baseline!r} is no method; there are {', '.join(names)}")
        return self

    def systems(self) -> list[str]:
        """Names of all methods, in the order of the table."""
        if self.methods is not None:
            return self.methods
        return [name for name in DEFAULT_METHODS if name != "relevance" or self.reader.is_embedded]

    def baseline(self) -> str:
        """The method that all others are tested against."""
        return self.report.baseline or self.systems()[0]

    def sampling(self) -> AttributionSettings:
        """How values are estimated."""
        return AttributionSettings(budget=self.budget, estimator=self.estimator, seed=self.seed)
