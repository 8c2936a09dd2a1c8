from itertools import product
from pathlib import Path

import numpy as np
import pytest

from attribution import CachedGame, GaussianProcess, VotesGame, exact
from attribution.design import most_informative
from attribution.process import Process
from eval.own_tables.games import CountedGame, FrozenGames

GAMES = Path(__file__).parents[2] / "eval" / "games" / "openqa-even.npz"


def estimate(game, n, *, budget=None, seed=0):
    return GaussianProcess().estimate(CachedGame(game, n, budget=budget), np.random.default_rng(seed))


def dense(process):
    """Covariance of half the differences of all pairs, and of these with the Shapley values, by the definitions."""
    n = len(process.rates)
    rows = np.array(list(product([0, 1], repeat=n)))
    kernel = np.exp(-((rows[:, None] != rows) * process.rates).sum(axis=2))
    differences = np.eye(2**n) - np.eye(2**n)[::-1]
    pairs = differences / 2
    covariance = pairs @ kernel @ pairs.T / ((kernel[0, 0] - kernel[0, -1]) / 2)
    inner = np.ones(2**n)
    inner[[0, -1]] = 0.0
    covariance += process.noise * np.diag(inner) @ differences  # a pair and its reverse are one, but for the sign
    weights = np.stack([exact(lambda c, row=row: (c == row).all(axis=1), n).values[0] for row in rows.astype(bool)])
    return rows.astype(bool), covariance, weights.T @ covariance


@pytest.mark.parametrize("noise", [0.03, 0.5])
def test_each_pair_says_the_most_of_the_values_given_those_before(noise):
    """By the determinants of the covariance of the values, which all but the last of them have, before and after."""
    rng, n = np.random.default_rng(1), 5
    process = Process(rng.exponential(size=n), noise)
    rows, covariance, with_values = dense(process)
    places = (1 << np.arange(n))[::-1]
    values = np.stack([exact(lambda c, own=own: own[c @ places], n).values[0] for own in with_values])
    place = {row.tobytes(): number for number, row in enumerate(rows)}
    half = [row for row in rows if row[0] and not row.all()]
    seen = [np.ones(n, bool), half[3], half[8]]

    def left(known):
        at = [place[row.tobytes()] for row in known]
        cross = with_values[:, at]
        inner = covariance[np.ix_(at, at)] + 1e-10 * np.eye(len(at))
        return np.linalg.slogdet((values - cross @ np.linalg.solve(inner, cross.T))[:-1, :-1])[1]

    signs = lambda some: np.where(np.array(some), 1.0, -1.0)  # noqa: E731
    pool = [row for number, row in enumerate(half) if number not in (3, 8)]
    expected = []
    for _ in range(4):
        best = min(
            (number for number in range(len(pool)) if number not in expected),
            key=lambda number: left([*seen, pool[number]]),
        )
        expected.append(best)
        seen.append(pool[best])
    assert most_informative(process, signs(seen[:3]), signs(pool), 4) == expected


@pytest.mark.parametrize("n", range(2, 7))
def test_all_coalitions_give_exact_values(table, n):
    game = table(n, n_outputs=2, seed=n)
    result = estimate(game, n)
    np.testing.assert_allclose(result.values, exact(game, n).values, atol=1e-12)
    assert not result.errors.any()


def read_of(table, n_evaluations, seed):
    """The coalitions that are evaluated, in their order."""
    read, worth = [], CountedGame(table)
    estimate(lambda c: worth(read.append(c) or c), 12, budget=n_evaluations, seed=seed)
    return np.concatenate(read)


@pytest.mark.parametrize("kind", ["votes", "likelihoods"])
@pytest.mark.parametrize("n_evaluations", [16, 48])
def test_worths_that_differ_by_rounding_alone_read_the_same_coalitions(kind, n_evaluations):
    """As those of two machines do, also where groups or pairs are worth the same."""
    rng = np.random.default_rng(0)
    for seed, table in enumerate(getattr(FrozenGames.load(GAMES), kind)[:12]):
        nearly = table * (1 + 1e-13 * rng.choice([-1, 1], table.shape))
        assert np.array_equal(read_of(table, n_evaluations, seed), read_of(nearly, n_evaluations, seed)), seed


def test_chosen_pairs_do_better_than_drawn_ones(monkeypatch):
    """Of what the embedded reader makes of passages: 16 of the frozen games."""
    games = [CountedGame(table) for table in FrozenGames.load(GAMES).votes[:16]]
    truths = [exact(game, 12).values[0] for game in games]

    def error():
        found = [estimate(game, 12, budget=48, seed=seed).values[0] for seed, game in enumerate(games)]
        return np.mean((np.array(found) - truths) ** 2)

    chosen = error()
    monkeypatch.setattr("attribution.gaussian_process._CHOSEN", 0)
    assert chosen < error() / 2


@pytest.mark.parametrize(("n", "budget"), [(5, 14), (5, 31), (12, 28), (12, 64), (20, 64)])
def test_the_budget_is_used_in_rounds(counting, n, budget):
    game = counting(lambda c: np.sqrt(c[:, :3].sum(axis=1)))
    result = estimate(game, n, budget=budget)
    assert len(set(game.evaluated)) == len(game.evaluated) == budget // 2 * 2
    assert len(game.batches) > 2
    np.testing.assert_allclose(result.values.sum(), np.sqrt(3))


def test_a_game_that_never_changes_and_answers_that_appear_late():
    assert not estimate(lambda c: np.full(len(c), 7.0), 12, budget=64).values.any()
    game = VotesGame(lambda c: [str(row[:4].tobytes()) for row in c], normalize=str)
    result = estimate(game, 10, budget=50)
    np.testing.assert_allclose(result.values.sum(axis=0), 0, atol=1e-10)
    assert np.isfinite(result.errors).all()
