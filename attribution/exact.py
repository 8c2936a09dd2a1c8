"""Exact semivalues by enumeration of all coalitions."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

import numpy as np

from attribution.attribution import Attribution
from attribution.estimator import Estimate, Estimator, check_semivalue, exact_estimate, run
from attribution.games import CachedGame, Game, Progress, all_coalitions
from attribution.marginals import EndMarginals

MAX_PLAYERS = 14


@dataclass(frozen=True)
class ExactEnumeration:
    """Shapley or Banzhaf(p) values from all 2^n coalitions, and the pivots under the same weights.

    Player i gets the sum over coalitions S without i of w(|S|) (v(S + i) - v(S)), with the Shapley (1953)
    weight w(s) = 1 / (n C(n-1, s)) or, each other player being in with probability p, the weight
    p^s (1-p)^(n-1-s) (Banzhaf 1965 for p = 1/2; Marichal and Mathonet 2011 for any p).
    """

    semivalue: str = "shapley"
    p: float | None = None
    name = "exact"

    def minimum_budget(self, n_players: int) -> int:
        """All 2^n_players coalitions; raises ValueError for more than 14 players."""
        if n_players > MAX_PLAYERS:
            other = "permutation" if self.semivalue == "shapley" else "banzhaf"
            raise ValueError(
                f"exact enumeration takes at most {MAX_PLAYERS} players, got {n_players} (2^{n_players} "
                f"coalitions); use explain(..., estimator={other!r}, semivalue={self.semivalue!r}) instead"
            )
        return int(2**n_players)

    def estimate(self, game: CachedGame, rng: np.random.Generator, *, deviations: bool = False) -> Estimate:
        """Enumerate; nothing is drawn from `rng` and the errors are zero."""
        n = game.n_players
        self.minimum_budget(n)  # refuses too many
        coalitions = all_coalitions(n)
        worth, sizes = game(coalitions), coalitions.sum(axis=1)
        weights = np.array([self._weight(size, n) for size in range(n)])
        values = np.zeros((game.n_outputs, n))
        pivots = np.zeros_like(values)
        for i in range(n):
            # Bit i of the row number says whether player i is in: the middle axis holds "without, with".
            without, with_ = worth.reshape(-1, 2, 2**i, game.n_outputs).swapaxes(0, 1)
            steps = (with_ - without).reshape(-1, game.n_outputs)
            weight = weights[sizes.reshape(-1, 2, 2**i)[:, 0].ravel()]
            values[:, i] = weight @ steps
            pivots[:, i] = weight @ np.maximum(steps, 0.0)
        return exact_estimate(values, pivots)

    def _weight(self, size: int, n_players: int) -> float:
        if self.p is None:
            return 1.0 / (n_players * comb(n_players - 1, size))
        return float(self.p**size * (1.0 - self.p) ** (n_players - 1 - size))


def exact_estimator(semivalue: str, p: float) -> Estimator:
    """The estimator that gives a semivalue without error."""
    if semivalue in ("leave-one-out", "first-in"):
        return EndMarginals(semivalue)
    return ExactEnumeration(semivalue, p if semivalue == "banzhaf" else None)


def exact(
    game: Game,
    n_players: int,
    *,
    semivalue: str = "shapley",
    p: float = 0.5,
    players: Sequence[str] | None = None,
    output: int | str | None = None,
    batch_size: int = 1024,
    progress: Progress | None = None,
) -> Attribution:
    """Exact semivalues of a game of at most 14 players, from all its 2^n_players coalitions.

    The baselines "leave-one-out" and "first-in" need n_players + 2 of them, and take any number of players.

    Args:
        game: callable from bool (n_coalitions, n_players) to (n_coalitions,) or (n_coalitions, n_outputs).
        n_players: number of players; with 0 the full and the empty coalition are the same.
        semivalue: "shapley", "banzhaf", "leave-one-out" or "first-in".
        p: inclusion probability of the Banzhaf value.
        players: names of the players.
        output: index or name of the output to explain, as in `explain`.
        batch_size: the most coalitions in one call of `game`.
        progress: called as progress(evaluations, 2^n_players) after each call of `game`; baselines end with
            progress(evaluations, evaluations).

    Raises:
        ValueError: for more than 14 players, an unknown semivalue or output, or a game that returns a wrong
            shape or non-finite values.
    """
    check_semivalue(semivalue, p)
    return run(
        exact_estimator(semivalue, p),
        game,
        n_players,
        players=players,
        output=output,
        budget=None,
        seed=None,
        batch_size=batch_size,
        progress=progress,
    )
