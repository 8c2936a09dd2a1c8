"""Shapley values by weighted regression on sampled coalitions."""

from dataclasses import dataclass

import numpy as np

from attribution.games import Values
from attribution.pairs import PairSample, PairSampling, Solution, solution


@dataclass(frozen=True)
class KernelSampling(PairSampling):
    """KernelSHAP (Lundberg and Lee 2017) on pairs of complementary coalitions, stratified by size.

    Shapley values solve a least-squares problem over all coalitions S with the weights
    (n - 1) / (C(n, s) s (n - s)), under the constraint that they sum to v(all) - v(none) (Charnes et al. 1988). A
    coalition comes with its complement (Covert and Lee 2021). Within a size, pairs are drawn without replacement, and
    all of a size that has few; each counts by the weight of all pairs that it stands for, so that with all coalitions
    the values are exact. Sizes share the budget as 1 / sqrt(s (n - s)), which makes the variance least where residuals
    are alike in all sizes (Neyman 1934). On votes it did a little better than equal shares, the leverage scores of the
    problem (Musco and Witter 2025).

    Standard errors are those of the regression (White 1980) with finite-population correction, so that sizes that are
    taken whole contribute none. They are approximate: the estimate is a ratio, unbiased only in the limit.
    """

    name = "kernel"

    def solve(self, sample: PairSample, odd: Values, total: Values, *, deviations: bool) -> Solution:
        """Weighted least squares."""
        targets, (rows, influence) = odd / 2, regression(sample)
        shares = (influence.T @ targets).T
        residuals = targets - rows @ shares.T
        # A residual is shrunk by its row's leverage (MacKinnon and White 1985, HC3).
        leverage = np.minimum((influence * rows).sum(axis=1), 1 - 1e-9)
        left = residuals * (np.sqrt(sample.unseen) / (1 - leverage))[:, None]
        return solution(shares + total[:, None] / rows.shape[1], left, influence, deviations=deviations)


def regression(sample: PairSample) -> tuple[Values, Values]:
    """Rows of the regression, and what each brings into the values per unit of its target; (n_pairs, n_players)."""
    pairs, weights = sample.pairs, sample.weights
    # Centred, a complement is the negative of its coalition: each pair is one row of the regression.
    rows = pairs - pairs.mean(axis=1, keepdims=True)
    # Centred rows sum to zero, so one direction is empty, and rounding must not fill it.
    inverse = np.linalg.pinv((rows * weights[:, None]).T @ rows, rcond=1e-10, hermitian=True)
    return rows, (rows * weights[:, None]) @ inverse
