"""`evaluate qa` by order of the passages, against counts made by hand."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from eval.qa import QARun, evaluate_qa
from rag.cli import run
from rag.settings_base import SettingsError

HERE = Path(__file__).parents[2]
TIMES = {"seconds", "retrieve_seconds", "encode_seconds", "retrieve", "encode", "attribute", "answer_time"}


def evaluate(beir: Path, reader, out=None, **settings):
    settings = {"rerank": ["shapley"], "depth": 5, "k": [1, 2], **settings}
    return evaluate_qa(QARun.model_validate({"data": [str(beir)], **settings}), out, reader=reader)


def untimed(content):
    """Without what differs from run to run."""
    if isinstance(content, dict):
        timed = TIMES | ({"answer"} if "evaluations" in content else set())
        return {key: untimed(value) for key, value in content.items() if key not in timed}
    return [untimed(value) for value in content] if isinstance(content, list) else content


def test_rows_by_hand(beir, reader):
    result = evaluate(beir, reader)
    rows = {(row.order, row.k): row for row in result.rows}
    assert list(rows) == [
        ("retrieved", 1), ("retrieved", 2), ("retrieved", 5), ("shapley", 1), ("shapley", 2), ("shapley", "smallest"),
    ]  # fmt: skip
    # The first two passages name no city or a wrong one; that which two passages name is the answer from all five.
    for k in (1, 2):
        assert rows["retrieved", k].exact_match == rows["retrieved", k].recall == 0
        assert rows["shapley", k].exact_match == rows["shapley", k].recall == 100
    assert rows["retrieved", 5].exact_match == 100
    assert rows["retrieved", 5].passages == 5
    assert rows["shapley", "smallest"].passages == 1
    assert rows["shapley", "smallest"].exact_match == 100
    assert rows["shapley", 1].evaluations == 2**5
    assert rows["retrieved", 1].evaluations is None


def test_each_answer_is_the_readers_from_the_first_passages(beir, reader):
    result = evaluate(beir, reader, rerank=["shapley", "leave-one-out+rrf"], k=[1, 3])
    for asked, record in zip(result.per_question, json.loads(json.dumps(result.per_question)), strict=True):
        assert asked == record
        texts = {json.loads(line)["_id"]: json.loads(line)["text"] for line in (beir / "corpus.jsonl").read_text(
            ).splitlines()}  # fmt: skip
        orders = [record, *record["reranked"].values()]
        assert all(sorted(order["passages"]) == sorted(record["passages"]) for order in orders)
        for order in orders:
            for entry in order["by_k"]:
                if entry["k"] != "smallest":
                    assert entry["passages"] == entry["k"]
                shown = [texts[name] for name in order["passages"][: entry["passages"]]]
                words = [{w.strip(".") for w in text.split() if w[0].isupper()} for text in shown]
                counts = {w: sum(w in own for own in words) for w in set().union(*words)}
                assert entry["answer"] == max(counts, key=lambda w: (counts[w], len(w), w), default="")
                assert entry["exact_match"] == (entry["answer"] in record["accepted"])


def test_differences_are_paired_and_tested_exactly(beir, reader):
    queries = [json.loads(line) for line in (beir / "queries.jsonl").read_text().splitlines()]
    queries[1]["metadata"]["answers"] = ["Nowhere"]
    queries[2]["metadata"]["answers"] = ["Siparian", "Sirap"]  # what BM25's first passages of it name
    (beir / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)))
    result = evaluate(beir, reader)
    found = {(d.order, d.k, d.against): d for d in result.differences if d.measure == "exact_match"}
    assert set(found) == {("shapley", 1, "same k"), ("shapley", 2, "same k"), ("retrieved", 1, "all"),
                          ("retrieved", 2, "all"), ("shapley", 1, "all"), ("shapley", 2, "all")}  # fmt: skip
    scores = {
        (order, entry["k"]): [
            next(e for e in (r["by_k"] if order == "retrieved" else r["reranked"][order]["by_k"])
                 if e["k"] == entry["k"])["exact_match"] for r in result.per_question]
        for order in ("retrieved", "shapley")
        for entry in (result.per_question[0]["by_k"] if order == "retrieved"
                      else result.per_question[0]["reranked"]["shapley"]["by_k"])
    }  # fmt: skip
    for (order, k, against), one in found.items():
        gain = 100 * (np.array(scores[order, k]) - np.array(scores["retrieved", k if against == "same k" else 5]))
        assert one.difference == pytest.approx(gain.mean())
        assert one.low <= one.difference <= one.high
        signs = np.array(list(product([-1, 1], repeat=len(gain))))
        assert one.p == pytest.approx((abs(signs @ gain) >= abs(gain.sum()) - 1e-9).mean())
    family = [found["retrieved", 1, "all"], found["shapley", 1, "all"]]
    assert [one.p_holm for one in family] == pytest.approx([2 * family[0].p, 1])
    assert {d.measure for d in result.differences} == {"exact_match", "f1", "cover_exact_match"}


def test_a_score_is_timed_by_itself(beir, reader):
    evaluate(beir, reader, rerank=["shapley", "shapley+rrf", "shapley:positive"], limit=1)
    rows = [row for (*_, row), n in reader.decoded.items() for _ in range(n)]
    assert reader.encoded == 1
    # Two games of 2**5 coalitions; one and two passages of each order, and all, are decoded anew.
    assert len(rows) == 2 * 2**5 + 3 + 3 * 2


def test_questions_own_passages_by_default_sizes(tmp_path, reader):
    contexts = [{"title": "", "text": f"it is {city}"} for city in ("Oslo", "Rome", "Rome now")]
    path = tmp_path / "fid.json"
    path.write_text(json.dumps([{"question": "where?", "answers": ["Rome"], "ctxs": contexts}]))
    result = evaluate_qa(QARun(data=[str(path)], passages="own", rerank=["shapley"]), reader=reader)
    assert [row.k for row in result.rows if row.order == "own"] == [1, 2, 3, 5, 10, None]
    assert result.rows[5].passages == 3
    assert [row.exact_match for row in result.rows[6:]] == 6 * [100]


def test_finished_questions_are_not_asked_again(beir, reader, tmp_path):
    out = tmp_path / "answers.json"
    first = evaluate(beir, reader, out)
    assert reader.encoded == 6
    again = evaluate(beir, reader, out, name="other", report={"draws": 100, "confidence": 0.5})
    assert reader.encoded == 6, "only the report is another"
    assert again.rows == first.rows
    assert json.loads(out.read_text())["settings"]["report"] == {"draws": 100, "confidence": 0.5, "seed": 0}
    assert [path.name for path in out.parent.iterdir() if path.is_file()] == ["answers.json"]


def test_a_file_that_holds_something_else_is_kept(beir, reader, tmp_path):
    out = tmp_path / "answers.json"
    evaluate(beir, reader, out)
    finished, encoded = out.read_bytes(), reader.encoded
    with pytest.raises(SettingsError, match=r"answers.json holds a result made with other settings\.k; name another"):
        evaluate(beir, reader, out, k=[1])
    with (beir / "queries.jsonl").open("a") as file:
        file.write("\n")
    with pytest.raises(SettingsError, match=r"made with other files\."):
        evaluate(beir, reader, out)
    assert out.read_bytes() == finished
    for text in ("{}", "", "[1]", '{"format": "ragshap-qa"}', '[{"question": "Where?", "answers": ["Oslo"]}]'):
        out.write_text(text)
        with pytest.raises(SettingsError, match=r"answers.json is there and is no result of `ragshap evaluate qa`"):
            evaluate(beir, reader, out)
        assert out.read_text() == text
    assert reader.encoded == encoded


def test_answers_kept_by_a_stopped_run_are_of_the_same_settings(beir, reader, tmp_path):
    out = tmp_path / "answers.json"

    def stop(stage: str, done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    settings = {"data": [str(beir)], "k": [1]}
    with pytest.raises(KeyboardInterrupt):
        evaluate_qa(QARun.model_validate(settings), out, reader=reader, progress=stop)
    with pytest.raises(SettingsError, match=r"made with other settings\.k;"):
        evaluate_qa(QARun.model_validate({**settings, "k": [2]}), out, reader=reader)
    evaluate_qa(QARun.model_validate(settings), out, reader=reader)
    assert reader.encoded == 6
    with pytest.raises(IsADirectoryError, match=r"is a folder; name the .json file"):
        evaluate_qa(QARun.model_validate(settings), tmp_path, reader=reader)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rerank": ["magic"]}, "'magic' is unknown"),
        ({"rerank": ["shapley", "shapley"]}, "names a score twice"),
        ({"depth": 3, "k": [4]}, "depth: 3 passages are fewer than the largest k"),
        ({"attribution": {"utility": "likelihood"}}, "are chosen by rerank"),
        ({"attribution": {"screen": 3}}, "have no part in rerank"),
    ],
)
def test_settings_that_cannot_be_honoured(beir, reader, settings, message):
    with pytest.raises(ValueError, match=message):
        evaluate(beir, reader, **settings)


def command(out: Path, *more: str) -> list[str]:
    settings = ["--set", "attribution.budget=30", "--set", "report.draws=200", "--set", "seed=3", "--limit", "7"]
    start = ["evaluate", "qa", str(HERE / "examples" / "islands"), "-k", "1", "-k", "3", "--depth", "6"]
    return [*start, "--rerank", "shapley+rrf,relevance", *settings, "--out", str(out), "--quiet", *more]


@pytest.mark.slow
def test_the_command_prints_and_draws_every_order(tmp_path, capfd):
    out = tmp_path / "out.json"
    assert run(command(out)) == 0
    said = " ".join(capfd.readouterr().out.split())
    assert "shapley+rrf 3 3 retrieved" in said
    assert "relevance smallest" in said
    first = json.loads(out.read_text(encoding="utf-8"))
    assert run(command(out, "--markdown")) == 0
    assert "| shapley+rrf | 3 | 7 |" in capfd.readouterr().out
    assert json.loads(out.read_text(encoding="utf-8"))["questions"] == first["questions"], "nothing is asked again"
    drawn = ["out.no-answer.png", "out.no-answer.svg", "out.png", "out.svg"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.json", *drawn]
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "out.svg").read_text(encoding="utf-8")


def test_rows_are_plain_numbers(beir, reader):
    assert json.dumps([asdict(row) for row in evaluate(beir, reader).rows], allow_nan=False)
