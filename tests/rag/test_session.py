"""One session per question: nothing is encoded or decoded twice, and contradictions are found before anything is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag import Pipeline, Reranker, load_reader, load_settings
from rag.readers.base import EncodedQuestion
from rag.session import Session
from rag.settings_base import SettingsError
from retrievers import Passage

from .conftest import ScriptedReader


class Counting(ScriptedReader):
    """Counts what it is asked for."""

    def __init__(self) -> None:
        self.encoded, self.decoded, self.scored = 0, [], []

    def encode(self, question: str, passages: Any) -> EncodedQuestion:
        self.encoded += 1
        return super().encode(question, passages)

    def generate(self, encoded: EncodedQuestion, coalitions: np.ndarray) -> list[str]:
        self.decoded += [row.tobytes() for row in coalitions]
        return super().generate(encoded, coalitions)

    def score(self, encoded: EncodedQuestion, coalitions: np.ndarray, answers: Any) -> np.ndarray:
        self.scored += [row.tobytes() for row in coalitions]
        return np.array(
            [[float(len(text) + row.sum()) for text in answers] for row in coalitions]
        )  # any numbers that tell answers and coalitions apart


class Relevant(Counting):
    """Finds the last passages relevant."""

    def relevance(self, encoded: EncodedQuestion) -> np.ndarray:
        return np.arange(len(encoded.passages), dtype=float)


ROWS = np.array([[True, False, True, False], [True, False, True, False], [False, False, False, False]])


def test_answers_are_remembered(passages: list[Passage]) -> None:
    reader = Counting()
    session = Session(reader, "where?", passages)
    plain = ScriptedReader()
    assert session.answers(ROWS) == plain.generate(plain.encode("where?", passages), ROWS)
    assert session.unknown(np.array([[True] * 4, [True, False, True, False]])) == 1
    assert session.answer == session.answers(np.ones((1, 4), bool))[0] == "Paris"
    assert len(reader.decoded) == session.decodes == 3
    assert reader.encoded == 1


def test_likelihoods_are_remembered_by_answer(passages: list[Passage]) -> None:
    reader = Counting()
    session = Session(reader, "where?", passages)
    found = session.likelihoods(ROWS, ["a", "abc"])
    assert found.tolist() == [[3, 5], [3, 5], [1, 3]]
    assert session.likelihoods(ROWS[::-1], ["abc"]).tolist() == [[3], [5], [5]]
    assert len(reader.scored) == session.scored == 2
    assert session.likelihoods(ROWS, ["other"]).tolist() == [[7], [7], [5]]
    assert len(reader.scored) == 4
    assert session.likelihoods(ROWS[:0], ["a"]).shape == (0, 1)


def test_attributions_of_one_session_share_what_was_read(passages: list[Passage]) -> None:
    reader = Counting()
    session = Session(reader, "where?", passages)
    first = session.attribute()
    banzhaf = session.attribute(session.settings.attribution.model_copy(update={"semivalue": "banzhaf"}))
    assert (first.semivalue, banzhaf.semivalue) == ("shapley", "banzhaf")
    assert len(reader.decoded) == 16
    assert session.share("Paris") == 12 / 16
    again = session.anew()
    assert again.attribute() == first
    assert (reader.encoded, len(reader.decoded)) == (1, 32)


@pytest.mark.parametrize("screener", [Relevant(), None])
def test_a_screener_that_is_not_asked_for_screens_nothing(passages: list[Passage], screener: Relevant | None) -> None:
    """`attribution.screen` is 0, which is all, by default."""
    reader = Counting()
    answer = Pipeline(reader=reader, screener=screener).explain("where?", passages)
    assert (answer.text, answer.screened, len(answer.evidence)) == ("Paris", (), 4)
    reranking = Reranker(reader, screener=screener).attribute("where?", passages)
    assert [ranked.value for ranked in reranking.passages if ranked.value is None] == []
    assert screener is None or screener.encoded == 0


CONTRADICTIONS = [
    (["rerank.score=pivots", "attribution.estimator=kernel"], "pivots"),
    (["rerank.score=pivots", "attribution.estimator=regression-adjusted"], "pivots"),
    (["rerank.score=pivots", "attribution.semivalue=banzhaf"], "pivots"),
    (["attribution.semivalue=banzhaf", "attribution.estimator=kernel"], "banzhaf"),
    (["attribution.estimator=exact", "attribution.budget=70000"], "at most 14 players"),
    (["attribution.budget=3"], "budget of at least 4"),
    (["attribution.permutations=20", "attribution.estimator=kernel"], "permutation"),
    (["attribution.p=0.3"], "p="),
    (["hierarchy.level=word"], "cannot hide parts"),
    (["hierarchy.question=true"], "cannot hide parts"),
]


@pytest.mark.parametrize(("overrides", "message"), CONTRADICTIONS)
def test_contradictory_settings_cost_nothing(overrides: list[str], message: str) -> None:
    """Found before anything is encoded or decoded, which a costly reader would be paid for."""
    many = [Passage(str(i), f"Town{i % 4} it is.") for i in range(16)]
    reader = Counting()
    with pytest.raises(SettingsError, match=message):
        settings = load_settings(overrides=overrides)
        Pipeline(reader=reader, settings=settings).explain("where?", many)
    assert (reader.encoded, reader.decoded, reader.scored) == (0, [], [])


def test_no_certainty_is_offered_of_an_order_that_the_rule_does_not_speak_of() -> None:
    with pytest.raises(SettingsError, match="top-k certain speaks of an order by value or positive"):
        load_settings(overrides=["attribution.until=top-k certain", "rerank.score=pivots"])


def test_the_reranker_is_certain_of_as_many_as_are_kept() -> None:
    many = [Passage(str(i), f"Town{i % 4} it is.") for i in range(16)]
    settings = load_settings(overrides=["attribution.until=top-k certain", "rerank.keep=3"])
    session = Session(ScriptedReader(), "where?", many, settings)
    assert str(session.attribute().until).startswith("the first 3 are certain at 95%")


def test_strings_are_passages(passages: list[Passage]) -> None:
    texts = [passage.text for passage in passages]
    answer = Pipeline(reader=ScriptedReader()).explain("where?", texts)
    assert answer.text == "Paris"
    assert [evidence.passage.id for evidence in answer.evidence[:2]] == ["2", "3"]
    assert [hit.passage.text for hit in Reranker(ScriptedReader()).rerank("where?", texts)[:2]] == texts[1:3]
    mixed = Pipeline(reader=ScriptedReader()).explain(
        "where?", ["Rome.", Passage("1", "Paris."), Passage("3", "Paris.")]
    )
    assert {evidence.passage.id: evidence.passage.text for evidence in mixed.evidence} == {
        "2": "Rome.",
        "1": "Paris.",
        "3": "Paris.",
    }
    with pytest.raises(ValueError, match="two passages have the id '1'"):
        Pipeline(reader=ScriptedReader()).explain("where?", [Passage("1", "Rome."), Passage("1", "Paris.")])


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ("one text", TypeError, "put it into a list"),
        ([7], TypeError, "expected retrievers.Passage objects or strings, got int"),
        (["Rome.", "  "], ValueError, "passage 2 of 2 is blank"),
    ],
)
def test_what_is_no_list_of_passages_is_refused(given: Any, kind: type[Exception], message: str) -> None:
    """A single string would otherwise be read as a list of letters."""
    reader = Counting()
    for explain in (Pipeline(reader=reader).explain, Reranker(reader).rerank):
        with pytest.raises(kind, match=message):
            explain("where?", given)
    with pytest.raises((TypeError, ValueError)):
        Pipeline(lambda question, k: given, reader).ask("where?")
    assert reader.encoded == 0


def test_a_corpus_of_strings_and_a_function_that_searches(passages: list[Passage]) -> None:
    texts = [passage.text for passage in passages]
    assert Pipeline(reader=ScriptedReader(), corpus=texts).ask("is it Paris?").text == "Paris"

    def search(question: str, k: int) -> list[Any]:
        assert (question, k) == ("where?", 20)
        return [*texts, Passage("own", "surely Paris.")]

    answer = Pipeline(search, ScriptedReader()).ask("where?")
    assert (answer.text, len(answer.evidence)) == ("Paris", 5)
    assert len(Pipeline(search, ScriptedReader()).search("where?", 20)) == 5
    with pytest.raises(SettingsError, match="one of the two"):
        Pipeline(search, ScriptedReader(), corpus=texts)


def test_no_passages_are_no_default(passages: list[Passage]) -> None:
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        Pipeline(reader=ScriptedReader(), corpus=passages).search("where?", 0)


def test_overrides_change_settings_that_are_given() -> None:
    settings = load_settings(overrides=["rerank.keep=2"])
    changed = load_settings(settings, ["attribution.budget=77"])
    assert (changed.rerank.keep, changed.attribution.budget) == (2, 77)
    assert Reranker.from_config(settings, overrides=["attribution.budget=77"]).settings == changed
    with pytest.raises(SettingsError, match="unknown setting"):
        Pipeline.from_config(settings, corpus="examples/islands", overrides=["attribution.bugdet=77"])


def test_a_pipeline_releases_what_its_reader_holds_also_after_an_error(passages: list[Passage]) -> None:
    class Holding(ScriptedReader):
        closed = False

        def close(self) -> None:
            self.closed = True

    reader = Holding()
    with pytest.raises(ValueError, match="question is empty"), Pipeline(reader=reader) as pipeline:
        assert pipeline.explain("where?", passages).text == "Paris"
        assert not reader.closed
        pipeline.explain(" ", passages)
    assert reader.closed


def test_a_checkpoint_alone_names_a_reader(t5: Path) -> None:
    assert load_reader(str(t5)).name == str(t5)
    assert load_reader().name == load_reader("embedded").name
    with pytest.raises(SettingsError, match=r"reader.checkpoint: './nosuch' cannot be loaded"):
        load_reader("./nosuch")
