"""What people hand to `evaluate` by mistake: one clear line with file and line, or a counted skip that is reported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eval.qa import QARun, evaluate_qa
from eval.retrieval import RetrievalRun, evaluate_retrieval
from eval.selection import Selection, select_questions
from rag.cli import run
from rag.questions import load_questions


def say(capfd, *arguments: object) -> tuple[int, str]:
    code = run([*map(str, arguments), "--quiet"])
    out, err = capfd.readouterr()
    assert "Traceback" not in err
    return code, " ".join((out + err).replace("│", " ").split())


LINE = "q1 Q0 p1-2 1 9 t\n"


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("", 1, "theirs.trec: the run is empty"),
        ("\n \r\n", 1, "theirs.trec: the run is empty"),
        (LINE + "q1 Q0 p1-1 2 NaN t\n", 1, "theirs.trec, line 2: expected a finite number, got 'NaN'"),
        (LINE + "q1 Q0 p1-1 2 inf t\n", 1, "theirs.trec, line 2: expected a finite number, got 'inf'"),
        (LINE + LINE, 1, "theirs.trec, line 2: passage 'p1-2' comes twice for question 'q1'"),
        (LINE + "\r\nq1\r", 1, "theirs.trec, line 3: expected 6 fields"),
        (LINE + "q1 Q0 lost 1 8 t\n", 1, "theirs.trec: 1 passages are not in the corpus, such as 'lost'"),
        (LINE + "q99 Q0 p1-2 1 9 t\n", 0, "has 1 questions that are not in the data; they are left out"),
        (LINE, 0, "has no passages for 5 of 6 questions; they count as not found"),
    ],
)
def test_runs(beir, tmp_path, capfd, text, code, message):
    path = tmp_path / "theirs.trec"
    path.write_text(text, newline="")
    got, said = say(capfd, "evaluate", "retrieval", beir, "--run", path)
    assert message in said
    assert got == code


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("", 1, "qrels.txt: nothing is judged"),
        ("q1 0 p1-2 high\n", 1, "qrels.txt, line 1: expected a finite number, got 'high'"),
        ("q1 0 p1-2 nan\n", 1, "qrels.txt, line 1: expected a finite number, got 'nan'"),
        ("q1 0 p1-2 0.5\n", 1, "qrels.txt, line 1: the relevance must be a whole number"),
        ("q1 0 p1-2 1\r\nq1 0 p1-2 2\r\n", 1, "qrels.txt, line 2: passage 'p1-2' is judged twice and differently"),
        ("q1 0 p1-2 1\rq1 p\r", 1, "qrels.txt, line 2: expected 'question 0 passage relevance'"),
        ("q1 0 p1-2 1\nq1 0 lost 1\n", 0, "1 relevant passages are not in the corpus"),
        ("q1 0 p1-2 1\nq77 0 p1-2 1\n", 0, "1 judged questions are not in the data and are left out"),
    ],
)
def test_judgements(beir, tmp_path, capfd, text, code, message):
    path = tmp_path / "qrels.txt"
    path.write_text(text, newline="")
    got, said = say(capfd, "evaluate", "retrieval", beir, "--qrels", path, "--metric", "nDCG@10")
    assert message in said
    assert got == code


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "mixed"])
def test_line_ends_make_no_difference(beir, reader, end):
    def results():
        report = {"k": [1, 3], "metrics": ["nDCG@3"], "draws": 100}
        ranked = evaluate_retrieval(RetrievalRun.model_validate({"data": [str(beir)], "depth": [5], "report": report}))
        answered = evaluate_qa(QARun(data=[str(beir)], k=[5]), reader=reader)
        return ranked.rows, [(r["id"], r["passages"], r["by_k"][0]["answer"]) for r in answered.per_question]

    expected = results()
    for path in (beir / "corpus.jsonl", beir / "queries.jsonl", beir / "qrels" / "test.tsv"):
        ends = ["\n", "\r\n", "\r"] if end == "mixed" else [end]
        lines = path.read_text(encoding="utf-8").splitlines()
        path.write_text("".join(line + ends[n % len(ends)] for n, line in enumerate(lines)), newline="")
    assert results() == expected


def answers(beir: Path, **changed: object) -> None:
    queries = [json.loads(line) for line in (beir / "queries.jsonl").read_text().splitlines()]
    for query in queries:
        query["metadata"]["answers"] = changed.get(query["_id"], query["metadata"]["answers"])
    (beir / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)))


def test_answers_of_which_normalisation_leaves_nothing_are_left_out_and_counted(beir, reader, capfd):
    answers(beir, q1=["the", "!?"], q2=["A."], q3=["the", "Paris"], q4=[])
    result = evaluate_qa(QARun(data=[str(beir)], k=[5]), reader=reader)
    assert [record["id"] for record in result.per_question] == ["q3", "q5", "q6"]
    assert result.rows[0].exact_match == 100
    assert result.warnings == (
        "2 questions are left out, such as 'q1': nothing of their accepted answers is left by normalisation",
        "1 questions without accepted answer are left out (kind=answerable)",
    )
    assert result.to_dict()["warnings"] == list(result.warnings)
    everything = select_questions(Selection(data=[str(beir)], kind="all"))
    assert [question.id for question in everything.questions] == ["q3", "q4", "q5", "q6"]
    answers(beir, **{f"q{n}": ["the"] for n in range(1, 7)})
    code, said = say(capfd, "evaluate", "qa", beir)
    assert code == 2
    assert "none of 6 questions is left by kind=answerable and ids=all; 6 questions are left out, such as 'q1'" in said


def test_answers_without_words_cannot_be_found_and_are_counted(beir, capfd):
    answers(beir, q1=["!?"], q2=["..."])
    (beir / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq3\tp3-2\t1\n")
    code, said = say(capfd, "evaluate", "retrieval", beir)
    assert code == 0
    assert "2 questions have neither an answer nor a relevant passage" in said


def test_one_answer_may_be_given_without_a_list(beir):
    answers(beir, q1="Oslo")
    assert load_questions([beir]).questions[0].answers == ("Oslo",)


@pytest.mark.parametrize("command", ["qa", "retrieval"])
def test_questions_with_one_id(beir, tmp_path, capfd, command):
    with (beir / "queries.jsonl").open("a") as file:
        file.write('\n{"_id": "q1", "text": "again?", "metadata": {"answers": ["Oslo"]}}')
    code, said = say(capfd, "evaluate", command, beir)
    assert code == 1
    assert "queries.jsonl, line 7: the question id 'q1' occurs twice" in said


@pytest.mark.parametrize("command", ["qa", "retrieval"])
def test_blank_questions_are_left_out_and_counted(beir, capfd, command):
    with (beir / "queries.jsonl").open("a") as file:
        file.write('\n{"_id": "q9", "text": " ", "metadata": {"answers": ["Oslo"]}}')
    code, said = say(capfd, "evaluate", command, beir)
    assert code == 0
    assert "1 questions are blank, such as 'q9', and are left out" in said


@pytest.mark.parametrize("command", ["qa", "retrieval"])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"_id": "q1", "text": "a"}\r\n{"_id": "q2"}', "queries.jsonl, line 2: not a BEIR query"),
        ('{"_id": "q1", "text": "a"}\r{"_id": ', "queries.jsonl, line 2: not valid JSON"),
        ("", "queries.jsonl"),
    ],
)
def test_questions_that_are_broken(beir, capfd, command, text, message):
    (beir / "queries.jsonl").write_text(text, newline="")
    code, said = say(capfd, "evaluate", command, beir)
    assert message in said
    assert code == 1
