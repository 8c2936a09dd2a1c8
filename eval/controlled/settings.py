"""What is measured in controlled games."""

from __future__ import annotations

from pydantic import Field, model_validator

from eval.attribution.methods import PAIR_METHODS
from eval.attribution.settings import ComparedMethods
from eval.controlled.cases import GAMES
from eval.selection import QuestionSettings

_LEAST = 3  # passages: two that a game is about, and one of another article


class ControlledRun(QuestionSettings, ComparedMethods):
    """Games, how many cases of each, and the methods that score their passages.

    Attributes:
        games: names of `eval.controlled.cases.GAMES`.
        limit: cases of each game that the reader plays.
        tries: questions of which a game is made in search of these, at most.
        depth: passages in a case.
        budget: fewer than 2^depth, so that values are estimated as they are in use, and have standard errors.
        seed: of the cases and of the sampling.
    """

    DEFAULT = (
        *("shapley", "shapley:likelihood", "banzhaf", "banzhaf:likelihood"),
        *("leave-one-out", "leave-one-out:likelihood", "first-in", "first-in:likelihood"),
        *("lasso", "attention", "relevance", "random"),
    )

    games: list[str] = Field(default=[*GAMES], min_length=1)
    limit: int = Field(default=100, ge=1)
    tries: int = Field(default=1000, ge=1)
    depth: int = Field(default=8, ge=_LEAST)
    budget: int = Field(default=128, ge=4)

    @model_validator(mode="after")
    def _playable(self) -> ControlledRun:
        if unknown := [game for game in self.games if game not in GAMES]:
            raise ValueError(f"games: {unknown[0]!r} is unknown; there are {', '.join(GAMES)}")
        if len(set(self.games)) < len(self.games):
            raise ValueError("games names a game twice")
        if self.pool or self.index:
            raise ValueError("controlled games make their passages; leave out pool and index")
        if unscored := [name for name in self.systems() if name in (*PAIR_METHODS, "retriever")]:
            raise ValueError(f"methods: {unscored[0]} scores no passage of a controlled game; leave it out")
        return self
