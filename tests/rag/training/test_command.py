"""`ragshap train` from files to a reader."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rag.cli import run
from rag.readers.loading import load_reader
from rag.settings import ReaderSettings
from rag.settings_base import load_section
from rag.training.settings import TrainSettings
from retrievers import Passage

pytestmark = pytest.mark.slow

SHORT = [
    "--set", "stages=[{steps: 6, questions: 2, negatives: 2, coalitions: 2}]", "--set", "warmup=2",
    "--set", "save_every=2", "--set", "log_every=1", "--set", "data.held_out=3", "--set", "bfloat16=false",
    "--set", "evaluation={every: 3, questions: 2, negatives: 1}", "--set", "data.negatives=bm25",
]  # fmt: skip


def test_the_shipped_file_holds_every_key_with_its_default():
    import yaml

    text = yaml.safe_load(Path("configs/train.yaml").read_text(encoding="utf-8"))
    defaults = TrainSettings().model_dump()
    assert text == defaults
    assert load_section(TrainSettings, "train") == TrainSettings()


@pytest.mark.parametrize("start", ["minilm", "mpnet", "t5"])
def test_training_leaves_a_reader(start, towers, mpnet, request, tmp_path, capfd):
    named = str(request.getfixturevalue("t5")) if start == "t5" else start
    out = tmp_path / "out"
    pytest.importorskip("matplotlib")
    arguments = [str(towers), "--out", str(out), "--start", named, *SHORT, "--set", "max_block_tokens=64"]
    assert run(["train", *arguments, "--plot", str(out / "log.svg"), "--json"]) == 0
    said = json.loads(capfd.readouterr().out)
    assert said["steps"] == 6
    assert said["questions"] == 8
    assert 0 <= said["held_out_f1"] <= 100
    assert (out / "log.svg").read_text(encoding="utf-8").lstrip().startswith("<?xml")
    reader = load_reader(ReaderSettings(checkpoint=str(out / "reader"), max_block_tokens=64))
    encoded = reader.encode("when ?", [Passage("a", "the old tower", "rock")])
    assert len(reader.generate(encoded, np.ones((1, 1), dtype=bool))) == 1


def test_files_are_given_once_as_arguments_or_in_the_settings(towers, tmp_path, capfd):
    config = tmp_path / "train.yaml"
    config.write_text(f"data: {{sources: [{{files: [{towers.name}]}}]}}", encoding="utf-8")
    common = ["--config", str(config), "--out", str(tmp_path / "out"), *SHORT, "--set", "max_block_tokens=64"]
    assert run(["train", str(towers), *common]) == 2
    assert "not both" in capfd.readouterr().err
    assert run(["train", "--out", str(tmp_path / "none"), *SHORT]) == 1
    assert "nothing to train on" in capfd.readouterr().err
    assert run(["train", *common, "--root", str(towers.parent), "--start", "minilm", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["questions"] == 8


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--set", "stages=[{steps: 6, question: 2, negatives: 1}]"], 2, "stages.0.question: unknown setting"),
        (["--set", "data.negatives=dense"], 2, "data.negatives"),
        (["--plot", "log.pdf"], 1, "name a .png or .svg file"),
        (["--start", "no/such/checkpoint"], 1, "no/such/checkpoint"),
    ],
)  # fmt: skip
def test_wrong_use_is_one_clear_message(arguments, code, message, towers, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert run(["train", str(towers), "--out", "out", *arguments]) == code
    said = capfd.readouterr().err
    assert message in said
    assert "Traceback" not in said


def lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines()) if path.exists() else 0
