"""Scores of one question: what they are, what they cost, and that nothing is read twice."""

from __future__ import annotations

import numpy as np
import pytest

from attribution import exact, interactions
from eval.attribution.methods import (
    DEFAULT_METHODS,
    QuestionMethods,
    is_sampled,
    lasso,
    parse_method,
    random_coalitions,
)
from eval.retrieval.scoring import ScoredSession
from rag.scores import logit
from rag.settings import AttributionSettings
from rag.settings_base import SettingsError

N = 7


def methods(reader, passages, **settings):
    session = ScoredSession(reader, "where?", passages, AttributionSettings(**settings))
    return QuestionMethods(session, "q", range(N), 0.01)


def table(reader, passages):
    """All coalitions' log-probability of the answer, as a game."""
    weights = np.array([float(passage.text) for passage in passages])
    return lambda rows: reader.log_probability(weights, rows)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("shapley:likelihood", {}),
        ("banzhaf:likelihood", {"semivalue": "banzhaf"}),
        ("banzhaf@0.1:likelihood", {"semivalue": "banzhaf", "p": 0.1}),
        ("leave-one-out:likelihood", {"semivalue": "leave-one-out"}),
        ("first-in:likelihood", {"semivalue": "first-in"}),
    ],
)
def test_with_all_coalitions_semivalues_are_exact(reader, passages, name, options):
    found = methods(reader, passages, budget=2**N)(name, 0)()
    assert found.scores == pytest.approx(exact(table(reader, passages), N, **options).of(0))


def test_votes_are_of_the_answer(reader, passages):
    game = table(reader, passages)
    expected = exact(lambda rows: game(rows) > np.log(0.5), N, semivalue="banzhaf", p=0.1).of(0)
    assert methods(reader, passages, budget=2**N)("banzhaf@0.1", 0)().scores == pytest.approx(expected)


def test_lasso_is_the_minimum_of_its_objective(reader, passages):
    game, alpha = table(reader, passages), 0.05
    found = lasso(lambda rows: game(rows)[:, None], N, 60, alpha, seed=3)
    rows = random_coalitions(N, 60, np.random.default_rng(3))
    assert found.evaluations == len(np.unique(rows, axis=0)) == 60
    log_probability = game(rows)
    odds = np.log(np.exp(log_probability) / (1 - np.exp(log_probability)))
    scaled = (rows - rows.mean(axis=0)) / rows.std(axis=0)

    def objective(coefficients):
        left = odds - odds.mean() - scaled @ coefficients
        return (left**2).mean() / 2 + alpha * np.abs(coefficients).sum()

    best = found.scores * rows.std(axis=0)
    for player in range(N):
        for step in (-0.01, 0.01):
            assert objective(best) < objective(best + step * np.eye(N)[player])


def test_logit_without_cancellation():
    p = np.array([1e-30, 0.25, 1 - 1e-4])
    assert logit(np.log(p)) == pytest.approx(np.log(p / (1 - p)), rel=1e-6)
    assert np.isfinite(logit(np.array([0.0, 1e-9]))).all()


@pytest.mark.parametrize("count", [5, 60, 128])
def test_random_coalitions_differ_and_are_fair(count):
    drawn = random_coalitions(N, count, np.random.default_rng(1))
    assert drawn.shape == (count, N)
    assert len(np.unique(drawn, axis=0)) == count
    many = np.concatenate([random_coalitions(N, count, np.random.default_rng(seed)) for seed in range(400)])
    assert many.mean(axis=0) == pytest.approx(np.full(N, 0.5), abs=0.05)


def test_interactions_and_the_sign_of_no_answer(passages):
    from .conftest import FormulaReader

    silent = methods(FormulaReader(silent=True), passages, budget=2**N)
    assert silent.session.answer == ""
    game = table(FormulaReader(), passages)
    for_none = interactions(lambda rows: np.log(-np.expm1(game(rows))), N, budget=2**N).values[0]
    assert silent("interactions:likelihood", 0)().scores == pytest.approx(-for_none)
    spoken = methods(FormulaReader(), passages, budget=2**N)
    found = spoken("interactions:likelihood", 0)().scores
    assert found == pytest.approx(interactions(game, N, budget=2**N).values[0])
    assert np.sign(silent("lasso", 0)().scores[3]) == np.sign(spoken("lasso", 0)().scores[3]) == 1


def test_interactions_of_votes_are_those_of_the_answer(reader, passages):
    game = table(reader, passages)
    expected = interactions(lambda rows: (game(rows) > np.log(0.5)).astype(float), N, budget=2**N).values[0]
    assert not game(np.zeros((1, N), bool)) > np.log(0.5), "the empty coalition, which is read first, gives no answer"
    assert methods(reader, passages, budget=2**N)("interactions", 0)().scores == pytest.approx(expected)


def test_cheap_orders(reader, passages):
    mine = QuestionMethods(
        ScoredSession(reader, "where?", passages, AttributionSettings()), "q", [3, 1, 0, 2, 6, 5, 4], 0.01
    )
    assert np.argsort(-mine("retriever", 0)().scores).tolist() == [2, 1, 3, 0, 6, 5, 4]
    first, again, other = (mine("random", seed)().scores.tolist() for seed in (0, 0, 1))
    assert first == again != other
    many = np.array([mine("random", seed)().scores for seed in range(300)])
    assert many.mean() == pytest.approx(0, abs=0.1), "no sum of scores grows with the number of passages"
    assert all(map(is_sampled, ("random", "lasso", "lasso@64", "banzhaf@0.1")))
    assert not any(map(is_sampled, ("leave-one-out", "retriever")))


def test_a_lasso_with_a_budget_of_its_own(reader, passages):
    few = methods(reader, passages, budget=20)
    small, large = few("lasso", 1), few("lasso@60", 1)
    assert (small().evaluations, large().evaluations) == (20, 60)
    assert large().scores.tolist() == methods(reader, passages, budget=60)("lasso", 1)().scores.tolist()
    assert small().scores.tolist() != large().scores.tolist()


def test_nothing_is_read_twice_and_costs_are_of_each_alone(reader, passages):
    mine = methods(reader, passages, budget=60)
    dear = ("banzhaf@0.1", "banzhaf@0.1:likelihood")  # need more than 60
    names = [name for name in DEFAULT_METHODS if name not in ("attention", "relevance", *dear)]
    costs = {name: mine(name, 0) for name in names}
    assert set(reader.read.values()) == {1}
    found = {name: cost() for name, cost in costs.items()}
    for name in ("shapley", "banzhaf:likelihood", "lasso", "interactions"):
        assert 50 <= found[name].evaluations <= 60
    assert found["leave-one-out"].evaluations == found["first-in:likelihood"].evaluations == N + 2
    assert found["random"].evaluations == found["retriever"].evaluations == 0
    asked = sum(kind == "likelihood" for kind, _, _ in reader.read)
    assert asked < sum(cost.evaluations for cost in found.values())
    assert all(cost.seconds > 0 for name, cost in found.items())


def test_attention_needs_a_reader_that_has_it(reader, passages):
    with pytest.raises(SettingsError, match="attention is for readers with cross-attention"):
        methods(reader, passages)("attention", 0)


@pytest.mark.parametrize(
    "name", ["shapely", "shapley+rrf", "banzhaf@", "banzhaf@1.5", "shapley@0.5", "lasso:votes", ""]
)
def test_unknown_methods_are_refused(name):
    with pytest.raises(ValueError, match="is unknown; write lasso, retriever"):
        parse_method(name)
