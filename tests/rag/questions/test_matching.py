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
        (unicodedata.normalize("NFC", "a café there"), [unicodedata.normalize("NFD", "CAFÉ")], True),
        ("the oﬃce in Hel\u00adsinki", ["office in helsinki"], True),
        ("\uff21\uff22\uff23\uff11\uff12", ["abc12"], True),
        ("zero\u200bwidth", ["zerowidth"], True),
        ("東京は日本の首都です。", ["東京"], True),
        ("東京は日本の首都です。", ["京都"], False),
        ("서울은 대한민국의 수도이다", ["서울"], True),
        ("प्रधानमंत्री का काम", ["काम"], True),
        ("प्रधानमंत्री का काम", ["कम"], False),  # a vowel sign belongs to its letter
        ("रामनगर में", ["राम"], False),
        ("รถไฟไปกรุงเทพฯ", ["กรุงเทพ"], True),
        ("أسّسها يوسف", ["أسسها"], True),
        ("10² metres", ["102"], False),
        ("anything", ["...", ""], False),
        ("", ["a"], False),
        ("anything", [], False),
    ],
)
def test_words_in_a_row(text, answers, held):
    assert holds_answer(text, answers) is held
