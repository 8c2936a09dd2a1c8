"""Every library's estimator, as it is called here, estimates the Shapley values of the game it is given."""

from __future__ import annotations

import numpy as np
import pytest

from attribution import exact
from attribution.games import all_coalitions

pytest.importorskip("captum", reason="captum is not installed: pip install 'ragshap[bench]'")
pytest.importorskip("shap", reason="shap is not installed: pip install 'ragshap[bench]'")
pytest.importorskip("shapiq", reason="shapiq is not installed: pip install 'ragshap[bench]'")

from eval.own_tables import peers as module
from eval.own_tables.games import CountedGame
from eval.own_tables.peers import Peer, fitting_amount, peers

PEERS = peers()


@pytest.fixture(scope="module")
def table():
    weights = np.array([0.5, 0.1, 0.9, 0.3, 0.2])
    rows = all_coalitions(5)
    return ((rows @ weights > 0.8) & (rows[:, 0] | rows[:, 3])).astype(float)


@pytest.mark.parametrize("peer", PEERS, ids=[peer.name for peer in PEERS])
def test_with_enough_effort_values_are_exact(peer, table):
    game = CountedGame(table)
    values = peer.run(game, 1000, 0)
    assert values == pytest.approx(exact(CountedGame(table), 5).values[0], abs=0.05)
    assert game.distinct > 20


@pytest.mark.parametrize("peer", PEERS, ids=[peer.name for peer in PEERS])
def test_a_seed_fixes_the_values_and_leaves_the_global_generator_alone(peer, table):
    np.random.seed(5)
    before = np.random.get_state()[1].tolist()
    one, again = (peer.run(CountedGame(table), 14, 7) for _ in range(2))
    assert one.tolist() == again.tolist()
    assert np.random.get_state()[1].tolist() == before


def test_effort_is_the_most_that_fits():
    def run(game, amount, seed):
        game(np.eye(10, dtype=bool)[np.arange(amount) // 2 % 10])
        return np.zeros(10)

    counting = Peer("half of what it asks for is new", run)
    assert fitting_amount(counting, 10, budget=4) == 8
    assert fitting_amount(Peer("costly", run, least=lambda n: n), 10, budget=4) is None
    assert fitting_amount(counting, 10, budget=10) >= 1000, "no more than ten are ever asked for"


def test_a_missing_library_is_named_with_the_command(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "shap" else object())
    with pytest.raises(ImportError, match=r"needs shap: pip install 'ragshap\[bench\]'"):
        peers()
