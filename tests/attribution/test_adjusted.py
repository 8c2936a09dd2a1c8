import numpy as np
import pytest

from attribution import CachedGame, RegressionAdjusted, VotesGame, exact, explain


def sample(game, n, *, budget=None, seed=0):
    return RegressionAdjusted().estimate(CachedGame(game, n, budget=budget), np.random.default_rng(seed))


@pytest.mark.parametrize("n", range(10))
def test_all_coalitions_give_exact_values_without_error(table, n):
    game = table(n, n_outputs=2, seed=n)
    result = sample(game, n)
    np.testing.assert_allclose(result.values, exact(game, n).values, atol=1e-12)
    assert not result.errors.any()
    assert result.samples is None


@pytest.mark.parametrize(("n", "budget"), [(8, 40), (9, 60), (10, 100), (10, 400)])
def test_values_are_unbiased_and_errors_calibrated(table, n, budget):
    """Over 300 seeds. Of up to 10 means, all within 3.5 errors but once in 200; the kernel's lie up to 8 away here.

    Coverage is a little below 95 %, since the residuals of votes and noise are not normal in small samples.
    """
    game = table(n, seed=5)
    truth = exact(game, n).values[0]
    results = [sample(game, n, budget=budget, seed=seed) for seed in range(300)]
    values, errors = (np.array([getattr(result, part)[0] for result in results]) for part in ("values", "errors"))
    bias = (values.mean(axis=0) - truth) / (values.std(axis=0) / 300**0.5)
    assert np.abs(bias).max() < 3.5
    np.testing.assert_allclose(np.sqrt((errors**2).mean()), np.sqrt(((values - truth) ** 2).mean()), rtol=0.2)
    assert (np.abs(values - truth) < 1.96 * errors).mean() > 0.89


def test_additive_games_and_pairs_are_exact_without_error():
    rng = np.random.default_rng(0)
    alone, together = rng.normal(size=20), np.triu(rng.normal(size=(20, 20)), 1)
    result = sample(lambda c: c @ alone + np.einsum("ki,ij,kj->k", c, together, c), 20, budget=120)
    np.testing.assert_allclose(result.values[0], alone + (together.sum(0) + together.sum(1)) / 2, atol=1e-10)
    np.testing.assert_allclose(result.errors, 0, atol=1e-10)


def test_the_error_falls_with_the_budget(voting):
    game = voting(9, [5, 4, 3, 2, 2, 1, 1, 0, 0, 0])
    truth = exact(game, 10).values[0]

    def error(budget):
        return np.mean([(sample(game, 10, budget=budget, seed=seed).values[0] - truth) ** 2 for seed in range(20)])

    errors = [error(budget) for budget in (50, 200, 800)]
    assert errors[0] > 3 * errors[1] > 9 * errors[2]


@pytest.mark.parametrize(("n", "budget"), [(2, 4), (4, 14), (10, 1023), (20, 78), (20, 2000), (60, 400)])
def test_the_budget_is_used_and_values_sum_to_what_there_is(counting, n, budget):
    game = counting(lambda c: np.sqrt(c.sum(axis=1)) + 3 * c[:, 0] * c[:, 1])
    result = explain(game, n, estimator="regression-adjusted", budget=budget)
    assert len(set(game.evaluated)) == len(game.evaluated) == result.evaluations
    assert budget - 1 <= result.evaluations <= budget
    np.testing.assert_allclose(result.efficiency_gap, 0, atol=1e-10)


def test_answers_that_appear_late_count_as_zero_before():
    def answer(row):
        return f"size {row.sum()}" if row.sum() % 3 else str(np.flatnonzero(row))

    game = VotesGame(lambda c: [answer(row) for row in c], normalize=str)
    result = explain(game, 10, estimator="regression-adjusted", budget=200)
    assert len(result.outputs) > 20
    np.testing.assert_allclose(result.values.sum(axis=0), 0, atol=1e-12)


def test_a_budget_below_the_minimum_is_refused():
    message = r"'regression-adjusted' needs a budget of at least 42 evaluations for 20 players, got 41"
    with pytest.raises(ValueError, match=message):
        explain(lambda c: c.sum(axis=1), 20, estimator="regression-adjusted", budget=41)
