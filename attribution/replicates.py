"""Sampling error of many values at once, carried by sums over groups of draws."""

import numpy as np

from attribution.games import Values

N_GROUPS = 128  # a power of two; a variance from so many groups has a relative error of sqrt(2 / 128) = 1/8


def group_sums(left: Values, right: Values) -> Values:
    """Sums over every 128th draw of the products left x right, (128, n_outputs, n_players).

    Args:
        left: of each draw, (n_draws, n_outputs).
        right: of each draw, (n_draws, n_players).
    """
    return np.stack([left[group::N_GROUPS].T @ right[group::N_GROUPS] for group in range(N_GROUPS)])


def balanced_replicates(deviations: Values) -> Values:
    """Balanced repeated replication (McCarthy 1969): 128 sums of all groups, each group with sign + or -.

    Each replicate is a draw from the sampling error. The signs are those of a Hadamard matrix, so that the mean product
    of two values' replicates is the sum over groups of the products of their deviations: their covariance.

    Args:
        deviations: (128, n_outputs, n_players).
    """
    for _ in range(N_GROUPS.bit_length() - 1):  # the fast Walsh-Hadamard transform
        deviations = np.concatenate([deviations[::2] + deviations[1::2], deviations[::2] - deviations[1::2]])
    return deviations
