import numpy as np
import pytest

from attribution import CachedGame, KernelSampling, VotesGame, exact, explain


def sample(game, n, *, budget=None, seed=0):
    return KernelSampling().estimate(CachedGame(game, n, budget=budget), np.random.default_rng(seed))


@pytest.mark.parametrize("n", range(10))
def test_all_coalitions_give_exact_values_without_error(table, n):
    game = table(n, n_outputs=2, seed=n)
    result = sample(game, n)
    np.testing.assert_allclose(result.values, exact(game, n).values, atol=1e-12)
    assert not result.errors.any()
    assert result.samples is None


def test_a_regression_over_all_coalitions_by_hand(table):
    """The least-squares problem that defines the estimator, solved as it is written, on the coalitions drawn."""
    n, game = 6, table(6, seed=3)
    cached = CachedGame(game, n, budget=40)
    result = KernelSampling().estimate(cached, np.random.default_rng(1))
    rows = np.array([np.unpackbits(np.frombuffer(key, np.uint8))[:n].astype(bool) for key in cached._rows])
    worth = game(rows)[:, 0]
    sizes = rows.sum(axis=1)
    full, empty = worth[sizes == n][0], worth[sizes == 0][0]
    inner = (sizes > 0) & (sizes < n)
    rows, worth, sizes = rows[inner].astype(float), worth[inner], sizes[inner]
    # Each size counts in all as it does in the whole problem: (n - 1) / (s (n - s)).
    weights = np.array([(n - 1) / (s * (n - s)) / (sizes == s).sum() for s in sizes])
    # The constraint is put into the last value: v = sum of the others times (x_i - x_last) + x_last (full - empty).
    design = rows[:, :-1] - rows[:, -1:]
    target = worth - empty - rows[:, -1] * (full - empty)
    root = np.sqrt(weights)[:, None]
    others = np.linalg.lstsq(design * root, target * root[:, 0], rcond=None)[0]
    np.testing.assert_allclose(result.values[0], [*others, full - empty - others.sum()], atol=1e-10)


def test_games_of_pairs_are_exact_without_error():
    """Complements cancel what is even: worths of single players and of pairs of them are found exactly."""
    rng = np.random.default_rng(0)
    alone, together = rng.normal(size=20), np.triu(rng.normal(size=(20, 20)), 1)
    result = sample(lambda c: c @ alone + np.einsum("ki,ij,kj->k", c, together, c), 20, budget=120)
    np.testing.assert_allclose(result.values[0], alone + (together.sum(0) + together.sum(1)) / 2, atol=1e-10)
    np.testing.assert_allclose(result.errors, 0, atol=1e-10)


def test_values_sum_to_what_there_is_to_share(table):
    for budget in (40, 100, 200):
        result = explain(table(8, n_outputs=3), 8, estimator="kernel", budget=budget)
        np.testing.assert_allclose(result.efficiency_gap, 0, atol=1e-12)


@pytest.mark.parametrize(("n", "budget", "bias"), [(9, 60, 0.6), (10, 100, 5 / 200**0.5), (10, 400, 5 / 200**0.5)])
def test_errors_are_calibrated(table, n, budget, bias):
    """Over 200 seeds the truth lies within 1.96 errors as often as it should.

    The bounds are those of `test_permutation`, and one in 100 more, because the estimate is a ratio: at the smallest
    budget its bias is up to 0.6 of its error.
    """
    game = table(n, seed=5)
    truth = exact(game, n).values[0]
    results = [sample(game, n, budget=budget, seed=seed) for seed in range(200)]
    z = np.array([(result.values[0] - truth) / result.errors[0] for result in results])
    covered = (np.abs(z) < 1.96).sum(axis=0)
    assert covered.min() >= 175
    assert covered.mean() >= 184
    np.testing.assert_allclose(z.std(axis=0), 1.0, atol=0.25)
    np.testing.assert_allclose(z.mean(axis=0), 0.0, atol=bias)


def test_it_needs_fewer_evaluations_than_orderings_do(table, voting):
    """Mean squared error over 40 seeds, on a game of blocs and on one that is all noise."""
    games = [voting(9, [5, 4, 3, 2, 2, 1, 1, 0, 0, 0]), table(10, seed=1)]
    for game in games:
        truth = exact(game, 10).values[0]

        def error(name, game=game, truth=truth):
            runs = [explain(game, 10, estimator=name, budget=200, seed=seed).values[0] for seed in range(40)]
            return np.mean((np.array(runs) - truth) ** 2)

        assert error("kernel") < error("permutation")


def test_against_shapiq(voting):
    """At the same budget, no larger an error than shapiq's KernelSHAP, over games of random weights."""
    shapiq = pytest.importorskip("shapiq")
    n, rng = 10, np.random.default_rng(0)
    ours, theirs = [], []
    for seed in range(20):
        weights = rng.random(n) ** 3
        game = voting(rng.uniform(0.2, 0.8) * weights.sum(), weights)
        truth = exact(game, n).values[0]
        ours.append(sample(game, n, budget=120, seed=seed).values[0] - truth)
        approximator = shapiq.KernelSHAP(n=n, random_state=seed)
        values = approximator.approximate(120, lambda c, game=game: game(np.asarray(c, dtype=bool)))
        theirs.append([values[(i,)] for i in range(n)] - truth)
    assert np.square(ours).mean() < np.square(theirs).mean()


@pytest.mark.parametrize(("n", "budget"), [(4, 14), (10, 100), (10, 1023), (20, 78), (20, 2000), (60, 400)])
def test_the_budget_is_used_and_never_exceeded(counting, n, budget):
    game = counting(lambda c: np.sqrt(c.sum(axis=1)))
    result = explain(game, n, estimator="kernel", budget=budget)
    assert len(set(game.evaluated)) == len(game.evaluated) == result.evaluations
    assert budget - 1 <= result.evaluations <= budget


def test_sizes_share_the_budget_while_they_last(counting):
    game = counting(lambda c: c.sum(axis=1))
    explain(game, 21, estimator="kernel", budget=2002)
    sizes = np.array([np.frombuffer(key, bool).sum() for key in game.evaluated])
    counts = np.bincount(sizes, minlength=22)
    assert counts[0] == counts[21] == 1
    assert counts[1] == counts[20] == 21, "all there are"
    assert (counts == counts[::-1]).all()
    share = 1 / np.sqrt([s * (21 - s) for s in range(2, 20)])
    np.testing.assert_allclose(counts[2:20], share / share.sum() * (2000 - 42), rtol=0.1)


@pytest.mark.parametrize("n", [6, 13, 20, 40])
def test_a_larger_budget_continues_the_same_pairs(counting, n):
    before: set[bytes] = set()
    for budget in (2 + 4 * (n - 1), 3 * n + 100, 700, 1500):
        game = counting(lambda c: c.sum(axis=1))
        explain(game, n, estimator="kernel", budget=budget)
        assert before <= set(game.evaluated)
        before = set(game.evaluated)


def test_a_budget_below_the_minimum_is_refused(counting):
    game = counting(lambda c: c.sum(axis=1))
    with pytest.raises(ValueError, match=r"'kernel' needs a budget of at least 42 evaluations for 20 players, got 41"):
        explain(game, 20, estimator="kernel", budget=41)
    assert game.evaluated == []


def test_it_estimates_shapley_values_only():
    with pytest.raises(ValueError, match="'kernel' does not estimate semivalue 'banzhaf'; use 'exact', 'banzhaf'"):
        explain(lambda c: c.sum(axis=1), 20, estimator="kernel", semivalue="banzhaf")


def test_answers_that_appear_late_count_as_zero_before():
    n = 10

    def answer(row):
        return f"size {row.sum()}" if row.sum() % 3 else str(np.flatnonzero(row))

    game = VotesGame(lambda c: [answer(row) for row in c], normalize=str)
    result = explain(game, n, estimator="kernel", budget=200)
    assert len(result.outputs) > 20
    np.testing.assert_allclose(result.values.sum(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(result.efficiency_gap, 0, atol=1e-12)


def test_the_same_seed_gives_the_same_values(table):
    game = table(12)
    first, same, other = (explain(game, 12, estimator="kernel", budget=300, seed=seed) for seed in (1, 1, 2))
    assert first == same
    assert not np.array_equal(first.values, other.values)
