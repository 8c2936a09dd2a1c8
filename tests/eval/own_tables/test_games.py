from __future__ import annotations

import numpy as np
import pytest

from attribution.games import all_coalitions
from eval.benchmark.speed import evenly, permutation_coalitions
from eval.own_tables.games import CountedGame


def test_a_table_gives_what_the_game_gives_and_counts():
    def game(coalitions):
        return coalitions @ np.array([1.0, 2.0, 4.0, 8.0]) + 5 * (coalitions[:, 0] & coalitions[:, 3])

    counted = CountedGame(game(all_coalitions(4)))
    rows = np.random.default_rng(0).random((50, 4)) < 0.5
    assert (counted(rows) == game(rows)).all()
    assert (counted.calls, counted.distinct) == (50, len(np.unique(rows, axis=0)))
    assert counted(rows[0].astype(float)) == game(rows[:1])
    assert (counted.calls, counted.distinct) == (51, len(np.unique(rows, axis=0)))


def test_tables_of_wrong_length_are_refused():
    with pytest.raises(ValueError, match="2\\^n_players entries, got 5"):
        CountedGame(np.zeros(5))


def test_all_coalitions_are_all_of_them():
    rows = all_coalitions(5)
    assert len(np.unique(rows, axis=0)) == 32
    assert not rows[0].any()
    assert rows[-1].all()


def test_orderings_add_one_player_at_a_time():
    rows = permutation_coalitions(6, 10, seed=3).reshape(10, 6, 6)
    assert (rows.sum(axis=2) == np.arange(1, 7)).all()
    assert (rows[:, 1:] >= rows[:, :-1]).all()
    assert len({ordering.tobytes() for ordering in rows}) == 10


def test_a_sample_has_the_sizes_of_the_whole():
    rows = permutation_coalitions(20, 100, seed=0)
    assert evenly(rows, 20).sum(axis=1).tolist() == list(range(1, 21))
    assert evenly(rows, 5000) is rows
