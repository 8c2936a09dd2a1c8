"""Composed answers are what they claim to be, and what is counted is what happened."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from eval.citations import Case, CitationsResult, CitationsRun, compose
from eval.citations.run import measure_case, provenance_of, summarise
from rag.cli import options as opt
from rag.cli import run
from rag.questions import load_questions
from rag.readers.base import EncodedQuestion, TokenScores
from retrievers import Passage


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two articles: one of 12 paragraphs with an answer each, one too short."""
    articles = []
    for title, count in (("Towers", 12), ("Short", 3)):
        paragraphs = []
        for i in range(count):
            fact = f"The tower of {title} number {i} was built in {1800 + i}."
            context = f"{fact} Nothing else is known of it here."
            answer = {"text": str(1800 + i), "answer_start": context.index(str(1800 + i))}
            question = {"id": f"{title}{i}", "question": f"When was number {i} built?", "answers": [answer]}
            paragraphs.append({"context": context, "qas": [question]})
        articles.append({"title": title, "paragraphs": paragraphs})
    path = tmp_path_factory.mktemp("squad") / "squad.json"
    path.write_text(json.dumps({"data": articles}), encoding="utf-8")
    return load_questions([path])


def test_each_sentence_is_of_another_passage_and_one_of_none(data):
    cases = compose(data, 20, 6, seed=1)
    assert len({case.id for case in cases}) == 20
    assert {len(case.sentences) for case in cases} == {3, 4, 5}
    for case in cases:
        texts = {passage.id: passage.text for passage in case.passages}
        named = [source for source in case.sources if source is not None]
        assert len(texts) == len(case.passages) == len(named) + 6
        assert len(set(named)) == len(named) == len(case.sources) - 1
        for sentence, source in zip(case.sentences, case.sources, strict=True):
            holding = [name for name, text in texts.items() if sentence in text]
            assert holding == ([] if source is None else [source])
        assert case.question.count("When was number") == len(named)
    assert compose(data, 20, 6, seed=1) == cases != compose(data, 20, 6, seed=2)


def test_articles_that_are_too_short_are_refused(data):
    with pytest.raises(ValueError, match="no article has answers in 5 passages and 40 more"):
        compose(data, 1, 40, seed=0)


class Spotting:
    """Finds a word likely if a visible passage holds it, but trusts passages that tell lies."""

    name = "spotting"
    least_support = -5.0

    def encode(self, question, passages):
        return EncodedQuestion(question, tuple(passages), (0,) * len(passages), 0, None)

    def generate(self, encoded, coalitions):
        return [""] * len(coalitions)

    score = generate

    def scores_tokens(self) -> bool:
        return True

    def score_tokens(self, encoded, coalitions, answer):
        words = list(re.finditer(r"\S+", answer))
        holds = np.array([[word[0] in passage.text.split() for word in words] for passage in encoded.passages])
        return TokenScores(np.where(coalitions @ holds, -1.0, -9.0), tuple(word.span() for word in words))


def test_what_is_cited_rightly_is_counted():
    passages = (Passage("a", "Rowe built towers."), Passage("b", "Smith made bridges."), Passage("c", "Jones dug."))
    run = CitationsRun(data=["unused"])
    right = Case("1", "q?", passages, ("Rowe built towers.", "Nobody came."), ("a", None))
    wrong = Case("2", "q?", passages, ("Smith made bridges.", "Rowe built towers.", "Jones dug."), ("b", "b", None))
    records = [measure_case(run, Spotting(), case) for case in (right, wrong)]
    result = summarise(run, records, {}, [])
    counted = {share.what: (share.count, share.of) for share in result.shares}
    assert counted["right passage first"] == (2, 3)
    assert counted["right passage first, 2 sentences"] == (1, 2)
    assert counted["made-up sentences marked unsupported"] == (1, 2)  # "c" holds what was thought to be made up
    assert counted["false alarms"] == (0, 3)
    assert result.passages == 1
    share = next(share for share in result.shares if share.what == "right passage first")
    assert share.percent == pytest.approx(100 * 2 / 3)
    assert share.low < share.percent < share.high


def test_more_answers_continue_a_run_of_fewer(tmp_path):
    (tmp_path / "squad.json").write_text("{}", encoding="utf-8")
    few, many, other = (
        CitationsRun(data=["squad.json"], **changed) for changed in ({"limit": 10}, {"limit": 30}, {"seed": 1})
    )
    assert provenance_of(few, tmp_path, None) == provenance_of(many, tmp_path, None)
    assert provenance_of(few, tmp_path, None) != provenance_of(other, tmp_path, None)


@pytest.mark.parametrize(("device", "on_gpu"), [("cuda:1", True), ("cpu", False)])
def test_the_command_runs_by_its_options(monkeypatch, tmp_path, device, on_gpu):
    asked = []
    monkeypatch.setattr(opt, "chosen_executor", lambda *given: given)

    def evaluate(run, out, *, progress, executor):
        asked.append((run, out, executor))
        return CitationsResult(run, (), 0, 0.0, 0.0, (), {}, [])

    monkeypatch.setattr("eval.citations.evaluate_citations", evaluate)
    options = ["--limit", "3", "--budget", "8", "--set", f"reader.device={device}", "--set", "attribution.seed=4"]
    assert run(["evaluate", "citations", "a.json", "b.json", *options, "-o", str(tmp_path)]) == 0
    ((settings, out, executor),) = asked
    assert (settings.data, settings.limit, out) == (["a.json", "b.json"], 3, tmp_path)
    assert (settings.attribution.budget, settings.attribution.seed) == (8, 4)
    assert executor == ("local", None, None, on_gpu)
    assert (tmp_path / "result.json").exists()
