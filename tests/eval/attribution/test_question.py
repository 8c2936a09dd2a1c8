"""All measures of one question together, and of a run without the command line."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

from attribution import exact
from eval.attribution import AttributionRun, evaluate_attribution
from eval.attribution.question import measure_question
from eval.attribution.summary import GRID
from rag.questions import Question
from rag.settings_base import SettingsError, load_section

N = 7
METHODS = ["shapley", "shapley:likelihood", "leave-one-out", "lasso", "retriever", "random", "interactions:likelihood"]


def make_run(**settings) -> AttributionRun:
    given = {"data": ["-"], "passages": "own", "methods": METHODS, "budget": 64, "report": {"draws": 200}, **settings}
    return load_section(AttributionRun, None, [], base=given)


def measure(reader, passages, relevant=("p0", "p6"), **settings):
    question = Question("q", "where?", ("Oslo",), "q")
    return measure_question(make_run(**settings), reader, question, passages, list(range(N)), relevant)


def test_reference_values_are_exact_shapley_values(reader, passages):
    record = measure(reader, passages)
    weights = np.array([float(passage.text) for passage in passages])
    likelihood = exact(lambda rows: reader.log_probability(weights, rows), N).of(0)
    votes = exact(lambda rows: reader.log_probability(weights, rows) > np.log(0.5), N).of(0)
    assert record["reference"] == "exact"
    for name in ("shapley", "lasso", "retriever"):
        found = record["methods"][name]
        scores = np.round(found["scores"], 6)
        for utility, values in {"votes": votes, "likelihood": likelihood}.items():
            values = values.round(9)
            assert found["measures"][f"spearman:{utility}"] == pytest.approx(spearmanr(scores, values)[0], abs=1e-5)
            assert found["measures"][f"kendall:{utility}"] == pytest.approx(kendalltau(scores, values)[0], abs=1e-5)
    own = record["methods"]["shapley:likelihood"]["measures"]["spearman:own"]
    assert own == pytest.approx(spearmanr(record["methods"]["shapley:likelihood"]["scores"], likelihood)[0], abs=1e-5)
    assert "spearman:own" not in record["methods"]["lasso"]["measures"]


def test_no_coalition_is_read_twice_and_votes_follow_probability(reader, passages):
    record = measure(reader, passages)
    assert set(reader.read.values()) == {1}
    assert len(reader.read) == 2 * 2**N, "all coalitions in both utilities, for the exact values"
    for method in set(METHODS) - {"interactions:likelihood"}:
        found = record["methods"][method]
        assert len(found["deletion"]) == N + 1
        votes = np.array(found["deletion"]) > 0.5
        assert found["measures"]["deletion:votes"] == pytest.approx(
            (votes[:-1] + votes[1:].astype(float)).mean() / 2, abs=1e-6
        )
    assert set(record["methods"]["interactions:likelihood"]["measures"]) == {"pairs.AP"}


def test_interactions_find_the_two_that_need_each_other(reader, passages):
    record = measure(reader, passages, budget=128)
    assert record["methods"]["interactions:likelihood"]["measures"]["pairs.AP"] == 1


def test_a_larger_game_has_a_sampled_reference(reader, passages):
    record = measure(reader, passages, reference=100)
    assert record["reference"] == "sampled"
    found = record["methods"]["shapley:likelihood"]["measures"]
    assert found["spearman:likelihood"] > 0.8
    assert "spearman:own" not in found


def test_only_what_is_asked_for_is_measured_and_read(reader, passages):
    names = ["shapley:likelihood", "lasso", "lasso@24"]
    few = {"methods": names, "budget": 16, "seeds": [0], "measures": ["drop"]}
    record = measure(reader, passages, **few)
    assert record["reference"] is None
    whole = measure(reader, passages, methods=names, budget=16)["methods"]
    for name in names:
        found = record["methods"][name]
        assert set(found["measures"]) == {f"{kind}@{k}" for kind in ("drop", "hold") for k in (1, 3, 5)}
        assert found["measures"].items() <= whole[name]["measures"].items()
    alone = type(reader)()
    measure(alone, passages, **few)
    asked = [kind for kind, *_ in alone.read]
    assert asked.count("votes") <= 1, "the answer to explain"
    assert asked.count("likelihood") <= 16 + 24 + 3 * 6


def test_an_unanswered_question_counts_for_evidence_alone(passages):
    from .conftest import FormulaReader

    record = measure(FormulaReader(silent=True), passages)
    assert record["reference"] is None
    assert set(record["methods"]["shapley"]["measures"]) == {"AP", "Rprec", "nDCG@10", "pairs.AP"}
    assert set(measure(FormulaReader(), passages, relevant=())["methods"]["random"]["measures"]) >= {"LDS", "drop@1"}


def test_a_run_counts_what_it_leaves_out(hotpotqa, reader):
    result = evaluate_attribution(make_run(data=[str(hotpotqa)]), reader=reader)
    assert result.ids == ("q0", "q1", "q2", "q3")
    assert result.warnings == ("reference values are exact in 4 questions",)
    rows = {(row.system, row.metric): row for row in result.rows}
    assert rows["lasso", "LDS"].baseline == "shapley"
    assert rows["lasso", "LDS"].difference == pytest.approx(rows["lasso", "LDS"].mean - rows["shapley", "LDS"].mean)
    assert rows["interactions:likelihood", "pairs.AP"].questions == 4
    assert rows["shapley:likelihood", "LDS"].mean > rows["random", "LDS"].mean
    assert result.curves["lasso"]["deletion"][0] == result.curves["lasso"]["insertion"][-1]
    assert len(result.curves["lasso"]["deletion"]) == len(GRID)
    assert result.costs["leave-one-out"].evaluations == N + 2
    shallow = evaluate_attribution(make_run(data=[str(hotpotqa)], depth=5, budget=16), reader=reader)
    assert shallow.warnings[-2:] == (
        "4 questions have too many passages for interactions at a budget of 16",
        "4 passages that are marked as evidence are not among their question's passages",
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"methods": ["shapley", "shapley"]}, "'shapley' is named twice"),
        ({"methods": ["shapely"]}, "'shapely' is unknown"),
        ({"methods": ["banzhaf@0.1"]}, "budget: banzhaf@0.1 of 20 passages needs 162 or more, got 64"),
        ({"seeds": [1, 1]}, "seeds must be different"),
        ({"index": "x"}, "passages=own searches nothing"),
        ({"report": {"baseline": "lime"}}, "'lime' is no method; there are shapley"),
        ({"reader": {"checkpoint": "http://localhost/v1#m"}}, "few endpoints give log-probabilities"),
    ],
)
def test_what_cannot_be_is_refused(settings, message):
    with pytest.raises(SettingsError, match=message):
        make_run(**settings)


def test_own_passages_must_be_there(tmp_path, reader):
    (tmp_path / "open.jsonl").write_text('{"id": "1", "question": "where?", "answer": ["Oslo"]}', encoding="utf-8")
    with pytest.raises(SettingsError, match="no question brings passages"):
        evaluate_attribution(make_run(data=[str(tmp_path / "open.jsonl")]), reader=reader)
