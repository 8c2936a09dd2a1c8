import numpy as np
import pytest

from attribution import BanzhafSampling, CachedGame, exact, explain


def sample(game, n, *, p=0.5, budget=None, seed=0):
    return BanzhafSampling(p).estimate(CachedGame(game, n, budget=budget), np.random.default_rng(seed))


@pytest.mark.parametrize("p", [0.5, 0.2, 0.8])
def test_errors_are_calibrated(table, p):
    """As for permutations: cover of 200 intervals of 95 % within a binomial band, z-scores spread by one."""
    n, game = 9, table(9, seed=4)
    truth = exact(game, n, semivalue="banzhaf", p=p).values[0]
    z = []
    for seed in range(200):
        result = sample(game, n, p=p, budget=200, seed=seed)
        z.append((result.values[0] - truth) / result.errors[0])
    z = np.array(z)
    covered = (np.abs(z) < 1.96).sum(axis=0)
    assert covered.min() >= 177
    assert covered.max() <= 199
    np.testing.assert_allclose(z.std(axis=0), 1.0, atol=0.2)
    np.testing.assert_allclose(z.mean(axis=0), 0.0, atol=4 / np.sqrt(200))


def test_agrees_with_the_plain_two_group_formula(table):
    """Means and variances of the draws with and without each player, repeated draws counted each time."""
    n, game = 6, table(6, n_outputs=3)
    result = sample(game, n, p=0.3, seed=7)
    draws = np.random.default_rng(7).random((result.samples, n)) < 0.3
    worth = game(draws)
    for i in range(n):
        with_, without = worth[draws[:, i]], worth[~draws[:, i]]
        np.testing.assert_allclose(result.values[:, i], with_.mean(axis=0) - without.mean(axis=0))
        error = np.sqrt(with_.var(axis=0, ddof=1) / len(with_) + without.var(axis=0, ddof=1) / len(without))
        np.testing.assert_allclose(result.errors[:, i], error)


def test_repeated_draws_count_as_samples_and_cost_nothing(counting, table):
    game = counting(table(5))
    result = explain(game, 5, estimator="banzhaf", semivalue="banzhaf")
    assert len(game.evaluated) == result.evaluations == 32
    assert result.samples == 10_000
    assert result.errors.max() < 0.05


@pytest.mark.parametrize("n", [8, 16, 50])
@pytest.mark.parametrize("p", [0.5, 0.1])
def test_the_budget_is_used_and_never_exceeded(counting, n, p):
    game = counting(lambda c: c.sum(axis=1))
    result = explain(game, n, estimator="banzhaf", semivalue="banzhaf", p=p, budget=200)
    assert len(set(game.evaluated)) == len(game.evaluated) == result.evaluations <= 200
    assert result.evaluations == 200 or result.samples == 10_000
    assert result.p == p
    assert result.pivots is None


def test_a_constant_game_has_no_value_and_no_error():
    result = sample(lambda c: np.full(len(c), -123.456), 20, budget=100)
    assert not result.values.any()
    assert not result.errors.any()


@pytest.mark.parametrize(("p", "minimum"), [(0.5, 34), (0.1, 162), (0.9, 162)])
def test_a_budget_below_the_minimum_is_refused(counting, p, minimum):
    game = counting(lambda c: c.sum(axis=1))
    with pytest.raises(ValueError, match=f"'banzhaf' needs .* at least {minimum} .*got {minimum - 1}"):
        explain(game, 20, semivalue="banzhaf", p=p, budget=minimum - 1)
    assert game.evaluated == []
    for seed in range(50):
        result = explain(game, 20, semivalue="banzhaf", p=p, budget=minimum, seed=seed)
        assert (result.errors > 0).all()


def test_a_player_that_is_hardly_ever_in_is_an_error_not_nan():
    with pytest.raises(ValueError, match=r"player \d is in only 0 of 10000 draws \(p=1e-09\)"):
        sample(lambda c: c.sum(axis=1), 3, p=1e-9)
