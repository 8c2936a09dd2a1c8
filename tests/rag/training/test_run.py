from __future__ import annotations

import json
from shutil import copytree

import pytest

from rag.training.run import HeldOut, train
from rag.training.sampling import ExampleSampler
from rag.training.settings import EvaluationSettings, TrainSettings

from .conftest import small_settings


@pytest.mark.parametrize(("most", "sizes"), [(0, {1}), (1, {2}), (5, {6, 3, 2})])
def test_calibration_reads_few_passages_and_many(data, negatives, most, sizes):
    settings = TrainSettings(evaluation=EvaluationSettings(questions=3, negatives=most))
    held_out = HeldOut(ExampleSampler(data, negatives, seed=0), range(12), settings)
    examples = held_out.draw_all_sizes(4)
    assert {len(example.passages) for example in examples} == sizes
    assert len(examples) == 3 * len(sizes)
    assert {example.question for example in examples} == set(held_out.questions)
    assert all(example.coalitions.shape == (4, len(example.passages)) for example in examples)


def run(towers, out, **changes) -> int:
    stages = [{"steps": 1, "questions": 2, "negatives": 1, "coalitions": 1}]
    data = {"sources": [{"files": [str(towers)]}], "negatives": "bm25", "held_out": 3}
    evaluation = {"every": 9, "questions": 2, "negatives": 1}
    defaults = {"start": "minilm", "stages": stages, "data": data, "evaluation": evaluation}
    return train(out, small_settings(**{**defaults, **changes}))


def test_a_run_does_not_go_on_with_another_answer_or_passage(towers, tmp_path):
    content = json.loads(towers.read_text(encoding="utf-8"))
    own = tmp_path / "own.json"
    own.write_text(json.dumps(content), encoding="utf-8")
    run(own, tmp_path / "out")
    content["data"][0]["paragraphs"][0]["context"] += " Its roof is red."
    own.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ValueError, match=r"other settings \(data\)"):
        run(own, tmp_path / "out")


def test_a_run_does_not_go_on_with_another_teacher(towers, tmp_path):
    teacher = tmp_path / "teacher"
    for seed in (0, 1):
        run(towers, tmp_path / str(seed), seed=seed)
    copytree(tmp_path / "0" / "reader", teacher)
    run(towers, tmp_path / "out", teacher=str(teacher))
    run(towers, tmp_path / "out", teacher=str(teacher))
    copytree(tmp_path / "1" / "reader", teacher, dirs_exist_ok=True)
    with pytest.raises(ValueError, match=r"other settings \(data\)"):
        run(towers, tmp_path / "out", teacher=str(teacher))


def test_what_cannot_end_well_is_refused_before_the_first_step(towers, tmp_path):
    with pytest.raises(ValueError, match="max_block_tokens is 600; this reader reads at most 512 tokens"):
        run(towers, tmp_path / "long", max_block_tokens=600)
    with pytest.raises(ValueError, match="too few passages"):
        run(towers, tmp_path / "few", evaluation={"every": 9, "questions": 2, "negatives": 40})
    assert not list(tmp_path.glob("*/log.jsonl"))
