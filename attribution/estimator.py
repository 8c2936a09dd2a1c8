"""What an estimator is, and how one is run to give an Attribution."""

from collections.abc import Sequence
from operator import index
from typing import NamedTuple, Protocol

import numpy as np

from attribution.attribution import Attribution, output_index
from attribution.games import CachedGame, Game, Progress, Values, check_counts
from attribution.stopping import Look, StoppingRule

SEMIVALUES = ("shapley", "banzhaf", "leave-one-out", "first-in")
_GROWTH = (1.2, 8.0)  # least and most, of the sample between two looks of a stopping rule


class Estimate(NamedTuple):
    """Values of all players for all outputs.

    Attributes:
        values: (n_outputs, n_players).
        errors: standard errors, same shape; zero where exact.
        pivots: same shape; None where the estimator gives none.
        samples: number of orderings or draws behind the estimate; None where nothing was drawn.
        deviations: what each of 128 groups of draws adds to the error of the values, (128, n_outputs, n_players). Their
            products, summed over the groups, estimate covariances. None unless asked for, or where nothing was drawn.
    """

    values: Values
    errors: Values
    pivots: Values | None
    samples: int | None
    deviations: Values | None = None


def exact_estimate(values: Values, pivots: Values | None = None) -> Estimate:
    """Values that come from all the coalitions they depend on, without error."""
    return Estimate(values, np.zeros_like(values), pivots, samples=None)


class Estimator(Protocol):
    """Turns a game and its budget of evaluations into values with standard errors."""

    @property
    def name(self) -> str:
        """Name by which users choose it."""
        ...

    @property
    def semivalue(self) -> str:
        """One of SEMIVALUES."""
        ...

    @property
    def p(self) -> float | None:
        """Inclusion probability of the Banzhaf value, else None."""
        ...

    def minimum_budget(self, n_players: int) -> int:
        """Fewest evaluations it can work with; raises ValueError if it cannot do so many players."""
        ...

    def estimate(self, game: CachedGame, rng: np.random.Generator, *, deviations: bool = False) -> Estimate:
        """Estimate within the budget of `game`; `deviations` are computed if asked for."""
        ...


def check_semivalue(semivalue: str, p: float) -> None:
    """Raise ValueError for an unknown semivalue, a p that is no probability, or a p that would be ignored."""
    if semivalue not in SEMIVALUES:
        raise ValueError(f"unknown semivalue {semivalue!r}; known: {', '.join(SEMIVALUES)}")
    if not 0.0 < p < 1.0:
        raise ValueError(f"p must lie between 0 and 1, both excluded, got {p}")
    if semivalue != "banzhaf" and p != 0.5:
        raise ValueError(f"p={p} applies to semivalue='banzhaf' only, but semivalue is {semivalue!r}")


def check_budget(estimator: Estimator, n_players: int, budget: int | None) -> None:
    """Raise ValueError for more players than the estimator can do, or a budget below its minimum for them."""
    check_counts(n_players, budget)
    minimum = estimator.minimum_budget(n_players)
    if budget is not None and budget < minimum:
        raise ValueError(
            f"estimator {estimator.name!r} needs a budget of at least {minimum} evaluations for {n_players} "
            f"players, got {budget}"
        )


def run(
    estimator: Estimator,
    game: Game,
    n_players: int,
    *,
    players: Sequence[str] | None,
    output: int | str | None,
    budget: int | None,
    seed: int | None,
    batch_size: int,
    progress: Progress | None,
    until: StoppingRule | None = None,
) -> Attribution:
    """Run `estimator` on `game` and gather what it found; see `explain` for the arguments.

    The game is wrapped anew, so that what this run spends is counted from zero, and is the same, whatever a
    cached game underneath already knows.
    """
    check_budget(estimator, n_players, budget)
    if seed is not None and index(seed) < 0:
        raise ValueError(f"seed must be 0 or more, got {seed}")
    cached = CachedGame(game, n_players, batch_size=batch_size, budget=budget, progress=progress)
    names = tuple(players) if players is not None else tuple(f"player {i}" for i in range(n_players))
    if isinstance(players, str):
        raise ValueError(f"`players` must be a sequence of {n_players} strings, got the single string {players!r}")
    if len(names) != n_players:
        raise ValueError(f"`players` must be {n_players} strings, got {len(names)}: {players!r}")
    for name in names:
        if not isinstance(name, str):
            raise ValueError(f"`players` must be {n_players} strings, got {name!r} of type {type(name).__name__}")
    ends = np.stack([np.ones(n_players, dtype=np.bool_), np.zeros(n_players, dtype=np.bool_)])
    # First, so that a wrong `output` costs two evaluations.
    full = cached(ends)[0]
    if output is not None:
        explained = output_index(output, cached.outputs)
    else:
        explained = int(full.argmax()) if cached.utility == "votes" else 0
    estimate, reached = _estimate(estimator, cached, seed, explained, until)
    cached.finish()
    full, empty = cached(ends)
    return Attribution(
        players=names,
        outputs=cached.outputs,
        values=estimate.values,
        errors=estimate.errors,
        pivots=estimate.pivots,
        full=full,
        empty=empty,
        output=explained,
        evaluations=cached.evaluations,
        estimator=estimator.name,
        semivalue=estimator.semivalue,
        utility=cached.utility,
        p=None if estimator.p is None else float(estimator.p),
        samples=estimate.samples,
        seed=None if estimate.samples is None else seed,
        budget=budget,
        until=None if until is None else until.goal,
        reached=reached,
    )


def _estimate(
    estimator: Estimator, game: CachedGame, seed: int | None, output: int, until: StoppingRule | None
) -> tuple[Estimate, bool | None]:
    """One estimate from the whole budget, or estimates from growing parts of it until the rule is satisfied.

    Also returns whether it was. A larger part continues the sample of a smaller one, so that nothing evaluated is
    wasted. The next look is where the rule would be satisfied if all errors fell as 1 / sample.
    """
    if until is None:
        return estimator.estimate(game, np.random.default_rng(seed)), None
    # The errors of the least possible sample, and of one that is small for the players, rest on too little.
    least = max(estimator.minimum_budget(game.n_players), game.n_players + 2)
    whole, part, number = game.budget, 2 * least, 0
    while True:
        game.budget = min(part, whole)
        estimate = estimator.estimate(game, np.random.default_rng(seed), deviations=True)
        unseen = game.spreads() / estimate.samples if estimate.samples else np.zeros(game.n_outputs)
        look = Look(estimate.values, estimate.errors, estimate.deviations, unseen, game.outputs, output, number)
        reached = bool(until.excess(look) <= 1)
        if reached or part >= whole:
            game.budget = whole
            return estimate, reached
        number += 1
        growth = np.clip(until.excess(look._replace(number=number)), *_GROWTH)
        part = int((part - 2) * growth) + 4  # but for the empty and the full coalition, rounded up to pairs
