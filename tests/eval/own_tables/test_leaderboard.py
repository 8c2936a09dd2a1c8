from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import eval as package
from attribution import exact
from attribution.games import all_coalitions
from eval.own_tables.freeze_games import freeze
from eval.own_tables.freeze_games import main as freeze_main
from eval.own_tables.games import CountedGame, FrozenGames
from eval.own_tables.leaderboard import leaderboard, main, right_order, score, tables_of
from eval.own_tables.peers import Peer
from eval.selection import Example
from rag.questions import Question
from retrievers import Passage

SHIPPED = sorted((Path(package.__file__).parent / "games").glob("*.npz"))


class Counting:
    """Answers with the number of passages it reads, but for the third, and finds it the likelier the more there are."""

    name = "counting"

    def encode(self, question, passages):
        return passages

    def generate(self, encoded, coalitions):
        return [str(row[[0, 1]].sum()) for row in coalitions]

    def score(self, encoded, coalitions, answers):
        assert answers == ["2"]
        return -1.0 / (1 + coalitions.sum(axis=1, keepdims=True))


@pytest.fixture
def examples():
    passages = [Passage(str(number), "text") for number in range(3)]
    return [
        Example(Question("q1", "Who?", ("a",), ""), passages),
        Example(Question("q2", "Who?", ("a",), ""), passages[:2]),
    ]


class CountingOneByOne(Counting):
    """One for which each coalition is a prompt."""

    batch_size = 4

    def announce(self, encoded, calls, words=0):
        pass

    def generate(self, encoded, coalitions):
        (answer,) = super().generate(encoded, coalitions)
        return [answer]


@pytest.mark.parametrize("reader", [Counting(), CountingOneByOne()], ids=lambda reader: type(reader).__name__)
def test_frozen_games_are_those_of_the_reader_and_come_back_from_their_file(reader, examples, tmp_path):
    (frozen,) = freeze(reader, [*examples, examples[1]], 3)
    frozen.save(tmp_path / "games.npz")
    games = FrozenGames.load(tmp_path / "games.npz")
    rows = all_coalitions(3)
    assert games.ids == ("q1",), "the other has too few passages"
    assert games.votes.tolist() == [(rows[:, 0] & rows[:, 1]).tolist()]
    assert len(set(games.answers[0].tolist())) == 3
    np.testing.assert_allclose(games.likelihoods[0], -1 / (1 + rows.sum(axis=1)), atol=1 / 2048)


def test_all_games_so_far_are_there_after_each(examples):
    three = [replace(example.question, id=f"q{number}") for number, example in enumerate([examples[0]] * 3)]
    found = list(freeze(Counting(), [Example(question, examples[0].passages) for question in three], 3))
    assert [games.ids for games in found] == [("q0",), ("q0", "q1"), ("q0", "q1", "q2")]
    assert found[2].likelihoods.shape == (3, 8)


def test_too_few_passages_are_refused(tmp_path, capsys):
    contexts = [{"id": "1", "title": "", "text": "The ferry goes to Torshavn."}]
    data = [{"question": "Where does the ferry go?", "answers": ["Torshavn"], "ctxs": contexts}]
    (tmp_path / "data.json").write_text(json.dumps(data), encoding="utf-8")
    assert freeze_main([str(tmp_path / "data.json"), "--players", "3", "--out", str(tmp_path / "games.npz")]) == 1
    assert "no question has 3 passages" in capsys.readouterr().err
    assert not (tmp_path / "games.npz").exists()


@pytest.mark.parametrize("path", SHIPPED, ids=[path.stem for path in SHIPPED])
def test_shipped_games_are_whole(path):
    games = FrozenGames.load(path)
    n_games, size = games.answers.shape
    assert games.likelihoods.shape == (n_games, size)
    assert len(set(games.ids)) == n_games
    assert size == 2 ** (8 if path.stem.endswith("causal") else 12)
    assert np.isfinite(games.likelihoods).all()
    assert path.stat().st_size < 15_000 * n_games


def test_scores_are_those_of_the_values():
    rng = np.random.default_rng(0)
    tables = [rng.random(16), rng.random(16), np.zeros(16)]
    truths = [exact(CountedGame(table), 4).values[0] for table in tables]
    known = {table.tobytes(): truth for table, truth in zip(tables, truths, strict=True)}

    def estimate(game, budget, seed):
        truth = known[game._table.tobytes()]
        return truth + np.array([0.1, 0, 0, 0]), np.array([0.1, 0.0, 0.0, 0.04])

    found = score(estimate, 10, tables, truths, seeds=2)
    np.testing.assert_allclose(found.squared, 0.01 / 4)
    assert found.coverage == 1.0
    assert found.null == pytest.approx(0.1 / 4), "of the constant game alone"
    wide = score(lambda *given: (estimate(*given)[0], np.full(4, 0.01)), 10, tables, truths, seeds=1)
    assert wide.coverage == 0.75


def test_order_counts_pairs_of_the_first_five_and_others():
    truth = np.array([3.0, 2.0, 1.0, 0.0])
    assert right_order(truth, truth) == [1.0]
    assert right_order(-truth, truth) == [0.0]
    assert right_order(np.zeros(4), truth) == [0.5]
    assert right_order(np.array([2.0, 3.0, 1.0, 0.0]), truth) == [pytest.approx(5 / 6)]
    assert right_order(np.zeros(4), np.ones(4)) == []


def test_every_estimator_of_ours_is_there_and_a_budget_too_small_is_shown():
    rows = all_coalitions(8)
    tables = [(rows[:, 1] & rows[:, 2]).astype(float), rows @ np.arange(8.0)]
    exactly = Peer("another's", lambda game, amount, seed: exact(game, 8).values[0])
    found = leaderboard(tables, [16, 64], 1, [exactly])
    assert {"ours, kernel", "ours, gaussian-process", "ours, permutation", "ours, regression-adjusted"} < set(found)
    assert found["ours, kernel"][16] is None
    assert found["ours, kernel"][64].squared.max() < 1e-20
    assert found["ours, gaussian-process"][64].squared[0] < 1e-4
    assert found["another's"][64] is None, "it spends all coalitions"
    text = "\n".join(table.markdown() for table in tables_of(found, "votes", 2, 1))
    assert "| ours, kernel | – | 0 [0, 0] |" in text


def test_the_command_prints_tables_and_names_what_is_missing(examples, tmp_path, capsys):
    *_, games = freeze(Counting(), examples, 3)
    games.save(tmp_path / "games.npz")
    assert main([str(tmp_path / "games.npz"), "--ours", "--budgets", "8", "--seeds", "1", "--markdown"]) == 0
    assert "| ours, gaussian-process | 0 [0, 0] |" in capsys.readouterr().out
    assert main([str(tmp_path / "none.npz")]) == 1
    assert "none.npz" in capsys.readouterr().err
