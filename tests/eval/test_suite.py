"""A suite keeps what is finished, and asks again what was asked otherwise."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from eval.qa import QARun, run
from eval.suite import Suite, run_suite
from rag import provenance
from rag.scale import readers
from rag.settings_base import SettingsError, load_section

pytestmark = pytest.mark.slow


@pytest.fixture
def file(tmp_path) -> Path:
    runs = [
        {"name": "Own, first", "data": ["islands"], "passages": "retrieved", "k": [1], "limit": 2},
        {"name": "Own, second", "data": ["islands"], "passages": "retrieved", "k": [1, 3], "limit": 3},
    ]
    path = tmp_path / "suite.yaml"
    path.write_text(yaml.safe_dump({"runs": runs}), encoding="utf-8")
    return path


@pytest.fixture
def asked(monkeypatch) -> list[str]:
    """Names of the runs whose questions are really asked, once per question."""
    names = []
    original = run.answer_question

    def spy(qa: QARun, *arguments):
        names.append(qa.name)
        return original(qa, *arguments)

    monkeypatch.setattr(run, "answer_question", spy)
    return names


def test_a_stopped_suite_goes_on(file, asked, tmp_path, monkeypatch):
    out = tmp_path / "results"
    first = run_suite(file, Path("examples"), out)
    assert asked == 2 * ["Own, first"] + 3 * ["Own, second"]
    assert sorted(path.name for path in out.iterdir()) == ["own-first.json", "own-second.json"]
    (out / "own-second.json").unlink()
    again = run_suite(file, Path("examples"), out)
    assert asked[5:] == 3 * ["Own, second"]
    assert again[0] == first[0]
    for one, two in zip(first[1]["questions"], again[1]["questions"], strict=True):
        assert [k["answer"] for k in one["by_k"]] == [k["answer"] for k in two["by_k"]]
    run_suite(file, Path("examples"), out, overrides=["limit=1"])
    assert asked[8:] == ["Own, first", "Own, second"], "other settings are measured anew"
    for module in (provenance, readers):
        monkeypatch.setattr(module, "reader_checksum", lambda reader: "other weights")
    run_suite(file, Path("examples"), out, overrides=["limit=1"])
    assert asked[10:] == ["Own, first", "Own, second"]


def test_names_are_needed_and_distinct(tmp_path):
    run = {"data": ["islands"]}
    for runs in ([run], [{**run, "name": "A b"}, {**run, "name": "a-B"}]):
        path = tmp_path / "bad.yaml"
        path.write_text(yaml.safe_dump({"runs": runs}), encoding="utf-8")
        with pytest.raises(SettingsError, match="each run needs its own name"):
            run_suite(path, Path(), tmp_path / "results")


def test_the_model_card_is_a_suite():
    shipped = load_section(Suite, "model-card")
    assert len(shipped.runs) == 11
    assert json.dumps(shipped.model_dump(mode="json"))
