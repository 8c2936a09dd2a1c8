from math import comb

import numpy as np
import pytest

from attribution import CachedGame, GaussianProcess, VotesGame, exact, explain
from attribution import gaussian_process as module
from attribution.games import all_coalitions
from attribution.pairs import draw_pairs
from attribution.process import Process, fit, negative_log_posterior, posterior


def sample(game, n, *, budget=None, seed=0, deviations=False):
    cached = CachedGame(game, n, budget=budget)
    return GaussianProcess().estimate(cached, np.random.default_rng(seed), deviations=deviations)


def signs_of(n, pairs, seed=0):
    """The full coalition and pairs as they are drawn, 1 for members and -1 for others."""
    drawn = draw_pairs(n, pairs, np.random.default_rng(seed)).pairs
    return np.where(np.concatenate([np.ones((1, n), bool), drawn]), 1.0, -1.0)


def dense_posterior(process, signs, targets):
    """The same by the definitions alone: a normal distribution of all worths, conditioned, times Shapley weights."""
    n = signs.shape[1]
    rows = all_coalitions(n)
    kernel = np.exp(-((rows[:, None] != rows) * process.rates).sum(axis=2))
    unit = (kernel[0, 0] - kernel[0, -1]) / 2
    inner = np.ones(2**n)
    inner[[0, -1]] = 0
    # Noise is the same for a coalition and its complement but for the sign, with the process's variance as unit.
    noise = process.noise * unit * (np.diag(inner) - np.diag(inner)[::-1])
    prior = kernel + noise
    weights = np.zeros((n, 2**n))
    for row, (members, size) in enumerate(zip(rows, rows.sum(axis=1).tolist(), strict=True)):
        for player in range(n):
            before = size - 1 if members[player] else size
            weights[player, row] = (2 * members[player] - 1) / (n * comb(n - 1, before))
    found = np.zeros((len(signs), 2**n))
    for pair, members in enumerate(signs > 0):
        place = int(members @ (1 << np.arange(n)))
        found[pair, place], found[pair, -1 - place] = 0.5, -0.5
    covariance = found @ prior @ found.T + 1e-10 * unit * np.eye(len(signs))
    gain = weights @ prior @ found.T @ np.linalg.inv(covariance)
    left = weights @ prior @ weights.T - gain @ found @ prior @ weights.T
    surprises = []
    for pair in range(len(signs)):
        others = np.arange(len(signs)) != pair
        weights_of_others = np.linalg.solve(covariance[np.ix_(others, others)], covariance[others, pair])
        surprises.append(targets[pair] - weights_of_others @ targets[others])
    scales = targets.T @ np.linalg.solve(covariance, targets) * unit / len(signs)
    return (gain @ targets).T, left / unit, scales, np.array(surprises)


@pytest.mark.parametrize(("n", "pairs"), [(2, 1), (3, 2), (5, 4), (6, 12), (7, 3)])
@pytest.mark.parametrize("noise", [1e-6, 0.3])
def test_values_and_covariance_are_those_of_a_normal_distribution_of_all_worths(n, pairs, noise):
    rng = np.random.default_rng(n)
    process, signs = Process(rng.exponential(size=n), noise), signs_of(n, pairs)
    targets = rng.normal(size=(len(signs), 3))
    found = posterior(process, signs, targets)
    values, left, scales, surprises = dense_posterior(process, signs, targets)
    np.testing.assert_allclose(found.values, values, atol=1e-6)
    np.testing.assert_allclose(found.covariance, left, atol=1e-6)
    np.testing.assert_allclose(found.scales, scales, rtol=1e-6)
    np.testing.assert_allclose(found.surprises, surprises, atol=1e-6)


def test_the_gradient_is_that_of_finite_differences():
    rng, signs = np.random.default_rng(0), signs_of(6, 20)
    targets = rng.normal(size=(len(signs), 3))
    for _ in range(5):
        at = rng.normal(-1, 1, size=7)
        steps = 1e-6 * np.eye(7)
        differences = [
            negative_log_posterior(at + step, signs, targets)[0] - negative_log_posterior(at - step, signs, targets)[0]
            for step in steps
        ]
        np.testing.assert_allclose(
            negative_log_posterior(at, signs, targets)[1], np.array(differences) / 2e-6, rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("n", range(10))
def test_all_coalitions_give_exact_values_without_error(table, n):
    game = table(n, n_outputs=2, seed=n)
    result = sample(game, n)
    np.testing.assert_allclose(result.values, exact(game, n).values, atol=1e-12)
    assert not result.errors.any()
    assert result.samples is None


def test_values_converge_to_exact_ones(voting, table):
    for game in (voting(9, [5, 4, 3, 2, 2, 1, 1, 0, 0, 0]), table(10, seed=1)):
        truth = exact(game, 10).values[0]
        squared = [
            np.mean([(sample(game, 10, budget=budget, seed=seed).values[0] - truth) ** 2 for seed in range(5)])
            for budget in (40, 200, 900)
        ]
        assert squared[0] < 0.2 * np.mean(truth**2)
        assert squared[1] > 3 * squared[2]
        assert squared[2] < 0.01 * np.mean(truth**2)


def test_additive_games_are_found():
    weights = np.linspace(-1, 2, 20)
    result = sample(lambda c: c @ weights + 3, 20, budget=128)
    np.testing.assert_allclose(result.values[0], weights, atol=0.005)
    assert (np.abs(result.values[0] - weights) < 1.96 * result.errors[0]).all()


def test_few_evaluations_do_better_than_a_regression():
    """One of twelve players and one of two others, as passages that need one another do, from 32 evaluations."""
    game = lambda c: c[:, 2] & (c[:, 7] | c[:, 9])  # noqa: E731
    truth = exact(game, 12).values[0]

    def error(name):
        runs = [explain(game, 12, estimator=name, budget=32, seed=seed).values[0] for seed in range(10)]
        return np.mean((np.array(runs) - truth) ** 2)

    assert error("gaussian-process") < error("kernel") / 2


def test_players_that_do_nothing_get_next_to_nothing():
    result = sample(lambda c: c[:, 2] | c[:, 7], 12, budget=64).values[0]
    assert np.abs(np.delete(result, [2, 7])).max() < 2e-3
    np.testing.assert_allclose(result[[2, 7]], 0.5, atol=0.01)


def test_identical_players_get_the_same():
    result = explain(lambda c: np.sqrt(c.sum(axis=1)), 16, estimator="gaussian-process", budget=256)
    np.testing.assert_allclose(result.values[0], 1 / 4, atol=0.03)


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_the_smallest_games(n):
    result = explain(lambda c: c.sum(axis=1) * 2.0, n, estimator="gaussian-process", budget=max(1, 2**n))
    np.testing.assert_allclose(result.values, np.full((1, n), 2.0))


def test_constant_games_and_outputs_are_zero():
    result = explain(lambda c: np.stack([0 * c[:, 0] + 7.0, c[:, 1] * 1.0], axis=1), 12, estimator="gaussian-process")
    assert not result.values[0].any()
    assert not result.errors[0].any()
    np.testing.assert_allclose(result.values[1], np.arange(12) == 1, atol=1e-4)


def test_200_players():
    weights = np.linspace(0, 1, 200)
    result = explain(lambda c: c @ weights + (c[:, 3] & c[:, 9]), 200, estimator="gaussian-process", budget=450)
    away = result.values[0] - weights - np.isin(np.arange(200), (3, 9)) / 2
    assert np.sqrt(np.mean(away**2)) < 0.15
    assert np.mean(np.abs(away) < 1.96 * result.errors[0]) > 0.9
    np.testing.assert_allclose(result.efficiency_gap, 0, atol=1e-9)


def test_budget_nan_and_too_many_players_are_refused():
    game = lambda c: c.sum(axis=1)  # noqa: E731
    message = "'gaussian-process' needs a budget of at least 4 evaluations for 20 players, got 3"
    with pytest.raises(ValueError, match=message):
        explain(game, 20, estimator="gaussian-process", budget=3)
    with pytest.raises(ValueError, match="at most 200 players, got 1000; use 'kernel' or 'permutation'"):
        explain(game, 1000, estimator="gaussian-process", budget=3000)
    with pytest.raises(ValueError, match="values must be finite"):
        explain(lambda c: np.where(c[:, 0], np.nan, 1.0), 12, estimator="gaussian-process")
    assert explain(game, 1000, budget=2002).estimator == "kernel"


def test_the_budget_is_used_up_to_the_most_pairs(counting):
    game = counting(lambda c: np.sqrt(c.sum(axis=1)))
    for budget, spent in ((32, 32), (101, 100), (5000, 2 + 2 * module.MAX_PAIRS)):
        assert explain(game, 20, estimator="gaussian-process", budget=budget).evaluations == spent


def test_200_answers_sum_to_nothing():
    """Votes: values of all answers sum to 0 for every player, and late answers count as zero before."""
    game = VotesGame(lambda c: [str(row[:8].tobytes()) for row in c], normalize=str)
    with np.errstate(divide="raise", invalid="raise"):  # some are in few of the pairs
        result = explain(game, 12, estimator="gaussian-process", budget=512)
    assert len(result.outputs) > 100
    np.testing.assert_allclose(result.values.sum(axis=0), 0, atol=1e-10)
    np.testing.assert_allclose(result.efficiency_gap, 0, atol=1e-10)
    assert np.isfinite(result.errors).all()


def test_deviations_have_the_covariance_of_the_posterior(voting):
    game = voting(9, [5, 4, 3, 2, 2, 1, 1, 0, 0, 0])
    result = sample(lambda c: np.stack([game(c), 1 - game(c)], axis=1), 10, budget=60, deviations=True)
    squares = (result.deviations**2).sum(axis=0)
    np.testing.assert_allclose(np.sqrt(squares.mean()), np.sqrt((result.errors**2).mean()), rtol=0.1)
    np.testing.assert_allclose(result.deviations.sum(axis=1), 0, atol=1e-8)  # what one answer wins, the other loses
    np.testing.assert_allclose(result.deviations.sum(axis=2), 0, atol=1e-4)  # what all win is known


def test_the_same_seed_gives_the_same_values(table):
    first, same, other = (
        explain(table(12), 12, estimator="gaussian-process", budget=100, seed=seed) for seed in (1, 1, 2)
    )
    assert first == same
    assert not np.array_equal(first.values, other.values)


def test_errors_hold_exact_values_of_games_unlike_the_process():
    """A quota met by weights and by noise of each coalition's own; the deviations of the posterior alone hold 72 %."""
    rows, held = all_coalitions(10), []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        weights = rng.random(10) ** 3 * (rng.random(10) < 0.6)
        worth = (rows @ weights + rng.normal(size=1024) * 0.1 >= 0.4 * weights.sum()).astype(float)
        game = lambda c, worth=worth: worth[c @ (1 << np.arange(10))]  # noqa: E731
        found = sample(game, 10, budget=64, seed=seed)
        held += (np.abs(found.values - exact(game, 10).values) <= 1.96 * found.errors + 1e-9).ravel().tolist()
    assert np.mean(held) > 0.84


def test_noise_is_bounded_by_more_where_worths_repeat():
    """Votes, or sums of two kinds of votes, against worths that are all different."""
    rows, signs = all_coalitions(8), signs_of(8, 40)
    place = (signs > 0) @ (1 << np.arange(8))
    smooth = np.log(0.1 + rows @ np.arange(1, 9.0) ** 2)
    votes = ((rows @ np.arange(8)) > 12).astype(float)

    def noise(*worths):
        targets = np.stack([(worth[place] - worth[-1 - place]) / 2 for worth in worths], axis=1)
        return fit(signs, targets).noise

    assert noise(smooth) < 0.01
    for worths in ([votes], [votes + 0.5 * rows[:, 3]], [smooth, votes]):
        assert noise(*worths) >= 0.03 * (1 - 1e-9)
