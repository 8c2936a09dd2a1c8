from __future__ import annotations

import json
from itertools import permutations

import numpy as np
import pytest

from rag import Pipeline, Reranker, Settings, load_settings
from rag.settings import AttributionSettings, SettingsError
from retrievers import BM25Retriever, Hit, Passage


def shapley_by_hand(reader, passages, answer):
    """The definition, ordering by ordering."""
    encoded = reader.encode("where?", passages)
    n = len(passages)
    values = np.zeros(n)
    orderings = list(permutations(range(n)))
    for ordering in orderings:
        seen = np.zeros((1, n), bool)
        before = float(reader.generate(encoded, seen)[0] == answer)
        for player in ordering:
            seen[0, player] = True
            after = float(reader.generate(encoded, seen)[0] == answer)
            values[player] += after - before
            before = after
    return values / len(orderings)


def test_explain_gives_the_shapley_values_of_the_answer(reader, passages):
    answer = Pipeline(None, reader).explain("where?", passages)
    assert answer.full_text == answer.text == "Paris"
    by_hand = dict(zip([p.id for p in passages], shapley_by_hand(reader, passages, "Paris"), strict=True))
    assert {e.passage.id: e.value for e in answer.evidence} == pytest.approx(by_hand)
    assert sum(by_hand.values()) == pytest.approx(1)  # v(all) - v(none)
    assert [e.passage.id for e in answer.evidence] == ["paris", "paris again", "rome", "nothing"]


def test_other_answers_come_with_their_share_and_their_passages(reader, passages):
    answer = Pipeline(None, reader).explain("where?", passages)
    shares = {other.text: other.share for other in answer.others}
    # 16 coalitions: Rome without any Paris or, by length, never beside one; nothing without both.
    assert shares == {"Rome": 2 / 16, "": 2 / 16}
    assert answer.share == 12 / 16
    rome = next(other for other in answer.others if other.text == "Rome")
    assert rome.passages == ("rome",)


def test_final_answer_is_read_from_the_kept_passages_alone(reader, passages):
    settings = load_settings(overrides=["rerank.keep=1"])
    answer = Pipeline(None, reader, settings).explain("where?", passages)
    assert [e.passage.id for e in answer.evidence if e.kept] == ["paris"]
    assert answer.text == "Paris"


def test_smallest_keeps_the_fewest_first_passages_that_give_the_full_answer(reader):
    three = [
        Passage("a", "London it is."),
        Passage("b", "Rome it is."),
        Passage("c", "so Rome, then."),
        Passage("d", "words only."),
    ]
    settings = load_settings(overrides=["rerank.keep=smallest"])
    answer = Pipeline(None, reader, settings).explain("where?", three)
    kept = [e.passage.id for e in answer.evidence if e.kept]
    assert answer.full_text == "Rome" == answer.text
    assert kept == ["b"]


def test_likelihood_explains_the_generated_answer(reader, passages):
    settings = load_settings(overrides=["attribution.utility=likelihood"])
    answer = Pipeline(None, reader, settings).explain("where?", passages)
    assert answer.attribution.outputs == ("Paris",)
    assert answer.attribution.full[0] == 0
    assert answer.others == ()


@pytest.mark.parametrize("score", ["value", "positive", "pivots"])
def test_rerank_puts_contributing_passages_first_and_breaks_ties_by_rank(reader, passages, score):
    hits = [Hit(p, 10.0 - i) for i, p in enumerate(reversed(passages))]
    reranked = Reranker(reader, score=score).rerank("where?", hits)
    assert [h.passage.id for h in reranked[:2]] == ["paris again", "paris"]
    assert {h.passage.id for h in reranked} == {p.id for p in passages}
    assert [h.score for h in reranked] == sorted((h.score for h in reranked), reverse=True)


def test_rerank_when_the_answer_is_no_answer_prefers_what_pulls_towards_an_answer(reader, passages):
    class Shy:
        """Answers only when it sees two passages or fewer."""

        def __init__(self, inner):
            self.inner, self.name = inner, "shy"

        def encode(self, question, passages):
            return self.inner.encode(question, passages)

        def generate(self, encoded, coalitions):
            said = self.inner.generate(encoded, coalitions)
            return [a if row.sum() <= 2 else "" for a, row in zip(said, coalitions, strict=True)]

    reranked = Reranker(Shy(reader)).rerank("where?", [Hit(p, 0.0) for p in reversed(passages)])
    assert reranked[-1].passage.id == "nothing"


def test_pivots_need_an_estimator_that_gives_them(reader, passages):
    many = passages + [Passage(f"x{i}", "empty words.") for i in range(12)]
    settings = AttributionSettings(semivalue="banzhaf", budget=200)
    with pytest.raises(SettingsError, match="pivots"):
        Reranker(reader, settings, score="pivots").rerank("where?", [Hit(p, 0.0) for p in many])


def test_ask_retrieves_then_explains(reader, passages):
    pipeline = Pipeline(BM25Retriever(passages), reader)
    answer = pipeline.ask("is it Paris?")
    assert answer.text == "Paris"
    assert [e.rank for e in sorted(answer.evidence, key=lambda e: e.rank)] == list(range(1, len(answer.evidence) + 1))
    assert set(answer.seconds) == {"retrieve", "encode", "attribute", "answer"}
    assert any("20 passages asked for, the corpus has 4" in warning for warning in answer.warnings)


def test_ask_without_a_match_answers_from_the_question_alone(reader, passages):
    answer = Pipeline(BM25Retriever(passages), reader).ask("zzz")
    assert answer.text == ""
    assert answer.evidence == ()
    assert "no passage matches" in answer.warnings[0]
    assert "no answer" in answer.to_html()


def test_one_passage(reader):
    answer = Pipeline(None, reader).explain("where?", [Passage("only", "Oslo, they say.")])
    assert answer.text == "Oslo"
    assert answer.evidence[0].value == 1


def test_identical_passages_share_the_value_equally(reader):
    same = [Passage(str(i), "in Oslo.") for i in range(5)]
    answer = Pipeline(None, reader).explain("where?", same)
    assert [e.value for e in answer.evidence] == pytest.approx([0.2] * 5)
    assert [e.rank for e in answer.evidence] == [1, 2, 3, 4, 5]
    assert any("of 5 passages only 1 differ" in warning for warning in answer.warnings)


def test_json_is_complete_and_plain(reader, passages):
    content = json.loads(Pipeline(None, reader).explain("where?", passages).to_json())
    assert content["format"] == "ragshap-answer"
    assert content["answer"] == "Paris"
    assert [e["id"] for e in content["evidence"]] == ["paris", "paris again", "rome", "nothing"]
    assert content["settings"]["attribution"]["budget"] == 1000
    assert content["attribution"]["format"] == "ragshap-attribution"


def test_same_seed_same_answer(reader):
    many = [Passage(str(i), f"Town{i % 4} it is.") for i in range(16)]
    pipeline = Pipeline(None, reader, load_settings(overrides=["attribution.budget=200"]))
    first, second = (pipeline.explain("where?", many) for _ in range(2))
    assert first.attribution == second.attribution
    assert first.attribution.evaluations <= 200


@pytest.mark.parametrize("question", ["", "  \n"])
def test_blank_question_is_refused(reader, passages, question):
    with pytest.raises(ValueError, match="question is empty"):
        Pipeline(None, reader).explain(question, passages)


def test_two_passages_of_one_id_are_refused(reader):
    with pytest.raises(ValueError, match="two passages have the id 'a'"):
        Pipeline(None, reader).explain("where?", [Passage("a", "x"), Passage("a", "y")])


def test_from_config_wants_a_corpus_or_an_index():
    with pytest.raises(SettingsError, match="one of the two"):
        Pipeline.from_config(Settings())
