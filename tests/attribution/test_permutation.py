import numpy as np
import pytest
from scipy import stats

from attribution import CachedGame, PermutationSampling, VotesGame, exact, explain
from attribution.games import all_coalitions


def sample(game, n, *, budget=None, seed=0, **settings):
    cached = CachedGame(game, n, budget=budget)
    return PermutationSampling(**settings).estimate(cached, np.random.default_rng(seed))


def test_the_first_pair_by_hand():
    """An additive game plus a bonus for both: each pair gives the mean of first and last place."""
    result = sample(lambda c: c @ [1.0, 2.0] + 4.0 * c.all(axis=1), 2, permutations=4)
    np.testing.assert_allclose(result.values, [[3.0, 4.0]])
    np.testing.assert_allclose(result.pivots, [[3.0, 4.0]])
    assert not result.errors.any()
    assert result.samples == 4


def test_additive_games_are_exact_without_error():
    weights = np.random.default_rng(0).normal(size=30)
    result = sample(lambda c: c @ weights, 30, budget=500)
    np.testing.assert_allclose(result.values[0], weights, atol=1e-12)
    np.testing.assert_allclose(result.errors, 0, atol=1e-12)


def test_errors_are_calibrated(table):
    """Over 200 seeds the truth lies within 1.96 errors as often as it should, and z-scores spread by one.

    Counts below 177 or above 199 of 200 have a chance of about 1 in 1,000 at 95 % cover (binomial).
    """
    game, n = table(6, seed=5), 6
    truth = exact(game, n)
    z, pivots = [], []
    for seed in range(200):
        result = sample(game, n, seed=seed, permutations=120)
        z.append((result.values[0] - truth.values[0]) / result.errors[0])
        pivots.append(result.pivots[0])
    z = np.array(z)
    covered = (np.abs(z) < 1.96).sum(axis=0)
    assert covered.min() >= 177
    assert covered.max() <= 199
    np.testing.assert_allclose(z.std(axis=0), 1.0, atol=0.2)
    np.testing.assert_allclose(z.mean(axis=0), 0.0, atol=4 / np.sqrt(200))
    pivots = np.array(pivots)
    spread = pivots.std(axis=0) / np.sqrt(200)
    np.testing.assert_array_less(np.abs(pivots.mean(axis=0) - truth.pivots[0]), 4 * spread)


def test_stopping_at_the_budget_leaves_no_bias(table):
    """Tight budgets, where many pairs are cheap because their coalitions are known already."""
    game, n = table(5, seed=8), 5
    truth = exact(game, n).values[0]
    estimates = np.array([sample(game, n, budget=24, seed=seed).values[0] for seed in range(1000)])
    error = estimates.std(axis=0, ddof=1) / np.sqrt(len(estimates))
    np.testing.assert_array_less(np.abs(estimates.mean(axis=0) - truth), 4 * error)


def test_a_pair_is_exact_where_steps_grow_evenly():
    """Worth is size squared: the k-th player adds 2k - 1, so its two places in a pair always average n."""
    game = lambda c: c.sum(axis=1) ** 2  # noqa: E731
    pairs = sample(game, 10, permutations=40)
    np.testing.assert_allclose(pairs.values, 10)
    np.testing.assert_allclose(pairs.errors, 0, atol=1e-12)


@pytest.mark.parametrize(("n", "budget"), [(4, 14), (10, 100), (10, 1023), (20, 78), (20, 2000), (60, 300)])
def test_the_budget_is_used_and_never_exceeded(counting, n, budget):
    game = counting(lambda c: np.sqrt(c.sum(axis=1)))
    result = explain(game, n, estimator="permutation", budget=budget)
    assert len(set(game.evaluated)) == len(game.evaluated) == result.evaluations <= budget
    assert result.evaluations > budget - 2 * (n - 1)  # or another pair would have fitted
    assert result.samples >= 4


def test_sampling_ends_when_all_coalitions_are_known(counting, table):
    game = counting(table(4))
    result = explain(game, 4, estimator="permutation", budget=2000)
    assert len(game.evaluated) == result.evaluations == 16
    assert result.samples == 10_000
    truth = exact(table(4), 4).values
    np.testing.assert_array_less(np.abs(result.values - truth), 5 * result.errors)


def test_the_game_gets_large_batches(counting):
    game = counting(lambda c: c.sum(axis=1))
    explain(game, 20, budget=2000)
    assert game.batches[0] == 2  # full and empty coalition
    assert game.batches[1] == 1024
    assert len(game.batches) == 3


def test_the_number_of_permutations_can_be_set(counting):
    game = counting(lambda c: c.sum(axis=1))
    result = explain(game, 20, permutations=10, budget=2000)
    assert result.samples == 10
    assert result.evaluations <= 2 + 10 * 19


def test_a_larger_budget_continues_the_same_orderings(counting):
    small, large = counting(lambda c: c.sum(axis=1)), counting(lambda c: c.sum(axis=1))
    explain(small, 20, budget=200)
    explain(large, 20, budget=5000)
    assert set(small.evaluated) < set(large.evaluated)


@pytest.mark.parametrize(("n", "minimum"), [(2, 4), (3, 8), (4, 14), (20, 78)])
def test_a_budget_below_two_pairs_is_refused(counting, n, minimum):
    game = counting(lambda c: c.sum(axis=1))
    with pytest.raises(ValueError, match=f"at least {minimum} evaluations .*got {minimum - 1}"):
        explain(game, n, estimator="permutation", budget=minimum - 1)
    assert game.evaluated == []
    for seed in range(20):
        assert explain(game, n, estimator="permutation", budget=minimum, seed=seed).samples >= 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"permutations": 3}, "an even number, 4 or more.*got 3"),
        ({"permutations": 5}, "an even number"),
        ({"permutations": 0}, "an even number"),
    ],
)
def test_too_few_permutations_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        PermutationSampling(**settings)


def test_a_spent_budget_is_not_turned_into_an_error_of_nan():
    game = CachedGame(lambda c: c.sum(axis=1), 10, budget=12)
    with pytest.raises(ValueError, match="at least 2 samples"):
        PermutationSampling().estimate(game, np.random.default_rng(0))


def test_answers_that_appear_late_count_as_zero_before():
    """The same orderings on votes that grow, and on a table of all answers known beforehand."""
    n = 12

    def answer(row):
        return f"size {row.sum()}" if row.sum() % 3 else str(np.flatnonzero(row))

    everything = all_coalitions(n)
    answers = np.array([answer(row) for row in everything])
    labels, column = np.unique(answers, return_inverse=True)
    table = np.eye(len(labels))[column]
    game = VotesGame(lambda c: [answer(row) for row in c], normalize=str)
    grown = explain(game, n, estimator="permutation", budget=1500)
    truth = explain(lambda c: table[c @ (1 << np.arange(n))], n, estimator="permutation", budget=1500)
    assert 100 < len(grown.outputs) < len(labels)
    rows = [labels.tolist().index(label) for label in grown.outputs]
    for part in ("values", "errors", "pivots", "full", "empty"):
        np.testing.assert_allclose(getattr(grown, part), getattr(truth, part)[rows], atol=1e-12)
    unseen = np.setdiff1d(np.arange(len(labels)), rows)
    assert not truth.values[unseen].any()


def test_errors_over_blocks_are_those_over_all_pairs_at_once():
    """Several blocks of pairs give the standard error that one list of pair means gives, moderated."""
    n, game = 40, lambda c: np.sqrt(c @ np.arange(40))
    result = sample(game, n, permutations=300)
    rng, pairs = np.random.default_rng(0), []
    for _ in range(150):
        order = rng.permuted(np.arange(n)[None], axis=1)[0]
        pair = np.zeros(n)
        for ordering in (order, order[::-1]):
            members = np.zeros((n + 1, n), dtype=bool)
            for k, player in enumerate(ordering):
                members[k + 1 :, player] = True
            pair[ordering] += np.diff(game(members)) / 2
        pairs.append(pair)
    np.testing.assert_allclose(result.values[0], np.mean(pairs, axis=0))
    variance = np.var(pairs, axis=0, ddof=1)
    moderated = (149 * variance + 2 * variance.mean()) / 151
    stretched = stats.t(151).ppf(0.975) / stats.norm.ppf(0.975)
    np.testing.assert_allclose(result.errors[0], stretched * np.sqrt(moderated / 150))


def test_errors_of_few_orderings_hold_exact_values(voting):
    """Three pairs of orderings, in which some players matter never; 1.96 plain standard errors hold 62 %."""
    game, held = voting(9, [5, 4, 3, 2, 2, 1, 1, 0, 0, 0]), []
    truth = exact(game, 10).values[0]
    for seed in range(100):
        result = sample(game, 10, seed=seed, permutations=6)
        held.append(np.abs(result.values[0] - truth) <= 1.96 * result.errors[0] + 1e-12)
    assert np.mean(held) > 0.9
