"""Labels by round trip, with a scripted reader whose answers can be worked out by hand."""

from __future__ import annotations

import json

from rag.cli import run
from rag.questions import Question, load_questions
from rag.training.labels import as_squad, find_labels
from retrievers import BM25Retriever, Passage


def ask(number, text, *answers):
    return Question(f"q{number}", text, answers, f"q{number}")


def test_a_passage_is_kept_if_it_holds_the_answer_and_the_reader_gives_it(reader):
    passages = [
        Passage("right", "the capital of france is Paris.", "cities"),
        Passage("by chance", "Paris was the son of king Priamus of troy, in no capital of france.", "myths"),
        Passage("without", "the capital of france is large.", "cities"),
        Passage("again", "the capital: Paris.", ""),
    ]
    questions = [
        ask(0, "which capital does france have", "Paris"),
        ask(1, "which capital does spain have", "Madrid"),
    ]
    labels, none = find_labels(questions, BM25Retriever(passages), reader)
    assert {label.passage.id for label in labels} == {"right", "again"}, "of the other the reader says Priamus"
    assert none == []
    for label in labels:
        assert label.passage.text[label.start : label.end] == "Paris"
    (one,) = next(find_labels(questions, BM25Retriever(passages), reader, most=1))
    assert one in labels
    every = next(find_labels(questions, BM25Retriever(passages), reader, likely=-6.0, most=3))
    assert {label.passage.id for label in every} == {"right", "again", "by chance"}


def test_labels_are_written_as_squad_and_read_back(reader, tmp_path):
    passages = [Passage("a", "the capital is Paris.", "cities"), Passage("b", "a capital: Paris.", "")]
    labels = next(find_labels([ask(0, "which capital", "Paris", "paris")], BM25Retriever(passages), reader))
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(as_squad(labels)), encoding="utf-8")
    data = load_questions([path])
    assert [question.text for question in data.questions] == ["which capital"] * 2
    assert len({question.id for question in data.questions}) == 2
    assert {data.answer(question) for question in data.questions} == {"Paris"}
    assert {(p.title, p.text) for p in data.passages} == {(p.title, p.text) for p in passages}


def test_the_command_labels_questions_over_a_corpus(tmp_path, capfd):
    (tmp_path / "corpus.jsonl").write_text(
        json.dumps({"id": "1", "text": "The ferry to Gull Island leaves at noon. It was built in 1923."}) + "\n"
    )
    asked = [
        {"question": "When was the ferry to Gull Island built?", "answers": ["1923"]},
        {"question": "Who built the ferry to Gull Island?", "answers": ["Nobody Known"]},
    ]
    (tmp_path / "questions.json").write_text(json.dumps(asked))
    out = tmp_path / "labels.json"
    arguments = ["label", str(tmp_path / "questions.json"), "--corpus", str(tmp_path / "corpus.jsonl"), "--json"]
    assert run([*arguments, "--out", str(out)]) == 0
    assert json.loads(capfd.readouterr().out) == {"out": str(out), "questions": 2, "labelled": 1, "labels": 1}
    (question,) = load_questions([out]).questions
    assert question.answers == ("1923",)
    (tmp_path / "questions.json").write_text(json.dumps([{"question": "Why?", "answers": []}]))
    assert run([*arguments, "--out", str(out)]) == 1
    assert "nothing can be labelled" in capfd.readouterr().err
