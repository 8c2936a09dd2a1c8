"""The command as a user runs it, with the embedded reader: what it writes, how it resumes, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rag.cli import run

ISLANDS = Path(__file__).parents[3] / "examples" / "islands"
SCORES = "shapley,shapley:positive,shapley:likelihood+rrf,relevance"


def command(out: Path, *more: str) -> list[str]:
    settings = ["--set", "attribution.budget=40", "--set", "report.draws=200", "--metric", "nDCG@10"]
    arguments = [
        "evaluate",
        "retrieval",
        str(ISLANDS),
        "--limit",
        "8",
        "--seed",
        "3",
        "--depth",
        "6",
        "-k",
        "1",
        "-k",
        "5",
    ]
    return [*arguments, "--rerank", SCORES, *settings, "--out", str(out), "--quiet", *more]


def content(out: Path) -> dict:
    return json.loads((out / "result.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("finished")
    assert run(command(out)) == 0
    return out


def test_what_is_written(finished):
    assert sorted(path.name for path in finished.iterdir()) == [
        "questions.jsonl",
        "recall.png",
        "recall.svg",
        "result.json",
    ]
    assert (finished / "recall.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (finished / "recall.svg").read_text(encoding="utf-8")
    result = content(finished)
    systems = ["bm25", *(f"bm25/6/{score}" for score in SCORES.split(","))]
    assert list(result["scores"]) == systems
    assert result["settings"]["attribution"]["budget"] == 40
    assert result["versions"]["ragshap"]
    assert len(result["reader"]) == 64
    assert list(result["files"]) == [str(ISLANDS)]
    header, *records = [json.loads(line) for line in (finished / "questions.jsonl").read_text().splitlines()]
    assert header["made_with"]["settings"] == result["settings"]
    assert sorted(record["id"] for record in records) == sorted(result["questions"])
    for record in records:
        first = record["systems"]["bm25"]["passages"]
        assert all(sorted(one["passages"]) == sorted(first) for one in record["systems"].values())
    for system in systems:
        row = next(r for r in result["rows"] if (r["system"], r["metric"]) == (system, "recall@5"))
        by_hand = [any(p in r["found"] for p in r["systems"][system]["passages"][:5]) for r in records]
        assert row["mean"] == pytest.approx(sum(by_hand) / len(records))
        assert row["low"] <= row["mean"] <= row["high"]
        assert result["curves"][system][4] == pytest.approx(row["mean"])


def test_reporting_otherwise_asks_nothing_again(finished, monkeypatch, capfd):
    from rag.scale import readers

    monkeypatch.setattr(readers, "load_reader", lambda settings: pytest.fail("the reader is loaded"))
    assert run([*command(finished), "--metric", "RR", "-k", "6", "--baseline", "bm25/6/relevance", "--json"]) == 0
    said = json.loads(capfd.readouterr().out)
    assert {row["metric"] for row in said["rows"]} == {"recall@1", "recall@5", "recall@6", "AUC@6", "nDCG@10", "RR@10"}
    assert said == content(finished)
    assert run(command(finished)) == 0


def test_other_settings_want_another_folder(finished, capfd):
    before = (finished / "questions.jsonl").read_bytes()
    assert run([*command(finished), "--set", "attribution.budget=60"]) == 2
    assert "made with other settings.attribution.budget; choose another folder" in capfd.readouterr().err
    assert (finished / "questions.jsonl").read_bytes() == before


def test_a_damaged_file_is_named(finished, tmp_path, capfd):
    lines = (finished / "questions.jsonl").read_bytes().split(b"\n")
    (tmp_path / "questions.jsonl").write_bytes(b"\n".join([lines[0], b"nonsense", *lines[2:]]))
    assert run(command(tmp_path)) == 1
    assert "questions.jsonl, line 2: not a record" in capfd.readouterr().err


def test_table_and_comparison(finished, capfd):
    assert run([*command(finished), "--markdown"]) == 0
    out = capfd.readouterr().out
    assert "| system | recall@1 | recall@5 | AUC@5 | nDCG@10 | headroom | coalitions |" in out
    assert "8 questions" in out
    result = str(finished / "result.json")
    assert run(["evaluate", "retrieval", "--compare", result, result]) == 0
    assert "bm25 (second)" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "give either DATA or --compare"),
        (["missing"], 1, "no such question file or folder: missing"),
        ([str(ISLANDS), "--odd", "--even"], 2, "--odd, --even and --only exclude each other"),
        ([str(ISLANDS), "--rerank", "magic"], 2, "'magic' is unknown"),
        ([str(ISLANDS), "--retriever", "bm26"], 2, "retrievers"),
        ([str(ISLANDS), "--metric", "foo@3"], 2, "'foo@3' is no measure"),
        ([str(ISLANDS), "--run", "missing.trec"], 1, "missing.trec"),
        (["--compare", "a.json", "b.json"], 1, "a.json"),
        (["--compare", "a", "b", "-k", "7", "--odd", "-o", "c"], 2, "in which -k, --odd, --out can change nothing"),
    ],
)
def test_wrong_use_is_one_clear_message(capfd, arguments, code, message):
    assert run(["evaluate", "retrieval", *arguments]) == code
    said = " ".join(capfd.readouterr().err.replace("│", " ").split())
    assert message in said
    assert "Traceback" not in said
