"""Gaussian processes over pairs of complementary coalitions, and the Shapley values of games drawn from them."""

from math import ceil, lgamma, log
from typing import NamedTuple

import numpy as np

from attribution.games import Values

_FITTED = 128  # pairs of which the likelihood is maximised first, at most
_STEPS = 8  # by which it is then improved on all pairs
_SPREAD = 2.0  # standard deviation of the prior of log(-log xi), whose mean is log(1 / n)
_MOST_NOISE = 1e2  # in parts of the variance of the process
_LEAST_NOISE = 1e-3
_LEAST_NOISE_OF_FEW_WORTHS = 0.03  # see `GaussianProcess`
_JITTER = 1e-10


class Process(NamedTuple):
    """The parameters of the process: all outputs have them in common but for their scales.

    Attributes:
        rates: -log xi of each player, (n_players,); the closer to 0, the less the player matters.
        noise: variance of what is unlike from pair to pair, in parts of the variance of the process.
    """

    rates: Values
    noise: float


def prior(n_players: int) -> Process:
    """The process that is expected before anything was seen, from which `fit` starts."""
    return Process(np.full(n_players, 1 / n_players), 0.1)


def fit(signs: Values, targets: Values) -> Process:
    """The process that makes the posterior of its parameters largest, by L-BFGS.

    Args:
        signs: 1 for players of the coalition and -1 for others, (n_pairs, n_players); the first is the full coalition.
        targets: half of what each coalition is worth more than its complement, (n_pairs, n_outputs); no output is 0
            everywhere.
    """
    from scipy.optimize import minimize  # takes a while to import

    m, n = signs.shape
    found = np.log(np.append(*prior(n)))
    bounds = [(found[0] - 5 * _SPREAD, log(10.0))] * n + [(log(_least_noise(targets)), log(_MOST_NOISE))]
    few = np.unique(np.linspace(0, m - 1, min(_FITTED, m)).astype(np.intp))
    for rows, steps in ((few, 100), (np.arange(m), _STEPS)):
        options = {"maxiter": steps, "ftol": 1e-5, "gtol": 1e-3}
        seen = targets[rows][:, np.abs(targets[rows]).max(axis=0) > 0]  # an output may be 0 in the few
        arguments = (signs[rows], seen)
        found = minimize(negative_log_posterior, found, arguments, "L-BFGS-B", True, bounds=bounds, options=options).x
        if len(few) == m:
            break
    parameters = np.exp(found)
    return Process(parameters[:n], float(parameters[n]))


def _least_noise(targets: Values) -> float:
    """Of the parameters for these targets, `(n_pairs, n_outputs)`; rounding makes no two different."""
    ordered = np.sort(targets / np.abs(targets).max(axis=0), axis=0)
    different = 1 + (np.diff(ordered, axis=0) > 1e-9).sum(axis=0)
    return _LEAST_NOISE_OF_FEW_WORTHS if different.min() < len(targets) / 2 else _LEAST_NOISE


def negative_log_posterior(parameters: Values, signs: Values, targets: Values) -> tuple[float, Values]:
    """Of log rates and log noise, (n_players + 1,), but for a constant; and its gradient. See `fit` for the others."""
    (m, n), n_outputs = signs.shape, targets.shape[1]
    rates, noise = np.exp(parameters[:n]), float(np.exp(parameters[n]))
    covariance, sums = covariances(rates, signs, signs)
    lower = np.linalg.cholesky(noisy(covariance, noise))
    inverse = np.linalg.inv(lower)
    precision = inverse.T @ inverse
    weighed = precision @ targets
    squares = (targets * weighed).sum(axis=0)
    # A scale of s = squares / m for each output is the likeliest. Outputs depend on one another (of votes, one wins
    # what others lose), so the mean of their likelihoods counts, not the sum.
    likelihood = np.log(lower.diagonal()).sum() + m / 2 * np.log(squares).mean()
    by_entry = precision / 2 - m / 2 / n_outputs * (weighed / squares) @ weighed.T
    by_rate = ((by_entry * sums) @ signs * signs).sum(axis=0) - (by_entry * covariance).sum() / np.tanh(rates.sum() / 2)
    by_noise = by_entry.diagonal()[1:].sum()
    away = (parameters[:n] + log(n)) / _SPREAD
    gradient = np.append(by_rate * rates / 2 + away / _SPREAD, by_noise * noise)
    return float(likelihood + (away**2).sum() / 2), gradient


class Posterior(NamedTuple):
    """The distribution of the Shapley values given the pairs.

    Attributes:
        values: the means, (n_outputs, n_players).
        scales: the covariance of output c of player i with output d of player j is `scales[c, d] * covariance[i, j]`;
            (n_outputs, n_outputs).
        covariance: see `scales`; (n_players, n_players).
        surprises: targets less what the process makes of each from all others, (n_pairs, n_outputs).
    """

    values: Values
    scales: Values
    covariance: Values
    surprises: Values


def posterior(process: Process, signs: Values, targets: Values) -> Posterior:
    """Condition the process on the pairs; see `fit` for the arguments."""
    rates, noise = process
    n = len(rates)
    covariance, _ = covariances(rates, signs, signs)
    inverse = np.linalg.inv(np.linalg.cholesky(noisy(covariance, noise)))
    shares = np.concatenate([np.zeros((1, n)), pair_shares(signs[1:])])
    whitened = inverse @ (values_of_covariance(rates, signs) + noise * shares)
    explained = inverse @ targets
    values = explained.T @ whitened
    missing = 2 * targets[0] - values.sum(axis=1)  # by rounding
    left = covariance_of_values(rates) + noise * covariance_of_shares(n) - whitened.T @ whitened
    surprises = inverse.T @ explained / (inverse**2).sum(axis=0)[:, None]
    return Posterior(values + missing[:, None] / n, explained.T @ explained / len(signs), left, surprises)


def covariances(rates: Values, signs: Values, others: Values) -> tuple[Values, Values]:
    """Covariances of pairs with others in units of their variance, and the same with a sum in place of the difference.

    For signs x and y, (k(z, w) - k(z, not w)) / 2 is in proportion to sinh(sum_r rate_r x_r y_r / 2).
    """
    half = rates.sum() / 2
    same = (signs * rates) @ others.T / 2
    unit = -np.expm1(-2 * half)
    alike, unlike = np.exp(same - half) / unit, np.exp(-same - half) / unit
    return alike - unlike, alike + unlike


def noisy(covariance: Values, noise: float) -> Values:
    """With noise on all pairs but the first."""
    diagonal = np.full(len(covariance), noise + _JITTER)
    diagonal[0] = _JITTER
    noisy: Values = covariance + np.diag(diagonal)
    return noisy


def values_of_covariance(rates: Values, signs: Values) -> Values:
    """Shapley values of each pair's covariance with a coalition, as a game of that coalition: (n_pairs, n_players).

    Player i of the game k(., w) has the value (k_i(1, w_i) - k_i(0, w_i)) int_0^1 prod_{r != i} (k_r(0, w_r) (1 - t) +
    k_r(1, w_r) t) dt, since a player that arrives at a random time t finds each other one there with probability t.
    """
    times, weights = _quadrature(len(rates) - 1)
    least = -np.expm1(-rates)  # 1 - xi
    values: Values = np.zeros_like(signs)
    for side in (1.0, -1.0):  # the coalition and its complement
        for time, weight in zip(times, weights, strict=True):
            factors = 1 - least * np.where(side * signs > 0, 1 - time, time)
            values += weight * np.exp(np.log(factors).sum(axis=1, keepdims=True)) * signs * least / factors
    values /= -np.expm1(-rates.sum())
    return values


def covariance_of_values(rates: Values) -> Values:
    """Of the Shapley values of a game drawn from the process, (n_players, n_players)."""
    times, weights = _quadrature(len(rates) - 1)
    first, second = (grid.ravel() for grid in np.meshgrid(times, times))
    least = -np.expm1(-rates)
    factors = 1 - np.outer(first * (1 - second) + second * (1 - first), least)
    products = np.exp(np.log(factors).sum(axis=1)) * np.outer(weights, weights).ravel()
    others = least / factors
    covariance: Values = (others * (products * (2 * first - 1) * (2 * second - 1))[:, None]).T @ others
    np.fill_diagonal(covariance, 2 * products @ others)
    covariance *= 2 / -np.expm1(-rates.sum())
    return covariance


def pair_shares(signs: Values) -> Values:
    """What the Shapley values hold of (v(S) - v(all but S)) / 2 for each coalition S, (n_pairs, n_players)."""
    n, sizes = signs.shape[1], (signs > 0).sum(axis=1)
    inside, outside = (np.exp(_log_weights(n))[sizes - less] for less in (1, 0))
    shares: Values = 2 * np.where(signs > 0, inside[:, None], -outside[:, None])
    return shares


def covariance_of_shares(n: int) -> Values:
    """Of the Shapley values of a game in which all pairs but (all, none) are independent, with variance 1."""
    sizes, weights = np.arange(1, n), np.exp(_log_weights(n))
    # Each player's weights, squared, times the coalitions of a size that have the player, or have it not.
    variance = 2 * (weights[sizes - 1] + weights[sizes]).sum() / n
    # The values sum to 0 and players are alike.
    covariance: Values = variance / max(1, n - 1) * (n * np.eye(n) - 1)
    return covariance


def _log_weights(n: int) -> Values:
    """Logarithms of the Shapley weights 1 / (n C(n - 1, s)) of coalitions of s = 0 to n - 1 other players."""
    return np.array([lgamma(s + 1) + lgamma(n - s) - lgamma(n + 1) for s in range(n)])


def _quadrature(degree: int) -> tuple[Values, Values]:
    """Nodes and weights between 0 and 1 that integrate polynomials of this degree exactly."""
    nodes, weights = np.polynomial.legendre.leggauss(ceil((degree + 1) / 2))
    return (nodes + 1) / 2, weights / 2
