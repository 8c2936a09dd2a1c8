from fractions import Fraction
from math import comb

import numpy as np
import pytest

from attribution import VotesGame, exact


def shapley(game, n):
    return exact(game, n).values[0]


def test_glove_game():
    # One left glove, two right ones: the left one is worth 2/3 (Shapley 1953's kind of market).
    np.testing.assert_allclose(shapley(lambda c: c[:, 0] & (c[:, 1] | c[:, 2]), 3), [2 / 3, 1 / 6, 1 / 6])


def test_airport_game():
    # Each cost step is shared by those who need it (Littlechild and Owen 1973).
    costs = np.array([8, 11, 13, 18])
    expected = [2, 3, 4, 9]
    np.testing.assert_allclose(shapley(lambda c: (c * costs).max(axis=1), 4), expected)


@pytest.mark.parametrize(
    ("quota", "weights", "expected"),
    [
        (4, [3, 2, 1], [Fraction(2, 3), Fraction(1, 6), Fraction(1, 6)]),
        (51, [50, 49, 1], [Fraction(2, 3), Fraction(1, 6), Fraction(1, 6)]),
        (3, [2, 1, 1, 1], [Fraction(1, 2), Fraction(1, 6), Fraction(1, 6), Fraction(1, 6)]),
        # The European Economic Community of 1958: France, Germany, Italy, Belgium, Netherlands, Luxembourg.
        (12, [4, 4, 4, 2, 2, 1], [Fraction(k, 60) for k in (14, 14, 14, 9, 9, 0)]),
    ],
)
def test_shapley_shubik_index(voting, quota, weights, expected):
    values = shapley(voting(quota, weights), len(weights))
    np.testing.assert_allclose(values, [float(x) for x in expected], atol=1e-12)


def test_security_council_in_small(voting):
    """A veto game in closed form: 2 permanent members, 4 others of whom 2 are needed.

    An other is pivotal when it comes after both permanent members and exactly one other.
    """
    other = Fraction(comb(3, 1), 6 * comb(5, 3))
    permanent = (1 - 4 * other) / 2
    expected = [permanent] * 2 + [other] * 4
    np.testing.assert_allclose(shapley(voting(12, [5, 5, 1, 1, 1, 1]), 6), [float(x) for x in expected])


def test_unanimity_game_shares_among_its_carrier():
    game = lambda c: c[:, [1, 3, 4]].all(axis=1)  # noqa: E731
    np.testing.assert_allclose(shapley(game, 6), np.array([0, 1, 0, 1, 1, 0]) / 3)
    banzhaf = exact(game, 6, semivalue="banzhaf", p=0.3)
    np.testing.assert_allclose(banzhaf.values[0], np.array([0, 1, 0, 1, 1, 0]) * 0.3**2)


def test_banzhaf_index_of_the_european_economic_community(voting):
    # Swings 10, 10, 10, 6, 6, 0 of 32 coalitions of the others (Banzhaf index 5/21, ..., 1/7, 1/7, 0).
    result = exact(voting(12, [4, 4, 4, 2, 2, 1]), 6, semivalue="banzhaf")
    np.testing.assert_allclose(result.values[0] * 32, [10, 10, 10, 6, 6, 0], atol=1e-12)
    assert result.p == 0.5


def test_banzhaf_of_the_four_to_three_two_one_vote(voting):
    result = exact(voting(4, [3, 2, 1]), 3, semivalue="banzhaf")
    np.testing.assert_allclose(result.values[0], [3 / 4, 1 / 4, 1 / 4])


@pytest.mark.parametrize("p", [None, 0.5, 0.2])
def test_agrees_with_the_definition_in_plain_loops(table, slow_semivalue, p):
    game = table(5, seed=3)
    result = exact(game, 5) if p is None else exact(game, 5, semivalue="banzhaf", p=p)
    values, pivots = slow_semivalue(game, 5, p)
    np.testing.assert_allclose(result.values[0], values)
    np.testing.assert_allclose(result.pivots[0], pivots)


@pytest.mark.parametrize(("semivalue", "index"), [("shapley", "SV"), ("banzhaf", "BV")])
@pytest.mark.parametrize("n", [1, 2, 7, 10])
def test_agrees_with_shapiq(table, semivalue, index, n):
    shapiq = pytest.importorskip("shapiq", reason="shapiq is not installed")
    game = table(n, seed=n)
    theirs = shapiq.ExactComputer(lambda c: game(c.astype(bool))[:, 0], n_players=n)(index, order=1)
    ours = exact(game, n, semivalue=semivalue).values[0]
    np.testing.assert_allclose(ours, theirs.get_n_order_values(1), atol=1e-10)


@pytest.mark.parametrize("semivalue", ["shapley", "banzhaf"])
class TestAxioms:
    def test_symmetry(self, table, semivalue):
        game = table(5)

        def symmetric(c):  # players 1 and 3 are interchangeable
            swapped = c[:, [0, 3, 2, 1, 4]]
            return game(c) + game(swapped)

        values = exact(symmetric, 5, semivalue=semivalue).values[0]
        assert values[1] == pytest.approx(values[3], abs=1e-12)
        assert abs(values[1] - values[2]) > 1e-3

    def test_dummy(self, table, semivalue):
        game = table(4)
        values = exact(lambda c: game(c[:, :4])[:, 0] + 2.5 * c[:, 4], 5, semivalue=semivalue).values[0]
        assert values[4] == pytest.approx(2.5)
        np.testing.assert_allclose(values[:4], exact(game, 4, semivalue=semivalue).values[0])

    def test_additivity(self, table, semivalue):
        one, two = table(6, seed=1), table(6, seed=2)
        both = exact(lambda c: 3 * one(c) - two(c), 6, semivalue=semivalue).values
        parts = 3 * exact(one, 6, semivalue=semivalue).values - exact(two, 6, semivalue=semivalue).values
        np.testing.assert_allclose(both, parts, atol=1e-12)


def test_efficiency_for_every_output(table):
    result = exact(table(8, n_outputs=7), 8)
    np.testing.assert_allclose(result.values.sum(axis=1), result.full - result.empty, atol=1e-12)
    np.testing.assert_allclose(result.efficiency_gap, 0, atol=1e-12)
    assert np.abs(exact(table(8, n_outputs=7), 8, semivalue="banzhaf").efficiency_gap).min() > 1e-6


def test_votes_of_a_made_up_reader(reads, slow_semivalue):
    game = VotesGame(reads)
    result = exact(game, 4, players=["a", "b", "c", "d"])
    assert set(result.outputs) == {"The Eiffel Tower", "the", "Louvre", "Paris"}
    assert result.utility == "votes"
    assert result.outputs[result.output] == "The Eiffel Tower"
    for label in result.outputs:
        values, pivots = slow_semivalue(votes_for(reads, label), 4)
        np.testing.assert_allclose(result.of(label), values, atol=1e-12)
        np.testing.assert_allclose(result.pivots[result.outputs.index(label)], pivots, atol=1e-12)
    # One passage's values over all answers cancel: each coalition gives one answer.
    np.testing.assert_allclose(result.values.sum(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(result.full - result.empty, result.values.sum(axis=1), atol=1e-12)


def votes_for(reads, label):
    """1 where the reader's answer is the one with this label, without the package's own games."""
    same = {"The Eiffel Tower": {"The Eiffel Tower", "eiffel tower!"}}
    accepted = same.get(label, {label})
    return lambda coalitions: np.array([float(answer in accepted) for answer in reads(coalitions)])


def test_pivots_by_hand():
    # Answer "x" when exactly one of two players is in: the first turns to x, the second turns away from it.
    result = exact(VotesGame(lambda c: ["x" if row.sum() == 1 else "y" for row in c]), 2)
    assert result.outputs == ("y", "x")
    np.testing.assert_allclose(result.values, [[0, 0], [0, 0]])
    np.testing.assert_allclose(result.pivots, [[0.5, 0.5], [0.5, 0.5]])


def test_the_result_is_labelled(voting):
    result = exact(voting(4, [3, 2, 1]), 3, players=["a", "b", "c"])
    assert (result.estimator, result.semivalue, result.utility) == ("exact", "shapley", "game")
    assert result.evaluations == 8
    assert (result.seed, result.budget, result.samples, result.p) == (None, None, None, None)
    assert result.players == ("a", "b", "c")
    assert not result.errors.any()


def test_no_players(counting):
    game = counting(lambda c: np.full(len(c), 4.0))
    result = exact(game, 0)
    assert result.values.shape == result.pivots.shape == (1, 0)
    assert result.full == result.empty == [4.0]
    assert len(game.evaluated) == result.evaluations == 1
    assert result.top(3) == []
    assert result.efficiency_gap == [0.0]


@pytest.mark.parametrize("semivalue", ["shapley", "banzhaf"])
def test_one_player(semivalue):
    result = exact(lambda c: np.where(c[:, 0], 5.0, 2.0), 1, semivalue=semivalue)
    assert result.values.tolist() == [[3.0]]


def test_more_than_fourteen_players_are_refused_before_any_evaluation(counting):
    game = counting(lambda c: c.sum(axis=1))
    with pytest.raises(ValueError, match=r"at most 14 players, got 15.*explain\(.*'banzhaf'"):
        exact(game, 15, semivalue="banzhaf")
    with pytest.raises(ValueError, match=r"got 40.*'permutation'"):
        exact(game, 40)
    assert game.evaluated == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"semivalue": "owen"}, "unknown semivalue 'owen'; known: shapley, banzhaf"),
        ({"semivalue": "banzhaf", "p": 1.0}, "between 0 and 1"),
        ({"semivalue": "banzhaf", "p": float("nan")}, "between 0 and 1"),
        ({"p": 0.3}, "applies to semivalue='banzhaf' only"),
        ({"players": ["a", "b"]}, "must be 3 strings, got 2"),
        ({"players": "abc"}, "must be a sequence of 3 strings"),
        ({"players": [1, 2, 3]}, "must be 3 strings"),
        ({"output": 1}, "no output 1; there are 1: 'output 0'"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        exact(lambda c: c.sum(axis=1), 3, **settings)
