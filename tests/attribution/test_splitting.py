from pathlib import Path

import numpy as np
import pytest

from attribution import CachedGame, GaussianProcess, exact, explain
from attribution.pairs import draw_pairs
from attribution.splitting import split_pairs
from eval.own_tables.games import CountedGame, FrozenGames

GAMES = Path(__file__).parents[2] / "eval" / "games" / "openqa-even.npz"


def pairs_of(game, n, n_pairs):
    return split_pairs(CachedGame(game, n), n_pairs)


def members(pairs):
    return [np.flatnonzero(row).tolist() for row in pairs]


def test_the_group_that_adds_most_is_split():
    """Players 4 and 5 in 1 to 3 of 16 places; a group alone and its complement are one pair."""
    found = pairs_of(lambda c: 2.0 * c[:, 5] + c[:, 12], 16, 12)
    assert members(found) == [
        *([0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [12, 13, 14, 15]),
        *([4], [5], [6], [7]),
        *([12], [13], [14], [15]),
    ]


def test_outputs_count_in_their_own_units():
    """As of sentences: the second output is a thousand times smaller, and as much is made of it."""
    found = pairs_of(lambda c: np.stack([1000.0 * c[:, 0], 1.0 * c[:, 15]], axis=1), 16, 12)
    assert members(found)[4:] == [[0], [1], [2], [3], [12], [13], [14], [15]]


@pytest.mark.parametrize("n", [2, 3, 4, 5, 9, 21])
@pytest.mark.parametrize("n_pairs", [0, 1, 3, 4, 7, 40])
def test_pairs_are_distinct_and_no_more_than_asked_for(n, n_pairs, table):
    found = pairs_of(table(n) if n < 12 else lambda c: c @ np.arange(n), n, n_pairs)
    assert len(found) <= n_pairs
    sides = {row.tobytes() for row in found} | {row.tobytes() for row in ~found}
    assert len(sides) == 2 * len(found)
    assert (2 * found.sum(axis=1) <= n).all()
    assert found.any(axis=1).all()
    if n_pairs == 40 and n > 3:  # all players stand alone in the end
        assert {row.tobytes() for row in np.eye(n, dtype=bool)} <= sides


def test_it_evaluates_what_it_returns(counting):
    game = counting(lambda c: c[:, 3] | c[:, 8])
    cached = CachedGame(game, 12)
    found = split_pairs(cached, 8)
    assert cached.evaluations == 2 * len(found) + 2


def test_values_from_two_evaluations_a_player_are_nearer_than_those_of_draws(monkeypatch):
    """Of what the embedded reader makes of passages: 16 of the frozen games."""
    games = [CountedGame(table) for table in FrozenGames.load(GAMES).votes[:16]]
    truths = [exact(game, 12).values[0] for game in games]

    def error():
        found = []
        for seed, (game, truth) in enumerate(zip(games, truths, strict=True)):
            values = explain(game, 12, estimator="gaussian-process", budget=24, seed=seed).values[0]
            found.append(np.mean((values - truth) ** 2))
        return np.mean(found)

    split = error()
    monkeypatch.setattr("attribution.gaussian_process._FEW", 0)
    monkeypatch.setattr("attribution.gaussian_process._CHOSEN", 0)
    assert split < error() / 2


def test_enough_evaluations_and_too_few_are_drawn(counting):
    """Above 64, below one for each player, and while a sample grows, pairs are those of `draw_pairs`."""
    for budget, growing in ((66, False), (14, False), (30, True)):
        cached, n_pairs = CachedGame(lambda c: c[:, 0], 12), budget // 2 - 1
        chosen = GaussianProcess().choose(cached, np.random.default_rng(5), n_pairs, growing=growing)
        np.testing.assert_array_equal(chosen.pairs, draw_pairs(12, n_pairs, np.random.default_rng(5)).pairs)
