"""Answers in several wordings are one answer where the settings say so, in the values and in what is told of them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from attribution import exact
from rag import Pipeline, load_settings
from rag.answer import Answer
from rag.matching import Matching
from rag.report.terminal import print_answer
from rag.settings_base import SettingsError
from retrievers import Passage

from .conftest import ScriptedReader

SAME = {
    "exact": ["The 12 May, 1912!"],
    "contains": ["It was on 12 May 1912", "1912"],
    "tokens": ["May 12, 1912", "on 12 May 1912", "by May 12, 1912"],
    "embedding": ["May 12, 1912", "It was on 12 May 1912"],
}
OTHER = {
    "exact": ["May 12, 1912"],
    "contains": ["May 12, 1912", "2 May 1912", "191"],
    "tokens": ["13 May 1912", "It was on 12 May 1912", "Oslo"],
    "embedding": ["13 May 1912", "Oslo", "twelve"],
}


@pytest.mark.parametrize("name", SAME)
def test_what_is_alike_counts_as_the_answer_that_came_first(name):
    matching = Matching(name, "12 May 1912")
    first = matching.key("12 May 1912")
    assert [matching.key(answer) for answer in SAME[name]] == [first] * len(SAME[name])
    assert first not in [matching.key(answer) for answer in ("", *OTHER[name])]
    assert matching.key("") == ""
    wordings = tuple(SAME[name]) if name != "exact" else ()
    assert matching.merged.get("12 May 1912", ()) == wordings
    assert matching.representative(SAME[name][0]) == ("12 May 1912" if wordings else SAME[name][0])


def test_words_are_alike_from_an_f1_of_four_fifths_on():
    matching = Matching("tokens", "one two three four")
    for answer in ("one two three four five six", "one two three four five six seven", "three two", "four two three"):
        matching.key(answer)  # F1 of 4/5, 8/11, 2/3, 6/7
    assert matching.merged == {"one two three four": ("one two three four five six", "four two three")}


def test_an_answer_joins_the_one_that_it_is_most_like():
    matching = Matching("contains")
    for answer in ("Oslo", "port of Oslo", "the old port of Oslo", "Oslo in Norway", "Rome"):
        matching.key(answer)
    assert matching.merged == {"Oslo": ("port of Oslo", "the old port of Oslo", "Oslo in Norway")}
    matching = Matching("contains")
    for answer in ("port of Oslo", "Oslo in Norway", "old port of Oslo in Norway", "Oslo"):
        matching.key(answer)
    assert matching.merged == {"Oslo in Norway": ("old port of Oslo in Norway",), "port of Oslo": ("Oslo",)}


class Wordy(ScriptedReader):
    """Words the same date in three ways, by how many of the passages that hold it are visible."""

    @staticmethod
    def _answer(visible: list[set[str]]) -> str:
        dated = sum("May" in words for words in visible)
        if "Titanic" in set().union(*visible) and not dated:
            return "15 April 1912"
        return ["", "12 May 1912", "May 12, 1912", "It was on 12 May 1912"][dated]


PASSAGES = [
    Passage("log", "12 May 1912 in the log."),
    Passage("sea", "the sea was calm."),
    Passage("mail", "12 May 1912 by mail."),
    Passage("ship", "the Titanic, earlier."),
    Passage("book", "12 May 1912 in the book."),
]


def explained(matching: str, *more: str) -> Answer:
    settings = load_settings(overrides=[f"attribution.matching={matching}", *more])
    return Pipeline(None, Wordy(), settings).explain("when?", PASSAGES)


def test_votes_of_all_wordings_are_votes_for_one_answer():
    answer = explained("embedding", "rerank.keep=smallest")
    dated = np.array([True, False, True, False, True])
    expected = exact(lambda rows: (rows & dated).any(axis=1).astype(float), 5).values[0]
    values = {e.passage.id: e.value for e in answer.evidence}
    assert [values[passage.id] for passage in PASSAGES] == pytest.approx(expected.tolist())
    assert answer.full_text == "It was on 12 May 1912"
    assert answer.share == 28 / 32
    assert {other.text: other.share for other in answer.others} == {"": 2 / 32, "15 April 1912": 2 / 32}
    assert answer.sufficient is not None
    assert len(answer.sufficient.passages) == 1
    assert sum(e.kept for e in answer.evidence) == 1
    assert answer.merged.keys() == {"It was on 12 May 1912"}
    assert set(answer.merged["It was on 12 May 1912"]) == {"12 May 1912", "May 12, 1912"}


def test_exact_matching_counts_each_wording_for_itself():
    answer = explained("exact")
    assert answer.merged == {}
    assert answer.share == 4 / 32
    assert {other.text for other in answer.others} == {"", "15 April 1912", "12 May 1912", "May 12, 1912"}


def test_what_was_merged_is_told_in_every_form():
    answer = explained("contains")
    again = Answer.from_json(answer.to_json())
    assert again.merged == answer.merged == {"It was on 12 May 1912": ("12 May 1912",)}
    out = io.StringIO()
    print_answer(again, Console(file=out, width=120))
    assert "counted as “It was on 12 May 1912”: “12 May 1912”" in out.getvalue()
    assert "Counted as “It was on 12 May 1912”: “12 May 1912”." in answer.to_html()
    assert "Answers counted as one" not in explained("exact").to_html()


def test_matching_is_of_votes():
    with pytest.raises(SettingsError, match="matching: tokens is for utility votes, not likelihood"):
        load_settings(overrides=["attribution.matching=tokens", "attribution.utility=likelihood"])
