from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rag.training.sampling import ExampleSampler
from rag.training.seq2seq import Seq2SeqLearner
from rag.training.settings import Stage
from rag.training.trainer import Trainer

from .conftest import small_settings

QUESTIONS = list(range(12))


@pytest.fixture
def sampler(data, negatives):
    return ExampleSampler(data, negatives, seed=0)


def final_state(folder: Path) -> dict[str, bytes]:
    """Weights and optimizer state, bit by bit."""
    return {k: v.numpy().tobytes() for k, v in load_file(folder / "checkpoint.safetensors").items()}


def read_log(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("kind", ["embedded", "t5"])
def test_a_killed_run_resumes_to_the_same_weights_and_log(kind, new_learner, data, sampler, t5, tmp_path):
    def learner():
        return new_learner() if kind == "embedded" else Seq2SeqLearner(t5, data, 64, 0.1)

    def run(folder, on_step=lambda step, row: None):
        Trainer(learner(), sampler, QUESTIONS, small_settings(), tmp_path / folder, on_step=on_step).run()

    def die(step, row):
        if step == 8:
            raise KeyboardInterrupt

    run("whole")
    with pytest.raises(KeyboardInterrupt):
        run("cut", die)
    assert (tmp_path / "cut" / "checkpoint.safetensors").exists()
    run("cut")
    assert final_state(tmp_path / "cut") == final_state(tmp_path / "whole")
    logs = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in read_log(tmp_path / f)] for f in ("cut", "whole")
    ]
    assert logs[0] == logs[1]
    assert not list((tmp_path / "cut").rglob("*.tmp"))
    run("cut")  # a finished run has nothing left to do
    assert final_state(tmp_path / "cut") == final_state(tmp_path / "whole")
    assert len(read_log(tmp_path / "cut")) == len(logs[0])


def test_other_settings_or_data_are_refused_on_resuming(new_learner, sampler, tmp_path):
    stages = [Stage(steps=3, questions=2, negatives=0, coalitions=1)]
    Trainer(new_learner(), sampler, QUESTIONS, small_settings(stages=stages), tmp_path, "these").run()
    before = final_state(tmp_path)
    longer = [Stage(steps=4, questions=2, negatives=0, coalitions=1)]
    for changed in ({"seed": 1, "stages": stages}, {"stages": longer}):
        name = next(iter(changed))
        with pytest.raises(ValueError, match=rf"other settings \({name}\)"):
            Trainer(new_learner(), sampler, QUESTIONS, small_settings(**changed), tmp_path, "these").run()
    with pytest.raises(ValueError, match=r"other settings \(data\)"):
        Trainer(new_learner(), sampler, QUESTIONS, small_settings(stages=stages), tmp_path, "those").run()
    assert final_state(tmp_path) == before


def test_it_learns_and_evaluates_what_it_saves(new_learner, sampler, tmp_path):
    settings = small_settings(
        stages=[Stage(steps=60, questions=12, negatives=1, coalitions=2)],
        new_rate=3e-3,
        encoder_rate=3e-3,
        evaluation={"every": 25},
    )
    measured = []

    def evaluate(folder):
        measured.append((folder / "checksums.json").read_text(encoding="utf-8"))
        return {"held_out_f1": 50.0}

    Trainer(new_learner(), sampler, QUESTIONS, settings, tmp_path, evaluate=evaluate).run()
    log = read_log(tmp_path)
    losses = [row["answer"] for row in log if "answer" in row]
    assert sum(losses[-5:]) < 0.6 * sum(losses[:5])
    assert [row["step"] for row in log if "answer" in row] == list(range(1, 61))
    assert [row["step"] for row in log if "held_out_f1" in row] == [25, 50, 60, 60]
    assert [row["averaged"] for row in log if "averaged" in row] == [3]
    assert len(set(measured)) == 4, "each time the reader as it was then, last the finished one"


def test_the_finished_reader_has_the_mean_weights_of_the_last_stages_evaluations(new_learner, sampler, tmp_path):
    stages = [Stage(steps=4, questions=2, negatives=1), Stage(steps=6, questions=2, negatives=1)]
    settings = small_settings(stages=stages, evaluation={"every": 3})
    learner, seen = new_learner(), []

    def remember(folder):
        seen.append({name: value.clone() for name, value in learner.state().items()})
        return {}

    Trainer(learner, sampler, QUESTIONS, settings, tmp_path, evaluate=remember).run()
    third, *last, finished = seen  # after 3 steps, in the first stage; after 6, 9 and 10; the mean
    assert len(last) == 3
    for name, value in finished.items():
        torch.testing.assert_close(value, sum(state[name] for state in last) / 3)
    assert not torch.equal(finished["span.weight"], third["span.weight"])
    stored = load_file(tmp_path / "checkpoint.safetensors")
    assert torch.equal(stored["model.span.weight"], last[-1]["span.weight"]), "training would go on from the last"


def test_the_learning_rate_rises_and_falls(new_learner, sampler, tmp_path):
    settings = small_settings(stages=[Stage(steps=8, questions=1, negatives=0, coalitions=1)], warmup=2)
    Trainer(new_learner(), sampler, QUESTIONS, settings, tmp_path).run()
    rates = [row["rate"] for row in read_log(tmp_path)]
    assert rates == pytest.approx([0.5, 1.0, 1.0, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6], abs=1e-4)


def test_word_embeddings_stay_and_the_rest_moves(new_learner, sampler, tmp_path):
    learner = new_learner()
    before = {name: value.clone() for name, value in learner.state().items()}
    Trainer(learner, sampler, QUESTIONS, small_settings(new_rate=1e-2, encoder_rate=1e-2), tmp_path).run()
    same = {name for name, value in learner.state().items() if torch.equal(value, before[name])}
    assert same == {"encoder.embeddings.word_embeddings.weight"}


def test_a_loss_that_is_not_finite_stops_the_run(new_learner, sampler, tmp_path):
    learner = new_learner()
    with torch.no_grad():
        learner.model.span.weight.fill_(torch.nan)
    with pytest.raises(ValueError, match="step 0; lower the learning rate"):
        Trainer(learner, sampler, QUESTIONS, small_settings(), tmp_path).run()
    assert sys.float_info.min / 2 > 0, "the whole process goes on with denormal numbers flushed"
