"""The reliability of "no answer", against counts by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from eval.qa import QARun, evaluate_qa, run
from eval.qa.no_answer import no_answer_row
from eval.qa.plots import plot_reliability

from .test_qa import EchoReader, file  # noqa: F401


class UnsureEcho(EchoReader):
    """Gives "no answer" the probability 0.9 where it answers nothing, and 0.15 for each passage elsewhere."""

    def no_answer_probability(self, encoded, coalitions: np.ndarray) -> np.ndarray:
        said = self.generate(encoded, coalitions)
        return np.where([not text for text in said], 0.9, 0.15 * coalitions.sum(1))


def entry(probability: float | None, recall: bool, answer: str) -> dict:
    return {"no_answer_probability": probability, "recall": recall, "answer": answer}


def test_a_row_is_what_counting_by_hand_gives():
    entries = [
        entry(0.05, True, "red"),
        entry(0.09, False, "blue"),
        entry(0.30, True, ""),
        entry(0.35, False, ""),
        entry(0.39, False, "green"),
        entry(1.00, False, ""),
    ]
    row = no_answer_row(5, entries)
    assert (row.k, row.questions) == (5, 6)
    assert row.answered == pytest.approx(100 / 3)
    assert row.declined_answered == 50
    assert row.declined_unanswered == 50
    found = [(one.questions, one.predicted, one.observed) for one in row.bins]
    expected = [(2, 0.07, 1 / 2), (3, (0.30 + 0.35 + 0.39) / 3, 2 / 3), (1, 1.0, 1.0)]
    for one, wanted in zip(found, expected, strict=True):
        assert one == pytest.approx(wanted)
    errors = 2 * (1 / 2 - 0.07) + 3 * (2 / 3 - (0.30 + 0.35 + 0.39) / 3)
    assert row.calibration_error == pytest.approx(100 * errors / 6)


def test_a_kind_that_does_not_occur_has_no_share():
    assert no_answer_row(1, [entry(0.5, True, "red")]).declined_unanswered is None
    assert no_answer_row(1, [entry(0.5, False, "red")]).declined_answered is None
    assert no_answer_row(1, [entry(None, True, "red")]) is None


def test_rows_by_number_of_passages(file, tmp_path):  # noqa: F811
    settings = QARun(data=[str(file)], passages="own", kind="all", k=[1, 2])
    result = evaluate_qa(settings, reader=UnsureEcho())
    first, both = result.no_answer
    # From the first passages alone: "", "blue", "black", ""; from both: "red", "blue", "black", "lost".
    assert (first.k, both.k) == (1, 2)
    assert (first.answered, first.declined_answered) == (25, 0)
    assert first.declined_unanswered == pytest.approx(200 / 3)
    assert (both.answered, both.declined_answered, both.declined_unanswered) == (75, 0, 0)
    assert both.calibration_error == pytest.approx(abs(30 - 25))
    assert json.loads(json.dumps(result.to_dict()))["no_answer"][1]["bins"] == [
        {"questions": 4, "predicted": pytest.approx(0.3), "observed": 0.25}
    ]
    pytest.importorskip("matplotlib")
    files = plot_reliability(result.no_answer, tmp_path / "answers.no-answer")
    assert [path.name for path in files] == ["answers.no-answer.png", "answers.no-answer.svg"]
    assert evaluate_qa(settings, reader=EchoReader()).no_answer == ()


def test_a_result_of_an_older_layout_is_made_anew(file, tmp_path, monkeypatch):  # noqa: F811
    out, settings = tmp_path / "result.json", QARun(data=[str(file)], passages="own", k=[1])
    evaluate_qa(settings, out, reader=EchoReader())
    monkeypatch.setattr(run, "answer_question", None)
    evaluate_qa(settings, out, reader=EchoReader())
    out.write_text(json.dumps(json.loads(out.read_text(encoding="utf-8")) | {"version": 2}), encoding="utf-8")
    with pytest.raises(TypeError):
        evaluate_qa(settings, out, reader=EchoReader())
