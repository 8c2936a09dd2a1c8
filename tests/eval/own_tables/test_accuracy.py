from __future__ import annotations

import numpy as np
import pytest

from attribution import exact, explain
from eval.own_tables.accuracy import DEFAULT, Errors, measure, ours, votes_table
from eval.own_tables.games import CountedGame, all_coalitions


def test_the_table_holds_votes_for_the_answer_of_all_passages():
    table = votes_table(lambda rows: ["all" if row[0] and row[2] else "less" for row in rows], 4)
    rows = all_coalitions(4)
    assert table.tolist() == (rows[:, 0] & rows[:, 2]).astype(float).tolist()


def test_errors_are_those_of_the_values():
    rng = np.random.default_rng(0)
    tables = [rng.random(16), rng.random(16)]
    zero = measure(lambda game, budget, seed: np.zeros(4), 0, tables, seeds=2)
    truth = [exact(CountedGame(table), 4).values[0] for table in tables]
    assert isinstance(zero, Errors)
    assert zero.squared == pytest.approx([np.mean(values**2) for values in truth])
    assert zero.absolute == pytest.approx([np.mean(abs(values)) for values in truth])
    assert (zero.distinct, zero.calls) == (0, 0)


def test_our_estimators_get_the_budget_and_say_where_it_is_too_small():
    noise = np.random.default_rng(0).random(2**8)
    tables = [all_coalitions(8) @ np.arange(8) / 28 + 0.1 * noise]
    truth = exact(CountedGame(tables[0]), 8).values[0]
    assert {DEFAULT, "ours, permutation", "ours, kernel"} <= set(ours())
    for name, estimate in ours().items():
        errors = measure(estimate, 64, tables, seeds=3)
        assert isinstance(errors, Errors), name
        assert errors.distinct <= 64
        assert 0 < errors.squared[0] < 0.02 * np.mean(truth**2)
        assert "needs a budget of at least" in measure(estimate, 4, tables, seeds=1)
    spent = measure(ours()["ours, kernel"], 64, tables, seeds=1)
    alone = explain(CountedGame(tables[0]), 8, estimator="kernel", budget=64, seed=0).values[0]
    assert spent.squared[0] == pytest.approx(np.mean((alone - truth) ** 2))
