"""Values from one marginal contribution per player: cheap baselines of semivalues."""

from dataclasses import dataclass

import numpy as np

from attribution.estimator import Estimate, exact_estimate
from attribution.games import CachedGame


@dataclass(frozen=True)
class EndMarginals:
    """What each player adds to all others, or to none: n + 2 evaluations, exact.

    "leave-one-out" is v(all) - v(all but i), blind to players that can stand in for one another; "first-in" is
    v(i alone) - v(none), blind to players that need one another. They are the ends between which semivalues average.

    Attributes:
        semivalue: "leave-one-out" or "first-in".
    """

    semivalue: str
    name = "exact"
    p = None

    def minimum_budget(self, n_players: int) -> int:
        """The empty and the full coalition, and one for each player."""
        return int(min(2**n_players, 2 + n_players))

    def estimate(self, game: CachedGame, rng: np.random.Generator, *, deviations: bool = False) -> Estimate:
        """Evaluate; nothing is drawn from `rng` and the errors are zero."""
        n = game.n_players
        with_all = self.semivalue == "leave-one-out"
        alone = np.eye(n, dtype=np.bool_)
        rows = np.concatenate([np.full((1, n), with_all), ~alone if with_all else alone])
        worth = game(rows)
        values = (worth[0] - worth[1:] if with_all else worth[1:] - worth[0]).T
        return exact_estimate(values, np.maximum(values, 0.0))
