"""Which pairs of complements to evaluate next, so that a Gaussian process learns the most of the values."""

import numpy as np
import numpy.typing as npt

from attribution.games import Values
from attribution.process import (
    Process,
    covariance_of_shares,
    covariance_of_values,
    covariances,
    noisy,
    pair_shares,
    values_of_covariance,
)


def most_informative(process: Process, signs: Values, pool: Values, count: int) -> list[int]:
    """Pairs of the pool, one after another, each of which says the most of the Shapley values given all before.

    What an observation says of the values is their mutual information: half the logarithm of the observation's variance
    over what is left of it once the values are known (the expected information gain of ShaplEIG, arXiv 2606.02247). It
    depends on which pairs were evaluated, not on what they are worth, so that several can be chosen before any is
    evaluated.

    Args:
        process: fitted to the pairs evaluated so far.
        signs: these pairs, (n_pairs, n_players), as `process.fit` takes them.
        pool: pairs to choose from, (n_candidates, n_players), none of them in `signs`.
        count: how many to choose, at most n_candidates.

    Returns:
        Rows of the pool in the order in which they were chosen.
    """
    rates, noise = process
    shares = np.concatenate([np.zeros((1, len(rates))), pair_shares(signs[1:])])
    inverse = np.linalg.inv(np.linalg.cholesky(noisy(covariances(rates, signs, signs)[0], noise)))
    explained = inverse @ (values_of_covariance(rates, signs) + noise * shares)
    roots = covariances(rates, pool, signs)[0] @ inverse.T
    # Given the pairs: variances of the candidates, their covariances with the values, and those of the values.
    variances = 1 + noise - (roots**2).sum(axis=1)
    of_values = values_of_covariance(rates, pool) + noise * pair_shares(pool) - roots @ explained
    left = covariance_of_values(rates) + noise * covariance_of_shares(len(rates)) - explained.T @ explained
    chosen: list[int] = []
    open_: npt.NDArray[np.bool_] = np.ones(len(pool), np.bool_)
    for _ in range(count):
        # The sum of the values is known, so one direction is empty, and rounding must not fill it.
        known = ((of_values @ np.linalg.pinv(left, rcond=1e-8, hermitian=True)) * of_values).sum(axis=1)
        # Of gains that differ by rounding alone the first is taken, on every machine.
        best = int(np.where(open_, np.round(known / variances, 6), -1.0).argmax())
        chosen.append(best)
        open_[best] = False
        root = (covariances(rates, pool, pool[best : best + 1])[0][:, 0] - roots @ roots[best]) / variances[best] ** 0.5
        gain = of_values[best] / variances[best] ** 0.5
        roots = np.column_stack([roots, root])
        variances = np.maximum(variances - root**2, noise / 2)
        of_values = of_values - np.outer(root, gain)
        left = left - np.outer(gain, gain)
    return chosen
