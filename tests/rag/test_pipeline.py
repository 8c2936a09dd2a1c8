from __future__ import annotations

import json
from dataclasses import replace
from itertools import permutations
from typing import ClassVar

import numpy as np
import pytest

from rag import Answer, Pipeline, Reranker, Settings, load_settings
from rag.estimation import decodes_of
from rag.settings_base import SettingsError
from retrievers import BM25Retriever, Hit, Passage

from .conftest import ScriptedReader


def ordered_by(score):
    return load_settings(overrides=[f"rerank.score={score}"])


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


def test_what_is_enough_what_is_needed_and_who_is_divided(reader, passages):
    settings = load_settings(overrides=["attribution.interactions=true"])
    answer = Pipeline(None, reader, settings).explain("where?", passages)
    assert (answer.sufficient.passages, answer.sufficient.proof) == (("paris",), "smallest")
    assert answer.counterfactual.passages == ("paris", "paris again")
    assert answer.counterfactual.answer == "Rome"
    assert [(c.answers, c.passages) for c in answer.conflicts] == [
        (("Paris", "Rome"), (("paris", "paris again"), ("rome",)))
    ]
    # Either passage on Paris does, with Rome and without: one makes up for the other.
    assert answer.interactions.pairs[0].passages == ("paris", "paris again")
    assert answer.interactions.pairs[0].value < -0.5


def test_no_coalition_is_decoded_twice(passages):
    class Counting(ScriptedReader):
        seen: ClassVar[list[bytes]] = []

        def generate(self, encoded, coalitions):
            self.seen.extend(row.tobytes() for row in coalitions)
            return super().generate(encoded, coalitions)

    overrides = ["attribution.interactions=true", "rerank.keep=smallest"]
    Pipeline(None, Counting(), load_settings(overrides=overrides)).explain("where?", passages)
    assert len(Counting.seen) == len(set(Counting.seen)) == 16


@pytest.mark.parametrize("interacting", ["true", "false"])
def test_no_more_is_decoded_than_is_announced(interacting):
    class Counting(ScriptedReader):
        decoded = 0

        def generate(self, encoded, coalitions):
            self.decoded += len(coalitions)
            return super().generate(encoded, coalitions)

    many = [Passage(str(i), f"Town{'n' * (i % 6)} it is.") for i in range(16)]
    overrides = ["attribution.budget=70", "attribution.minimal_sets=40", f"attribution.interactions={interacting}"]
    settings, counting = load_settings(overrides=[*overrides, "rerank.keep=smallest"]), Counting()
    Pipeline(None, counting, settings).explain("where?", many)
    assert 70 < counting.decoded <= decodes_of(settings.attribution, 70, 16)
    assert decodes_of(settings.attribution, 70, 5) == 32


def test_what_was_not_looked_for_is_not_reported(reader, passages):
    settings = load_settings(overrides=["attribution.minimal_sets=0", "attribution.utility=likelihood"])
    answer = Pipeline(None, reader, settings).explain("where?", passages)
    assert (answer.sufficient, answer.counterfactual, answer.conflicts, answer.interactions) == (None, None, (), None)


@pytest.mark.parametrize(("keep", "k", "certain"), [("3", None, 3), ("smallest", None, 5), ("3", 2, 2)])
def test_as_many_must_be_certain_as_are_kept(reader, keep, k, certain):
    many = [Passage(str(i), f"Town{i % 4} it is.") for i in range(16)]
    overrides = ["attribution.until=top-k certain", f"rerank.keep={keep}", f"attribution.k={k or 'null'}"]
    answer = Pipeline(None, reader, load_settings(overrides=overrides)).explain("where?", many)
    assert answer.attribution.until.startswith(f"the first {certain} are certain at 95%")
    assert answer.attribution.reached is (answer.attribution.evaluations < 639)


def test_a_target_error_stops_sampling(reader):
    many = [Passage(str(i), f"Town{i % 4} it is.") for i in range(16)]
    overrides = ["attribution.until=target error", "attribution.target_error=0.05"]
    answer = Pipeline(None, reader, load_settings(overrides=overrides)).explain("where?", many)
    assert answer.attribution.reached
    assert answer.attribution.errors[answer.attribution.output].max() <= 0.05


def test_saved_answers_come_back(reader, passages):
    settings = load_settings(overrides=["attribution.interactions=true", "rerank.keep=1"])
    answer = Pipeline(None, reader, settings).explain("where?", passages)
    again = Answer.from_json(answer.to_json())
    assert again == answer
    assert again.to_html() == answer.to_html()


class DecliningScript(ScriptedReader):
    """Says of each coalition how likely "no answer" is: one over one more than its passages."""

    def no_answer_probability(self, encoded, coalitions):
        return 1 / (1 + coalitions.sum(axis=1))


def test_an_answer_says_how_likely_no_answer_was(reader, passages):
    answer = Pipeline(None, DecliningScript()).explain("where?", passages)
    assert answer.no_answer_probability == round(1 / (1 + len(passages)), 4)
    assert json.loads(answer.to_json())["no_answer_probability"] == answer.no_answer_probability
    assert Answer.from_json(answer.to_json()) == answer
    older = {name: value for name, value in answer.to_dict().items() if name != "no_answer_probability"}
    assert Answer.from_dict(older) == replace(answer, no_answer_probability=None)
    assert Pipeline(None, reader).explain("where?", passages).to_dict()["no_answer_probability"] is None


def test_answers_of_version_1_load_without_what_they_had_not(reader, passages):
    answer = Pipeline(None, reader).explain("where?", passages)
    content = {**answer.to_dict(), "version": 1}
    for name in ("sufficient", "counterfactual", "conflicts", "interactions"):
        del content[name]
    content["attribution"] = {**content["attribution"], "version": 1}
    del content["attribution"]["until"], content["attribution"]["reached"]
    old = Answer.from_dict(content)
    assert old == replace(answer, sufficient=None, counterfactual=None, conflicts=())
    assert "What it takes" not in old.to_html()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "not an answer: expected a mapping with format 'ragshap-answer'"),
        ({"version": 3}, "answer of version 3; this release reads versions 1 and 2"),
        ({"evidence": [{}]}, "damaged answer: KeyError at 'id'"),
        ({"attribution": {}}, "not an attribution"),
        ({"conflicts": 5}, "damaged answer"),
    ],
)
def test_a_foreign_newer_or_damaged_answer_is_refused(reader, passages, change, message):
    content = Pipeline(None, reader).explain("where?", passages).to_dict() | change
    with pytest.raises(ValueError, match=message):
        Answer.from_dict(content)
    with pytest.raises(ValueError, match="not valid JSON"):
        Answer.from_json("{")


def test_pivots_are_given_where_they_are_asked_for(reader):
    many = [Passage(str(i), f"Town{i % 4} it is.") for i in range(16)]
    hits = [Hit(passage, 0.0) for passage in many]
    overrides = ["attribution.budget=200", "rerank.score=pivots"]
    answer = Pipeline(None, reader, load_settings(overrides=overrides)).explain("where?", hits)
    assert answer.attribution.estimator == "permutation"
    settings = load_settings(overrides=overrides)
    assert [h.passage for h in Reranker(reader, settings).rerank("where?", hits)] == [
        e.passage for e in answer.evidence
    ]


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
    settings = load_settings(overrides=["rerank.keep=smallest", "rerank.score=value"])
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
    reranked = Reranker(reader, ordered_by(score)).rerank("where?", hits)
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
    settings = load_settings(overrides=["attribution.semivalue=banzhaf", "rerank.score=pivots"])
    with pytest.raises(SettingsError, match="pivots"):
        Reranker(reader, settings).rerank("where?", [Hit(p, 0.0) for p in many])


def test_ask_retrieves_then_explains(reader, passages):
    pipeline = Pipeline(BM25Retriever(passages), reader)
    answer = pipeline.ask("is it Paris?")
    assert answer.text == "Paris"
    assert [e.rank for e in sorted(answer.evidence, key=lambda e: e.rank)] == list(range(1, len(answer.evidence) + 1))
    assert set(answer.seconds) == {"retrieve", "encode", "attribute", "answer", "examine"}
    assert any("20 passages asked for, the corpus has 4" in warning for warning in answer.warnings)


def test_ask_without_a_match_answers_from_the_question_alone(reader, passages):
    answer = Pipeline(BM25Retriever(passages), reader).ask("zzz")
    assert answer.text == ""
    assert answer.evidence == ()
    assert "no passage matches" in answer.warnings[0]
    assert "no answer" in answer.to_html()


def test_spans_of_no_answer_are_named_in_a_warning(reader):
    answer = Pipeline(None, reader).explain("where?", [Passage("only", "nothing here.")], spans=["Oslo"])
    assert answer.text == ""
    assert any("none in which to look for the spans" in warning for warning in answer.warnings)


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
    assert content["attribution"]["budget"] == 640
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
