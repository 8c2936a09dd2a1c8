"""Every estimator from no player to 1,100, against closed forms

2^n is beyond int64 from 63 on, beyond floats from 1,024 on.
"""

import numpy as np
import pytest

from attribution import (
    CachedGame,
    Group,
    KernelSampling,
    RegressionAdjusted,
    exact,
    exact_owen,
    explain,
    interactions,
    owen,
)

SIZES = (0, 1, 2, 14, 15, 68, 200, 1100)


def three_games(n):
    """An additive game, unanimity of three players (of fewer where there are fewer), and the largest weight present."""
    weights, carrier = np.linspace(1, 2, n), sorted({0, n // 2, n - 1} & set(range(n)))

    def game(coalitions):
        additive = coalitions @ weights
        unanimity = coalitions[:, carrier].all(axis=1)
        largest = (coalitions * weights).max(axis=1, initial=0.0)
        return np.stack([additive, unanimity, largest], axis=1)

    return game


def closed_forms(n, semivalue):
    """Values of `three_games`, (3, n).

    The largest weight is a sum of steps, each worth something as soon as one of the players from some player on is in:
    in a "one of g is enough" game each of the g has Shapley value 1 / g and Banzhaf value 1 / 2^(g - 1).
    """
    weights, carrier = np.linspace(1, 2, n), sorted({0, n // 2, n - 1} & set(range(n)))
    t, g = len(carrier), np.arange(n, 0, -1)
    of_all, of_one = {  # of each carrier of unanimity, of each player of "one of g is enough"
        "shapley": (1 / max(1, t), 1 / g),
        "banzhaf": (0.5 ** (t - 1), 0.5 ** (g - 1)),
        "leave-one-out": (1.0, (g == 1) * 1.0),
        "first-in": (float(t == 1), np.ones(n)),
    }[semivalue]
    unanimity = np.zeros(n)
    unanimity[carrier] = of_all
    return np.stack([weights, unanimity, np.cumsum(np.diff(weights, prepend=0.0) * of_one)])


def check(result, n, semivalue):
    """Within 5 errors, and what a player is worth that mattered in none of the samples (6 / samples, as at 95 %)."""
    assert result.values.shape == (3, n)
    unseen = 6 / result.samples if result.samples else 1e-9
    np.testing.assert_array_less(np.abs(result.values - closed_forms(n, semivalue)), 5 * result.errors + unseen)
    if semivalue == "shapley":
        np.testing.assert_allclose(result.efficiency_gap, 0, atol=1e-8)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("estimator", ["auto", "permutation", "kernel", "regression-adjusted", "banzhaf"])
def test_sampled_values_agree_with_closed_forms(n, estimator):
    if (estimator, n) == ("regression-adjusted", 1100):
        pytest.skip("takes 15 seconds; the next test has it with few pairs")
    semivalue = "banzhaf" if estimator == "banzhaf" else "shapley"
    budget = 20_000 if (estimator, n) == ("permutation", 1100) else 4000
    check(explain(three_games(n), n, estimator=estimator, semivalue=semivalue, budget=budget), n, semivalue)


@pytest.mark.parametrize("estimator", [KernelSampling(), RegressionAdjusted()])
@pytest.mark.parametrize("n", [68, 200, 1040, 1100])
def test_few_pairs_of_many_players_give_finite_values_that_sum_to_what_there_is(estimator, n):
    game = CachedGame(three_games(n), n, budget=102)
    found = estimator.estimate(game, np.random.default_rng(0))
    ends = game(np.stack([np.ones(n, bool), np.zeros(n, bool)]))
    np.testing.assert_allclose(found.values.sum(axis=1), ends[0] - ends[1], rtol=1e-8)
    assert np.isfinite(found.errors).all()


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("semivalue", ["shapley", "banzhaf", "leave-one-out", "first-in"])
def test_exact_values_or_an_error_that_names_another_estimator(n, semivalue):
    if n <= 14 or semivalue in ("leave-one-out", "first-in"):
        check(exact(three_games(n), n, semivalue=semivalue), n, semivalue)
        return
    other = "permutation" if semivalue == "shapley" else "banzhaf"
    with pytest.raises(ValueError, match=rf"at most 14 players, got {n} .*use explain\(..., estimator='{other}'"):
        exact(three_games(n), n, semivalue=semivalue)


@pytest.mark.parametrize(
    ("n", "settings", "minimum"),
    [
        (1100, {}, 2202),
        (1100, {"estimator": "regression-adjusted"}, 2202),
        (1100, {"estimator": "permutation"}, 4398),
        (1100, {"semivalue": "first-in", "budget": 1101}, 1102),
        (68, {"semivalue": "banzhaf", "p": 1e-320}, 2**68),
    ],
)
def test_the_error_of_a_small_budget_names_the_least_one(n, settings, minimum):
    with pytest.raises(ValueError, match=f"needs a budget of at least {minimum} evaluations for {n} players"):
        explain(three_games(n), n, **settings)


@pytest.mark.parametrize("n", SIZES)
def test_owen_values_of_two_unions(n):
    """In additive games the unions change nothing."""
    half = tuple(Group(str(i)) for i in range(n // 2)), tuple(Group(str(i)) for i in range(n // 2, n))
    tree = Group("all", tuple(Group("union", members) for members in half if members))
    if n == 0:  # a tree without parts is one player
        tree, n = Group("alone"), 1
    weights, players = np.linspace(1, 2, n), [not node.parts for node in tree.walk()]
    game = lambda coalitions: coalitions @ weights  # noqa: E731
    np.testing.assert_allclose(owen(game, tree, permutations=16).values[0, players], weights)
    if n <= 15:
        np.testing.assert_allclose(exact_owen(game, tree).values[0, players], weights)
    else:
        with pytest.raises(ValueError, match=r"need more than 65536 coalitions; use owen\(\)"):
            exact_owen(game, tree)


@pytest.mark.parametrize("n", SIZES)
def test_interactions_of_a_pair_or_an_error_that_names_the_least_budget(n):
    game = lambda coalitions: coalitions[:, :2].all(axis=1) * 1.0  # noqa: E731
    if n > 60:
        with pytest.raises(ValueError, match=f"need a budget of at least {2 + n * (n + 1)} evaluations, got 2000"):
            interactions(game, n)
        return
    expected = np.zeros((n, n))
    if n > 1:
        expected[0, 1] = expected[1, 0] = 1.0
    np.testing.assert_allclose(interactions(game, n).values[0], expected, atol=1e-9)
