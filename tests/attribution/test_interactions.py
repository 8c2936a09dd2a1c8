import numpy as np
import pytest

from attribution import VotesGame, interactions


@pytest.mark.parametrize("n", [3, 5, 8])
def test_all_coalitions_give_shapiqs_faithful_interactions(table, n):
    shapiq = pytest.importorskip("shapiq")
    game = table(n, seed=n)
    ours = interactions(game, n)
    computer = shapiq.ExactComputer(lambda c: game(np.asarray(c, dtype=bool))[:, 0], n_players=n)
    theirs = computer("FSII", order=2)
    for i in range(n):
        for j in range(i):
            assert ours.values[0, i, j] == pytest.approx(theirs[(j, i)], abs=1e-9)
            assert ours.values[0, i, j] == ours.values[0, j, i]
    assert not ours.errors.any()
    assert not ours.values[0].diagonal().any()
    assert ours.evaluations == 2**n


def test_a_game_of_pairs_is_found_exactly_from_few_coalitions():
    rng = np.random.default_rng(0)
    alone, together = rng.normal(size=16), np.triu(rng.normal(size=(16, 16)), 1)
    game = lambda c: 2.0 + c @ alone + np.einsum("ki,ij,kj->k", c, together, c)  # noqa: E731
    found = interactions(game, 16, budget=300)
    np.testing.assert_allclose(found.values[0], together + together.T, atol=1e-9)
    np.testing.assert_allclose(found.errors, 0, atol=1e-9)


def test_passages_that_answer_together_and_passages_that_repeat_one_another():
    """An answer needs a and b, or c, or its copy d."""
    game = VotesGame(lambda c: ["yes" if (a and b) or x or y else "no" for a, b, x, y, *_ in c])
    found = interactions(game, 12, budget=1000)
    assert found.outputs == ("yes", "no")  # what all players answer is explained
    (i, j, value, error), *_ = sorted(found.top(2), key=lambda pair: pair[2])
    assert (i, j) == (2, 3)
    assert value < -4 * error < 0
    i, j, value, error = max(found.top(5), key=lambda pair: pair[2])
    assert (i, j) == (0, 1)
    assert value > 4 * error > 0


def test_errors_are_calibrated(table):
    """Over 60 seeds, all 28 pairs: about 95 % within 1.96 errors."""
    game, n = table(8, seed=3), 8
    truth = interactions(game, n).values[0]
    pairs = np.triu_indices(n, 1)
    inside = []
    for seed in range(60):
        found = interactions(game, n, budget=160, seed=seed)
        assert found.evaluations == 160
        inside.append(np.abs(found.values[0] - truth)[pairs] < 1.96 * found.errors[0][pairs])
    assert 0.92 < np.mean(inside) < 0.99


def test_too_small_a_budget_is_refused(counting):
    game = counting(lambda c: c.sum(axis=1))
    with pytest.raises(
        ValueError, match="interactions of 20 players need a budget of at least 422 evaluations, got 421"
    ):
        interactions(game, 20, budget=421)
    assert game.evaluated == []


@pytest.mark.parametrize("n", [0, 1])
def test_few_players_have_no_interactions(n):
    found = interactions(lambda c: c.sum(axis=1), n)
    assert found.values.shape == (1, n, n)
    assert not found.values.any()
    assert found.top(3) == []


def test_only_outputs_and_numbers_of_pairs_that_exist_are_taken():
    found = interactions(lambda c: np.stack([c[:, 0] & c[:, 1], c[:, 2]], axis=1) * 1.0, 3)
    assert found.top(1, "output 0") == found.top(1, 0) == [(0, 1, pytest.approx(1), pytest.approx(0))]
    for output in (-1, 2, "output 2"):
        with pytest.raises(ValueError, match=r"no output .*; there are 2: 'output 0', 'output 1'"):
            found.top(1, output)
    with pytest.raises(ValueError, match="k must be 0 or more, got -1"):
        found.top(-1)
