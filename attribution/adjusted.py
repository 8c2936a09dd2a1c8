"""Shapley values by unbiased sampling, with a fitted game as control variate."""

from dataclasses import dataclass

import numpy as np

from attribution.games import Values
from attribution.pairs import PairSample, PairSampling, Solution, solution

_FOLDS = 10


@dataclass(frozen=True)
class RegressionAdjusted(PairSampling):
    """Regression-adjusted Monte Carlo (Witter, Liu and Musco 2025) on pairs of coalitions stratified by size.

    A game f of known Shapley values is fitted to the sampled coalitions, and what it leaves is estimated by sampling:
    values = values of f + estimate of (v - f). Here f is additive, so its values are its coefficients, found by the
    regression of `KernelSampling`; pairs are drawn as there. The estimate of the rest weighs each size of coalitions
    as the Shapley value does, and uses every coalition for every player. For each tenth of the sample f is fitted to
    the other nine, whose coalitions are known, while those of the tenth stand for all the rest; so the values are
    unbiased at any budget, where `KernelSampling` is so in the limit only. They sum to v(all) - v(none), and with all
    coalitions they are exact.

    Standard errors are those of a stratified sample without replacement, from the squares of what f leaves.
    """

    name = "regression-adjusted"

    def solve(self, sample: PairSample, odd: Values, total: Values, *, deviations: bool) -> Solution:
        """Fit to nine tenths, correct on the other, in turn."""
        pairs, m, n = sample.pairs, len(sample.pairs), sample.pairs.shape[1]
        sizes = pairs.sum(axis=1)
        rows = pairs - sizes[:, None] / n
        # What a pair counts for each player: pairs of the middle size of an even n are half as many as its coalitions.
        middle = 1 + (2 * sizes == n)
        levers = rows * (n / (sizes * (n - sizes)) / middle)[:, None]
        drawn = np.bincount(sizes)[sizes]
        folds = np.arange(m) % _FOLDS  # pairs of a size come in random order
        left = np.zeros_like(odd)  # of each pair, what the fit of the other folds leaves
        values = np.repeat(total[:, None] / n, n, axis=1)
        for fold in range(min(_FOLDS, m)):
            own = folds == fold
            root = np.where(own, 0.0, np.sqrt(sample.weights))[:, None]
            fit = np.linalg.pinv(rows * root, rcond=1e-10) @ (odd * root)
            residuals = odd - rows @ fit
            left[own] = residuals[own]
            # Of a size, the pairs of the other folds stand for themselves, those of this one for all the rest.
            held = np.bincount(sizes[own], minlength=n)[sizes]
            parts = (own * sample.unseen + (1 - sample.unseen) * held / drawn) / drawn
            values += (residuals * parts[:, None]).T @ levers
            # By the covariance of membership in a random coalition of given size, each size holds so much of the fit.
            values += fit.T * (own / drawn / middle).sum() / (n - 1)
        return solution(values, left, levers * (np.sqrt(sample.unseen) / drawn)[:, None], deviations=deviations)
