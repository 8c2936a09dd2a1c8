import re

import numpy as np
import pytest

from attribution import (
    ESTIMATORS,
    CachedGame,
    LikelihoodGame,
    TargetError,
    TopKCertain,
    VotesGame,
    check,
    exact,
    explain,
    interactions,
)


def size(coalitions):
    return np.sqrt(coalitions.sum(axis=1))


@pytest.mark.parametrize(
    ("n", "settings", "chosen"),
    [
        (10, {}, "exact"),
        (11, {}, "kernel"),  # 2,048 coalitions, above the default budget
        (11, {"budget": 1026}, "gaussian-process"),
        (11, {"budget": 1027}, "kernel"),
        (201, {"budget": 500}, "kernel"),
        (11, {"budget": 2048}, "exact"),
        (14, {"budget": 16_384}, "exact"),
        (15, {"budget": 20_000}, "kernel"),
        (15, {"pivots": True}, "permutation"),
        (9, {"pivots": True}, "exact"),
        (10, {"permutations": 20}, "permutation"),
        (10, {"semivalue": "banzhaf"}, "exact"),
        (11, {"semivalue": "banzhaf"}, "banzhaf"),
        (3, {"estimator": "permutation"}, "permutation"),
        (0, {}, "exact"),
        (1, {}, "exact"),
    ],
)
def test_auto_enumerates_where_the_budget_admits(n, settings, chosen):
    result = explain(size, n, **settings)
    assert result.estimator == chosen
    assert result.budget == settings.get("budget", 2000)
    assert result.seed == (None if chosen == "exact" else 0)


def test_exact_through_explain_is_exact(table):
    game = table(7, n_outputs=2)
    np.testing.assert_array_equal(explain(game, 7).values, exact(game, 7).values)


@pytest.mark.parametrize("settings", [{}, {"semivalue": "banzhaf", "p": 0.3}])
def test_same_seed_same_result(reads, settings):
    def generate(coalitions):
        return reads(coalitions[:, [0, 3, 7, 11]])

    first = explain(VotesGame(generate), 15, budget=300, seed=1, **settings)
    again = explain(VotesGame(generate), 15, budget=300, seed=1, **settings)
    other = explain(VotesGame(generate), 15, budget=300, seed=2, **settings)
    smaller_batches = explain(VotesGame(generate), 15, budget=300, seed=1, batch_size=7, **settings)
    assert first == again == smaller_batches
    assert not np.array_equal(first.values, other.values)


def test_a_shared_cache_saves_evaluations_and_changes_nothing(counting):
    game = counting(size)
    shared = CachedGame(game, 15)
    for settings in ({}, {"semivalue": "banzhaf"}, {"budget": 900}, {"seed": 4}):
        before = len(game.evaluated)
        warm = explain(shared, 15, **{"budget": 500, **settings})
        assert len(game.evaluated) > before
        assert warm == explain(size, 15, **{"budget": 500, **settings})
        before = len(game.evaluated)
        assert explain(shared, 15, **{"budget": 500, **settings}) == warm
        assert len(game.evaluated) == before
    assert len(set(game.evaluated)) == len(game.evaluated) == shared.evaluations


def test_a_cache_of_another_size_is_refused():
    with pytest.raises(ValueError, match="cached game has 4 players, not 5"):
        explain(CachedGame(size, 4), 5)


def test_the_explained_output_is_the_answer_of_all_passages(reads):
    game = VotesGame(reads)
    game(np.zeros((1, 4), dtype=bool))  # so that another answer is output 0
    result = explain(game, 4)
    assert result.outputs[0] == "Paris"
    assert result.outputs[result.output] == "The Eiffel Tower"
    fresh = explain(VotesGame(reads), 4, output="Paris")
    assert fresh.outputs[:2] == ("The Eiffel Tower", "Paris")
    assert fresh.output == explain(VotesGame(reads), 4, output=1).output == 1


def test_the_first_answer_is_explained_by_default_for_likelihoods():
    game = LikelihoodGame(lambda c, answers: c[:, :1] * [-3.0, -1.0], ["yes", "no"])
    result = explain(game, 3)
    assert (result.output, result.outputs, result.utility) == (0, ("yes", "no"), "likelihood")
    assert explain(game, 3, output="no").output == 1
    np.testing.assert_allclose(result.values, [[-3, 0, 0], [-1, 0, 0]], atol=1e-12)


def test_a_wrong_output_costs_two_evaluations(counting):
    game = counting(size)
    with pytest.raises(ValueError, match="no output 'no'; there are 1: 'output 0'"):
        explain(game, 20, output="no")
    assert len(game.evaluated) == 2


def test_a_game_that_fails_later_is_reported():
    with pytest.raises(ValueError, match="nan as output 0"):
        explain(lambda c: np.where(c[:, 0] & ~c[:, 1], np.nan, 0.0), 20)


STOPS = {
    "never": None,
    "early": TargetError(300.0),
    "at the last coalition": TargetError(1e-9),
}


@pytest.mark.parametrize("until", STOPS)
@pytest.mark.parametrize("budget", [500, 501, 2000])
@pytest.mark.parametrize("estimator", ["kernel", "regression-adjusted", "permutation", "banzhaf"])
def test_a_progress_bar_rises_against_the_whole_budget_and_is_full_once(estimator, budget, until):
    """There are 1,024 coalitions."""
    reports = []
    result = explain(
        lambda c: c @ np.arange(10) ** 3.0 * (1 + c[:, 3]),
        10,
        estimator=estimator,
        semivalue="banzhaf" if estimator == "banzhaf" else "shapley",
        budget=budget,
        batch_size=20,
        until=STOPS[until],
        progress=lambda *report: reports.append(report),
    )
    done, totals = map(list, zip(*reports, strict=True))
    assert done == sorted(done)
    assert set(totals[:-1]) == {min(budget, 1024)}
    assert [report for report in reports if report[0] == report[1]] == reports[-1:]
    assert reports[-1] == (result.evaluations, result.evaluations)
    assert result.evaluations < min(budget, 1024) or until != "early"


def test_progress_of_other_calls_is_full_once_too():
    reports = []
    explain(size, 5, batch_size=10, progress=lambda *report: reports.append(report))
    assert reports == [(2, 32), (12, 32), (22, 32), (32, 32)]
    reports.clear()
    exact(size, 5, semivalue="first-in", progress=lambda *report: reports.append(report))
    assert reports == [(2, 32), (7, 32), (7, 7)]
    reports.clear()
    interactions(size, 8, budget=101, progress=lambda *report: reports.append(report))
    assert reports == [(2, 101), (100, 101), (100, 100)]


def test_games_get_batches_no_larger_than_asked(counting):
    game = counting(size)
    explain(game, 20, budget=500, batch_size=64)
    assert max(game.batches) == 64


@pytest.mark.parametrize("estimator", [name for name in ESTIMATORS if name != "auto"])
@pytest.mark.parametrize("n", [0, 1, 2])
def test_every_estimator_takes_the_fewest_players(estimator, n):
    semivalue = "banzhaf" if estimator == "banzhaf" else "shapley"
    result = explain(lambda c: 3.0 * c.sum(axis=1) + 1.0, n, estimator=estimator, semivalue=semivalue)
    assert result.values.shape == (1, n)
    np.testing.assert_array_less(np.abs(result.values - 3.0), 5 * result.errors + 1e-9)
    assert (result.full - result.empty).tolist() == [3.0 * n]


WRONG = [
    (
        {"estimator": "owen"},
        "unknown estimator 'owen'; known: auto, exact, permutation, kernel, gaussian-process, regression-adjusted",
    ),
    ({"semivalue": "owen"}, "unknown semivalue 'owen'; known: shapley, banzhaf"),
    (
        {"estimator": "banzhaf"},
        "'banzhaf' does not estimate semivalue 'shapley'; use 'exact', 'permutation', 'kernel'",
    ),
    ({"estimator": "permutation", "semivalue": "banzhaf"}, "does not estimate semivalue 'banzhaf'"),
    ({"estimator": "exact"}, "at most 14 players, got 20"),
    ({"p": 0.4}, "applies to semivalue='banzhaf' only"),
    ({"semivalue": "banzhaf", "p": 0.0}, "between 0 and 1"),
    ({"semivalue": "banzhaf", "permutations": 10}, "applies to estimator 'permutation', not 'banzhaf'"),
    ({"permutations": 7}, "an even number"),
    ({"budget": 0}, "budget must be 1 evaluation or more, got 0"),
    ({"budget": 3}, "'gaussian-process' needs a budget of at least 4 evaluations for 20 players, got 3"),
    ({"estimator": "regression-adjusted", "budget": 41}, "needs a budget of at least 42 evaluations"),
    ({"estimator": "permutation", "budget": 77}, "needs a budget of at least 78 evaluations"),
    ({"semivalue": "banzhaf", "p": 0.25, "budget": 65}, "needs a budget of at least 66 evaluations"),
    ({"semivalue": "leave-one-out", "budget": 21}, "needs a budget of at least 22 evaluations"),
    ({"estimator": "exact", "n_players": 12}, "needs a budget of at least 4096 evaluations"),
    ({"n_players": -1}, "n_players must be 0 or more"),
    ({"estimator": "exact", "n_players": 5, "until": TopKCertain(1)}, "exact values need all coalitions"),
    ({"semivalue": "first-in", "until": TopKCertain(1)}, "'first-in' is always computed exactly; leave `until` out$"),
    ({"until": "top-k certain"}, "`until` must be a stopping rule such as TopKCertain.*, got 'top-k certain'"),
    ({"until": TopKCertain}, "`until` must be a stopping rule such as TopKCertain"),
    ({"pivots": True, "estimator": "kernel"}, "'kernel' gives no pivots .*; use 'exact', 'permutation', or do"),
    ({"pivots": True, "estimator": "kernel", "n_players": 3}, "'kernel' gives no pivots"),
    ({"pivots": True, "estimator": "regression-adjusted"}, "'regression-adjusted' gives no pivots"),
    ({"pivots": True, "estimator": "banzhaf", "semivalue": "banzhaf"}, "'banzhaf' gives no pivots .*; use 'exact',"),
    ({"pivots": True, "semivalue": "banzhaf"}, "'banzhaf' gives no pivots"),
]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        *WRONG,
        ({"batch_size": 0}, "batch_size must be 1"),
        ({"players": ["a"]}, "must be 20 strings, got 1"),
        ({"seed": -1}, "seed must be 0 or more, got -1"),
    ],
)
def test_wrong_use_is_refused_before_any_evaluation(counting, settings, message):
    game = counting(size)
    with pytest.raises(ValueError, match=message):
        explain(game, **{"n_players": 20, **settings})
    assert game.evaluated == []


@pytest.mark.parametrize(
    "settings", [{"seed": 1.5}, {"seed": "a"}, {"budget": 100.5}, {"n_players": 2.5}, {"batch_size": 1.5}]
)
def test_numbers_that_are_not_whole_are_refused_before_any_evaluation(counting, settings):
    game = counting(size)
    with pytest.raises(TypeError):
        explain(game, **{"n_players": 20, **settings})
    assert game.evaluated == []


@pytest.mark.parametrize(("settings", "message"), WRONG)
def test_wrong_use_is_found_without_a_game(settings, message):
    with pytest.raises(ValueError, match=message):
        check(**{"n_players": 20, **settings})


@pytest.mark.parametrize("n", [0, 1, 2, 12, 20])
@pytest.mark.parametrize("semivalue", ["shapley", "banzhaf", "leave-one-out", "first-in"])
@pytest.mark.parametrize("until", [None, TopKCertain(3)])
def test_what_passes_the_check_is_done_and_what_fails_it_is_not(semivalue, until, n):
    """With pivots where they were asked for."""
    for estimator in ESTIMATORS:
        for pivots in (False, True):
            settings = {
                "estimator": estimator,
                "semivalue": semivalue,
                "until": until,
                "pivots": pivots,
                "budget": 100,
            }
            try:
                check(n, **settings)
            except ValueError as error:
                with pytest.raises(ValueError, match=re.escape(str(error))):
                    explain(size, n, **settings)
            else:
                assert explain(size, n, **settings).pivots is not None or not pivots


def test_exact_does_not_exceed_the_budget_either():
    with pytest.raises(ValueError, match=r"'exact' needs a budget of at least 4096 evaluations .*got 2000"):
        explain(size, 12, estimator="exact")


def test_estimates_agree_with_shapiq_on_twelve_players(table):
    shapiq = pytest.importorskip("shapiq", reason="shapiq is not installed")
    game = table(12, seed=1)
    computer = shapiq.ExactComputer(lambda c: game(c.astype(bool))[:, 0], n_players=12)
    for semivalue, index in (("shapley", "SV"), ("banzhaf", "BV")):
        truth = computer(index, order=1).get_n_order_values(1)
        result = explain(game, 12, semivalue=semivalue, budget=3000)
        assert result.estimator != "exact"
        assert np.abs((result.values[0] - truth) / result.errors[0]).max() < 4.5


@pytest.mark.parametrize(
    ("players", "message"),
    [
        ("abc", "sequence of 3 strings, got the single string 'abc'"),
        ([1, 2, 3], "must be 3 strings, got 1 of type int"),
        (["a", "b"], "must be 3 strings, got 2"),
    ],
)
def test_players_that_are_no_names_are_refused(players, message):
    with pytest.raises(ValueError, match=message):
        explain(lambda c: c.sum(axis=1), 3, players=players)
