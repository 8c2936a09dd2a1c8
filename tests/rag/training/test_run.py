from __future__ import annotations

import json
from dataclasses import replace

import pytest

from rag.questions import QuestionSet, holds_answer
from rag.training import run
from rag.training.run import HeldOut, cached_negatives
from rag.training.sampling import ExampleSampler
from rag.training.settings import EvaluationSettings, TrainSettings


def quiet(stage, done, total):
    pass


@pytest.mark.parametrize("kind", ["bm25", "hybrid"])
def test_negatives_are_mined_once_for_the_same_data(data, kind, tmp_path, monkeypatch):
    path = tmp_path / "negatives.json"
    stages = set()
    mined = cached_negatives(data, kind, path, lambda stage, done, total: stages.add(stage))
    assert stages == {"indexing", "mining negatives"}
    for question, pool in zip(data.questions, mined, strict=True):
        assert pool
        assert not any(holds_answer(data.passages[index].full_text, question.answers) for index in pool)
    with monkeypatch.context() as patched:
        patched.setattr(run, "mine_negatives", None)
        assert cached_negatives(data, kind, path, quiet) == mined
    other = QuestionSet(data.passages, [replace(data.questions[0], text="Another question?"), *data.questions[1:]])
    stages.clear()
    cached_negatives(other, kind, path, lambda stage, done, total: stages.add(stage))
    assert "mining negatives" in stages, "other data are mined anew"
    assert not list(tmp_path.glob("*.tmp"))


def test_a_questions_own_passages_can_be_its_negatives(data, tmp_path):
    questions = [replace(question, passages=tuple(range(12))) for question in data.questions]
    found = cached_negatives(QuestionSet(data.passages, questions), "own", tmp_path / "negatives.json", quiet)
    for question, pool in zip(questions, found, strict=True):
        assert sorted([*pool, *question.gold]) == list(range(12))
    assert json.loads((tmp_path / "negatives.json").read_text(encoding="utf-8"))["negatives"] == found


@pytest.mark.parametrize(("most", "sizes"), [(0, {1}), (1, {2}), (5, {6, 3, 2})])
def test_calibration_reads_few_passages_and_many(data, negatives, most, sizes):
    settings = TrainSettings(evaluation=EvaluationSettings(questions=3, negatives=most))
    held_out = HeldOut(ExampleSampler(data, negatives, seed=0), range(12), settings)
    examples = held_out.draw_all_sizes(4)
    assert {len(example.passages) for example in examples} == sizes
    assert len(examples) == 3 * len(sizes)
    assert {example.question for example in examples} == set(held_out.questions)
    assert all(example.coalitions.shape == (4, len(example.passages)) for example in examples)
