"""When a passage holds an answer."""

from __future__ import annotations

import unicodedata

import pytest

from rag.questions import holds_answer


@pytest.mark.parametrize(
    ("text", "answers", "held"),
    [
        ("Built in 1811.", ["1811"], True),
        ("Built in 18112.", ["1811"], False),
        ("The theatre", ["atre"], False),
        ("by Mark Twain's friend", ["mark twain"], True),
        ("the so-called (Mark)\tTwain", ["Mark Twain"], True),
        ("Mark and Twain", ["Mark Twain"], False),
        ("built by The Who", ["a Who"], False),
        ("snake_case", ["snake"], True),
        (unicodedata.normalize("NFD", "a café there"), ["CAFÉ"], True),
        ("anything", ["...", ""], False),
        ("", ["a"], False),
        ("anything", [], False),
    ],
)
def test_words_in_a_row(text, answers, held):
    assert holds_answer(text, answers) is held
