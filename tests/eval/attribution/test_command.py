"""The command as a user runs it: what it writes, how it resumes, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rag.cli import run

ROOT = Path(__file__).parents[3]
ISLANDS = ROOT / "examples" / "islands"
METHODS = "shapley,banzhaf:likelihood,lasso,attention,relevance,retriever,interactions"


def command(out: Path, *more: str) -> list[str]:
    arguments = ["evaluate", "attribution", str(ISLANDS), "--limit", "5", "--depth", "5", "--budget", "34"]
    settings = ["--set", "seeds=[0,1]", "--set", "report.draws=200", "--set", "coalitions=16"]
    return [*arguments, "--methods", METHODS, *settings, "--out", str(out), "--quiet", *more]


def content(out: Path) -> dict:
    """The result without what depends on the clock."""
    result = json.loads((out / "result.json").read_text(encoding="utf-8"))
    for cost in result["costs"].values():
        assert cost.pop("seconds") >= 0
    return result


def records(out: Path) -> list[dict]:
    found = [json.loads(line) for line in (out / "questions.jsonl").read_text(encoding="utf-8").splitlines()[1:]]
    for record in found:
        for method in record["methods"].values():
            del method["seconds"]
    return found


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("finished")
    assert run(command(out)) == 0
    return out


def test_what_is_written(finished):
    assert sorted(path.name for path in finished.iterdir()) == [
        "curves.png",
        "curves.svg",
        "questions.jsonl",
        "result.json",
    ]
    assert (finished / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (finished / "curves.svg").read_text(encoding="utf-8")
    result = content(finished)
    assert list(result["scores"]) == METHODS.split(",")
    assert (result["settings"]["budget"], result["settings"]["seeds"]) == (34, [0, 1])
    assert {"ragshap", "torch", "scikit-learn"} <= result["versions"].keys()
    assert len(result["reader"]) == 64
    assert list(result["files"]) == [str(ISLANDS)]
    kept = records(finished)
    assert sorted(record["id"] for record in kept) == sorted(result["questions"])
    by_id = {record["id"]: record for record in kept}
    for row in result["rows"]:
        own = [by_id[name]["methods"].get(row["system"], {}).get("measures", {}) for name in result["questions"]]
        scores = [measures[row["metric"]] for measures in own if measures.get(row["metric"]) is not None]
        if len(scores) == row["questions"]:
            assert row["mean"] == pytest.approx(sum(scores) / len(scores))
        assert row["low"] <= row["mean"] + 1e-12
        assert row["mean"] <= row["high"] + 1e-12


def test_reporting_otherwise_asks_nothing_again(finished, monkeypatch, capfd):
    from eval import runner

    monkeypatch.setattr(runner, "load_same_reader", lambda *_: pytest.fail("the reader is loaded"))
    assert run([*command(finished), "--baseline", "lasso", "--json"]) == 0
    said = json.loads(capfd.readouterr().out)
    assert {row["baseline"] for row in said["rows"] if row["system"] == "shapley"} <= {"lasso", None}
    assert run([*command(finished), "--markdown"]) == 0
    out = capfd.readouterr().out
    assert "| method | deletion | insertion | deletion:votes | insertion:votes |" in out
    assert "| method | coalitions | seconds |" in out


def test_other_settings_want_another_folder(finished, capfd):
    before = (finished / "questions.jsonl").read_bytes()
    assert run([*command(finished), "--budget", "40"]) == 2
    assert "made with other settings.budget; choose another folder" in capfd.readouterr().err
    assert (finished / "questions.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["missing"], 1, "no such question file or folder: missing"),
        ([str(ISLANDS), "--odd", "--even"], 2, "--odd, --even and --only exclude each other"),
        ([str(ISLANDS), "--methods", "magic"], 2, "'magic' is unknown"),
        ([str(ISLANDS), "--passages", "gold"], 2, "passages"),
        ([str(ISLANDS), "--passages", "own"], 2, "no question brings passages"),
        ([str(ISLANDS), "--set", "budgets=4"], 2, "did you mean 'budget'?"),
        ([str(ISLANDS), "--qrels", "missing.qrels"], 1, "missing.qrels"),
    ],
)
def test_wrong_use_is_one_clear_message(capfd, arguments, code, message):
    assert run(["evaluate", "attribution", *arguments]) == code
    said = " ".join(capfd.readouterr().err.replace("│", " ").split())
    assert message in said
    assert "Traceback" not in said
