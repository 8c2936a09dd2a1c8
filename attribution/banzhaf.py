"""Banzhaf values by sampling coalitions."""

from dataclasses import dataclass

import numpy as np

from attribution.estimator import Estimate
from attribution.games import CachedGame
from attribution.replicates import N_GROUPS, group_sums

_BLOCK = 4096  # coalitions looked up at a time


@dataclass(frozen=True)
class BanzhafSampling:
    """Banzhaf(p) values by maximum sample reuse (Wang and Jia 2023).

    Every draw includes each player with probability p. The value of player i is the mean worth of the draws
    with i less that of the draws without i, so each draw serves all players; the standard error adds the
    variances of the two means. The sample is the draws: a coalition drawn again counts again, though it costs
    nothing. Drawing ends with the first coalition that the budget does not admit, or after ten times as many
    draws as the budget (10,000 for budgets below 1,000). For p = 1/2 that leaves each draw uniform; else the
    bias is of the order of one draw in all of them.

    Attributes:
        p: inclusion probability.
    """

    p: float = 0.5
    name = "banzhaf"
    semivalue = "banzhaf"

    def minimum_budget(self, n_players: int) -> int:
        """Draws enough to expect 16 with and 16 without each player, and the empty and full coalition."""
        enough = 2 + 16 / min(self.p, 1.0 - self.p)  # infinite for the smallest p
        return int(2**n_players if enough > 2**n_players else round(enough))

    def estimate(self, game: CachedGame, rng: np.random.Generator, *, deviations: bool = False) -> Estimate:
        """Draw coalitions within the budget of `game`.

        Raises:
            ValueError: if a player was in, or out of, fewer than two draws.
        """
        n, left = game.n_players, 10 * max(1_000, game.budget)
        blocks = []
        while left:
            drawn = rng.random((min(_BLOCK, left), n)) < self.p
            fit = game.admissible(drawn[:, None])
            game(drawn[:fit])
            blocks.append(drawn[:fit])
            left = left - fit if fit == len(drawn) else 0
        coalitions, counts = np.unique(np.concatenate(blocks), axis=0, return_counts=True)
        worth = game(coalitions)
        centre = counts @ worth / counts.sum()  # keeps the squares below from cancelling
        worth = worth - centre
        means, variances = [], []
        groups = np.zeros((N_GROUPS, worth.shape[1], n))
        for members in (coalitions, ~coalitions):
            weights = counts[:, None] * members
            size = weights.sum(axis=0)
            if n and size.min() < 2:
                place = "in" if members is coalitions else "out of"
                raise ValueError(
                    f"player {size.argmin()} is {place} only {size.min()} of {counts.sum()} draws "
                    f"(p={self.p}); raise the budget ({game.budget}) or take p nearer to 0.5"
                )
            mean = worth.T @ weights / size
            squares = (worth**2).T @ weights - size * mean**2
            means.append(mean)
            variances.append(np.maximum(squares, 0.0) / (size - 1) / size)
            if deviations:
                # c draws of one coalition bring c times the same error, but independently: in squares, sqrt(c) times.
                levers = np.sqrt(counts)[:, None] * members / size * (1 if members is coalitions else -1)
                groups += group_sums(worth, levers) - group_sums(np.ones((len(levers), 1)), levers) * mean
        errors = np.sqrt(variances[0] + variances[1])
        return Estimate(means[0] - means[1], errors, None, int(counts.sum()), groups if deviations else None)
