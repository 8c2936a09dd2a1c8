"""`evaluate qa` where one reader orders the passages and another answers from the first of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from eval.qa import QARun, evaluate_qa
from eval.qa.plots import plot_answers
from eval.selection import select_questions
from rag import load_reader
from rag.cli import run
from rag.readers.base import EncodedQuestion
from rag.settings import ReaderSettings
from rag.settings_base import SettingsError

from ..rag.checkpoints import make_llama
from .conftest import CountingReader

HERE = Path(__file__).parents[2]


class LastReader(CountingReader):
    """Answers with the ids of what it was given to read, in that order."""

    name = "last"

    def generate(self, encoded: EncodedQuestion, coalitions: np.ndarray) -> list[str]:
        assert coalitions.all()
        assert len(coalitions) == 1
        self.decoded.update([tuple(passage.id for passage in encoded.passages)])
        return [" ".join(passage.id for passage in encoded.passages)]


def evaluate(beir: Path, reader, answerer, out=None, **settings):
    given = {"data": [str(beir)], "rerank": ["shapley"], "depth": 5, "k": [1, 2], "answer": {"reader": {}}}
    return evaluate_qa(QARun.model_validate({**given, **settings}), out, reader=reader, answerer=answerer)


def test_each_answer_is_from_the_first_passages_in_their_order(beir, reader):
    result = evaluate(beir, reader, LastReader(), k=[1, 2, 5])
    alone = evaluate_qa(QARun(data=[str(beir)], rerank=["shapley"], depth=5, k=[1, 2]), reader=reader)
    for record, plain in zip(result.per_question, alone.per_question, strict=True):
        assert record["passages"] == plain["passages"]
        assert record["reranked"]["shapley"]["passages"] == plain["reranked"]["shapley"]["passages"]
        assert [entry["k"] for entry in record["by_k"]] == [1, 2, 5]
        assert [entry["k"] for entry in record["reranked"]["shapley"]["by_k"]] == [1, 2]
        for order, same in ((record, plain), (record["reranked"]["shapley"], plain["reranked"]["shapley"])):
            for entry, other in zip(order["by_k"], same["by_k"], strict=False):
                assert entry["answer"].split() == order["passages"][: entry["passages"]]
                assert (entry["passages"], entry["recall"]) == (other["passages"], other["recall"])
        assert {entry["no_answer_probability"] for entry in record["by_k"]} == {None}
    assert result.no_answer == ()
    assert {(d.order, d.k) for d in result.differences if d.against == "all"} == {
        ("retrieved", 1), ("retrieved", 2), ("shapley", 1), ("shapley", 2)}  # fmt: skip
    assert result.to_dict()["answer_reader"] == "last"


def test_it_is_asked_for_the_numbers_named_alone(beir, reader, tmp_path):
    answerer = LastReader()
    result = evaluate(beir, reader, answerer, k=[2])
    assert [(row.order, row.k) for row in result.rows] == [("retrieved", 2), ("shapley", 2)]
    assert answerer.encoded == 2 * 6
    assert {(d.order, d.k, d.against) for d in result.differences} == {("shapley", 2, "same k")}
    plot_answers(result.rows, tmp_path / "drawn")


def test_answers_of_another_answerer_are_kept(beir, reader, tmp_path):
    out, first = tmp_path / "answers.json", LastReader()
    evaluate(beir, reader, first, out)
    asked = first.encoded
    evaluate(beir, reader, first, out, name="other")
    assert first.encoded == asked
    other = LastReader()
    other.name = "other"
    with pytest.raises(SettingsError, match="made with other answer_reader"):
        evaluate(beir, reader, other, out)
    assert other.encoded == 0


def test_a_causal_model_answers_by_its_settings(tmp_path, capfd):
    llama = make_llama(tmp_path / "llama")
    out = tmp_path / "out.json"
    settings = {"checkpoint": str(llama), "max_answer_tokens": 3}
    given = [f"answer.reader.{name}={value}" for name, value in settings.items()]
    command = ["evaluate", "qa", str(HERE / "examples" / "islands"), "--limit", "2", "-k", "1", "--depth", "3"]
    more = [part for override in given for part in ("--set", override)]
    assert run([*command, "--rerank", "relevance", "--out", str(out), "--quiet", *more]) == 0
    assert f"Answers are those of {llama}; orders, and their seconds, those of embedded." in capfd.readouterr().out
    found = json.loads(out.read_text())
    qa_run = QARun.model_validate({key: value for key, value in found["settings"].items() if key in QARun.model_fields})
    llama_reader = load_reader(ReaderSettings(**settings))
    assert len(found["answer_reader"]) == 64, "the checksum of its folder"
    assert qa_run.answer.reader == ReaderSettings(**settings)
    examples = {e.question.id: e for e in select_questions(qa_run).examples()}
    for record in found["questions"]:
        question, passages = examples[record["id"]]
        encoded = llama_reader.encode(question.text, passages[:1])
        assert record["by_k"][0]["answer"] == llama_reader.generate(encoded, np.ones((1, 1), dtype=bool))[0]


def test_the_final_answers_attribution_is_not_measured(beir):
    with pytest.raises(ValueError, match=r"answer\.attribute has no part"):
        QARun.model_validate({"data": [str(beir)], "answer": {"reader": {}, "attribute": True}})


def test_an_answerer_that_cannot_be_loaded_is_named_by_its_key(beir, reader, tmp_path):
    settings = QARun.model_validate({"data": [str(beir)], "answer": {"reader": {"checkpoint": str(tmp_path)}}})
    with pytest.raises(SettingsError, match=r"^answer\.reader\.checkpoint"):
        evaluate_qa(settings, reader=reader)
