"""`evaluate qa` against counts made by hand."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from eval.qa import QARun, evaluate_qa
from eval.selection import Selection, select_questions
from rag.cli import run
from rag.readers.base import EncodedQuestion
from rag.settings_base import SettingsError
from retrievers import Passage


class EchoReader:
    """Answers with the last word of the first visible passage that holds "is"; "" if none does."""

    name = "echo"

    def encode(self, question: str, passages: Sequence[Passage]) -> EncodedQuestion:
        return EncodedQuestion(question, tuple(passages), (0,) * len(passages), 0, None)

    def generate(self, encoded: EncodedQuestion, coalitions: np.ndarray) -> list[str]:
        rows = ([p.text for p, seen in zip(encoded.passages, row, strict=True) if seen] for row in coalitions)
        return [next((text.split()[-1] for text in row if " is " in text), "") for row in rows]

    def score(self, encoded: EncodedQuestion, coalitions: np.ndarray, answers: Sequence[str]) -> np.ndarray:
        return np.zeros((len(coalitions), len(answers)))


def question(number: int, answer: str | None, contexts: list[tuple[str, bool]]) -> dict:
    return {
        "id": f"q{number}",
        "question": f"What is thing {number}?",
        "answer": answer or "",
        "paragraphs": [{"title": "", "paragraph_text": text, "is_supporting": gold} for text, gold in contexts],
    }


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "questions.json"
    content = [
        question(1, "red", [("nothing of note", False), ("thing 1 is red", True)]),
        question(2, "very green", [("thing 2 is blue", False), ("thing 2 is very green", True)]),
        question(3, "black", [("thing 3 is black", True), ("nothing here", False)]),
        question(4, None, [("thing 4 was never seen", False), ("a thing 4 is lost", False)]),
    ]
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


class ShortReader(EchoReader):
    """Reads three words of a passage."""

    def encode(self, question: str, passages: Sequence[Passage]) -> EncodedQuestion:
        cut = tuple(max(0, len(passage.text.split()) - 3) for passage in passages)
        return EncodedQuestion(question, tuple(passages), cut, len(question.split()) - 3, None)


def test_passages_beyond_the_readers_limit_are_counted(file, tmp_path):
    run = QARun(data=[str(file)], passages="own")
    for _ in range(2):  # the second time, the records are those in the file
        result = evaluate_qa(run, reader=ShortReader(), out=tmp_path / "out")
        said = [note for note in result.warnings if "longer than" in note]
        assert said == [
            "in 3 of 3 questions: passages longer than reader.max_passage_tokens: 4; 5 of their tokens were not read",
            "in 3 of 3 questions: the question is longer than the reader's limit; 3 of its tokens were not read",
        ]
        assert sum(sum(record["cut_tokens"].values()) for record in result.to_dict()["questions"]) == 5
    assert not any("longer than" in note for note in evaluate(file).warnings)


def evaluate(file: Path, **settings):
    return evaluate_qa(QARun(data=[str(file)], **settings), reader=EchoReader())


def test_by_number_of_own_passages(file):
    first, both = evaluate(file, passages="own", k=[2, 1]).rows
    assert (first.k, both.k) == (1, 2)
    # From the first passages alone: "", "blue", "black"; from both: "red", "blue", "black".
    assert first.exact_match == pytest.approx(100 / 3)
    assert first.no_answer == pytest.approx(100 / 3)
    assert first.recall == pytest.approx(100 / 3)
    assert both.exact_match == both.f1 == pytest.approx(200 / 3)
    assert both.recall == 100
    assert both.cover_exact_match == pytest.approx(200 / 3)
    assert both.exact_match_error == pytest.approx(100 * np.std([1, 0, 1], ddof=1) / math.sqrt(3))


def test_gold_passages_alone(file):
    (row,) = evaluate(file, passages="gold").rows
    assert row.k is None
    assert row.exact_match == pytest.approx(200 / 3)  # "green" is not "very green"
    assert row.f1 == pytest.approx(100 * (1 + 2 / 3 + 1) / 3)


def test_unanswerable_questions_want_no_answer(file):
    (row,) = evaluate(file, passages="own", kind="unanswerable", k=[1]).rows
    assert (row.questions, row.exact_match, row.no_answer) == (1, 100, 100)
    assert row.recall is None
    result = evaluate(file, passages="own", kind="unanswerable")
    assert result.rows[0].exact_match == 0
    assert json.dumps(result.to_dict(), allow_nan=False)
    assert result.to_dict()["rows"][0]["recall"] is None


def test_hard_negatives_follow_the_gold_passages_and_hold_no_answer(file):
    chosen = select_questions(Selection(data=[str(file)], passages="hard", k=[4]))
    for asked in chosen.examples():
        gold, *others = asked.passages
        assert asked.question.answers[0] in gold.text
        assert len(others) == 3
        assert not any(asked.question.answers[0] in passage.text.split() for passage in others)


def test_retrieved_passages_come_from_data_and_pool(file, tmp_path):
    pool = tmp_path / "pool.jsonl"
    pool.write_text(json.dumps({"id": "x", "text": "What is thing 3? The thing 3 is pool"}), encoding="utf-8")
    chosen = select_questions(Selection(data=[str(file)], pool=[str(pool)], k=[9]))
    third = next(asked for asked in chosen.examples() if asked.question.id == "q3")
    assert third.passages[0].id == "x"
    same = select_questions(Selection(data=[str(file)], pool=[str(file)], k=[9]))
    for asked in same.examples():
        assert len({p.full_text for p in asked.passages}) == len(asked.passages)


@pytest.mark.parametrize(("ids", "expected"), [("odd", ["q1", "q3"]), ("even", ["q2"]), ("all", ["q1", "q2", "q3"])])
def test_ids(file, ids, expected):
    assert [
        a.question.id for a in select_questions(Selection(data=[str(file)], passages="own", ids=ids)).examples()
    ] == expected


def test_a_sample_is_the_same_for_a_seed():
    def ids(**settings) -> list[str]:
        selection = Selection(data=["examples/islands"], limit=10, **settings)
        return [question.id for question in select_questions(selection).questions]

    assert ids() == ids()
    assert ids() == sorted(ids())
    assert ids() != ids(seed=1)
    assert len(ids()) == 10


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"passages": "gold", "pool": ["x"]}, "searches nothing"),
        ({"passages": "hard", "index": "x"}, "index goes with passages=retrieved"),
        ({"k": [0]}, "k must be 1 or more"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Selection(data=["x"], **settings)


def test_nothing_to_ask_is_an_error(file):
    with pytest.raises(SettingsError, match="no question has a passage marked"):
        select_questions(Selection(data=["examples/islands"], passages="gold"))
    with pytest.raises(SettingsError, match="none of 100 questions is left by kind=unanswerable"):
        select_questions(Selection(data=["examples/islands"], kind="unanswerable"))


def test_the_command_prints_what_it_saves(file, tmp_path, capfd):
    out = tmp_path / "result.json"
    assert (
        run(["evaluate", "qa", str(file), "--passages", "own", "-k", "1", "-k", "2", "--out", str(out), "--json"]) == 0
    )
    said = json.loads(capfd.readouterr().out)
    assert said == json.loads(out.read_text(encoding="utf-8"))
    assert [row["k"] for row in said["rows"]] == [1, 2]
    assert [q["id"] for q in said["questions"]] == ["q1", "q2", "q3"]
    assert all(len(q["by_k"]) == 2 for q in said["questions"])
    assert said["settings"]["passages"] == "own"
    assert said["versions"]["ragshap"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["missing.json"], 1, "missing.json"),
        (["questions.json", "--passages", "some"], 2, "passages"),
        (["questions.json", "--set", "kinds=all"], 2, "did you mean 'kind'"),
    ],
)
def test_wrong_use_is_one_clear_message(file, monkeypatch, capfd, arguments, code, message):
    monkeypatch.chdir(file.parent)
    assert run(["evaluate", "qa", *arguments]) == code
    said = capfd.readouterr().err
    assert message in said
    assert "Traceback" not in said
