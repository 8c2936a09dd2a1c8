"""Shapley values by sampling orderings of the players."""

from dataclasses import dataclass

import numpy as np

from attribution.estimator import Estimate
from attribution.games import CachedGame, Values
from attribution.moments import Moments

_BLOCK = 4096  # coalitions looked up at a time: large batches for the game, bounded memory
_PRIOR = 2  # degrees of freedom of the variance that all players have in common


@dataclass(frozen=True)
class PermutationSampling:
    """Mean marginal contribution over random orderings (Castro, Gómez and Tejada 2009).

    Orderings come in antithetic pairs, each with its reverse (Mitchell et al. 2022). Sampling ends with the first pair
    that the budget does not admit. The estimate stays unbiased, because what pairs cost, and so where sampling ends,
    does not depend on the players' names. Orderings whose coalitions are all known cost nothing, so their number is
    bounded as well.

    Few pairs say little of the variance between them: a player that mattered in none has none. So each player's
    variance is shrunk towards the mean of all players', as if that had been seen in two more pairs (as moderated
    variances of many genes are: Smyth 2004), and standard errors are stretched so that 1.96 of them are the quantile of
    Student's t with two degrees of freedom more than the pairs alone have.

    Attributes:
        permutations: number of orderings, if the budget admits them; None means as many as it admits, up to
            10,000 or the budget, whichever is more.
    """

    permutations: int | None = None
    name = "permutation"
    semivalue = "shapley"
    p = None

    def __post_init__(self) -> None:
        """Raise ValueError if `permutations` does not make at least two pairs."""
        count = self.permutations
        if count is not None and (count < 4 or count % 2):
            raise ValueError(f"permutations must be an even number, 4 or more, for a standard error; got {count}")

    def minimum_budget(self, n_players: int) -> int:
        """Empty and full coalition and all between them on two pairs."""
        return int(min(2**n_players, 2 + 4 * max(0, n_players - 1)))

    def estimate(self, game: CachedGame, rng: np.random.Generator, *, deviations: bool = False) -> Estimate:
        """Sample orderings within the budget of `game`."""
        n = game.n_players
        left = (self.permutations or max(10_000, game.budget)) // 2
        block = max(1, _BLOCK // (2 * (n + 1)))
        values, pivots = Moments(n, grouped=deviations), Moments(n)
        while left:
            drawn = min(block, left)
            orderings = rng.permuted(np.tile(np.arange(n), (drawn, 1)), axis=1)[:, None]
            orderings = np.concatenate([orderings, orderings[..., ::-1]], axis=1)
            places = orderings.argsort(axis=2)
            # A player is in the first k of an ordering if its place is below k: (drawn, 2, n + 1, n).
            prefixes = places[:, :, None, :] < np.arange(n + 1)[:, None]
            fit = game.admissible(prefixes.reshape(drawn, 2 * (n + 1), n))
            if fit:
                worth = game(prefixes[:fit].reshape(fit * 2 * (n + 1), n))
                steps = np.diff(worth.reshape(fit, 2, n + 1, game.n_outputs), axis=2)
                marginals = np.take_along_axis(steps, places[:fit, ..., None], axis=2).swapaxes(2, 3)
                values.add(marginals.mean(axis=1))
                pivots.add(np.maximum(marginals, 0.0).mean(axis=1))
            left = left - fit if fit == drawn else 0
        errors = _moderated(values.standard_error(), values.count - 1)
        return Estimate(values.mean, errors, pivots.mean, 2 * values.count, values.deviations())


def _moderated(errors: Values, degrees: int) -> Values:
    """Standard errors, (n_outputs, n_players), of variances with `degrees` of freedom, shrunk and stretched."""
    from scipy.special import stdtrit  # takes a while to import

    if errors.shape[1] == 0:
        return errors
    squares = errors**2
    shrunk = (degrees * squares + _PRIOR * squares.mean(axis=1, keepdims=True)) / (degrees + _PRIOR)
    moderated: Values = np.sqrt(shrunk) * (stdtrit(degrees + _PRIOR, 0.975) / stdtrit(np.inf, 0.975))
    return moderated
