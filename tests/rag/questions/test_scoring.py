"""Exact match and F1 against what SQuAD's published evaluation gives, on cases that are easy to get wrong."""

from __future__ import annotations

import pytest

from rag.questions import score_answer

# Answer, accepted answers, exact match and F1; worked out by hand after the rules of SQuAD's evaluate-v2.0:
# lower case, ASCII punctuation removed, articles removed as words, white space folded, then equality or the
# harmonic mean of word precision and recall over multisets; the best over all accepted answers.
CASES = [
    ("Robert Stevenson", ["Robert Stevenson"], 1, 1.0),
    ("the  Robert\tStevenson.", ["robert stevenson"], 1, 1.0),
    ("an apple a day", ["apple day"], 1, 1.0),
    ("theatre", ["atre"], 0, 0.0),  # "the" is an article only as a word
    ("U.S.A.", ["USA"], 1, 1.0),
    ("well-known", ["well known"], 0, 0.0),  # punctuation is removed, not replaced by a space
    ("wellknown", ["well-known"], 1, 1.0),
    ("12,000", ["12000"], 1, 1.0),
    ("137 metres high", ["137 metres"], 0, 0.8),
    ("sea water", ["pumping sea water", "water"], 0, 0.8),
    ("new new york", ["new york"], 0, 0.8),  # the second "new" matches nothing
    ("“Eldey”", ["Eldey"], 0, 0.0),  # only ASCII punctuation counts
    ("Mýrdalsjökull", ["mýrdalsjökull"], 1, 1.0),
    ("", ["Eldey"], 0, 0.0),
    ("", [], 1, 1.0),  # no answer exists, none was given
    ("Eldey", [], 0, 0.0),
    ("the", [], 1, 1.0),  # normalises to nothing
    ("the", ["a"], 1, 1.0),
    ("the", ["Eldey"], 0, 0.0),
    ("Eldey", ["the", "Eldey"], 1, 1.0),
]


@pytest.mark.parametrize(("answer", "accepted", "exact", "f1"), CASES)
def test_scores(answer, accepted, exact, f1):
    score = score_answer(answer, accepted)
    assert score.exact_match == exact
    assert score.f1 == pytest.approx(f1)


@pytest.mark.parametrize(
    ("answer", "accepted", "covers"),
    [
        ("It is the Robert Stevenson of Eldey.", ["robert stevenson"], 1),
        ("Robert Louis Stevenson", ["Robert Stevenson"], 0),  # the words must stand in a row
        ("in 1912", ["12"], 0),  # and whole
        ("sea", ["sea water"], 0),  # the other way round does not count
        ("sea water", ["air", "water"], 1),
        ("", ["Eldey"], 0),
        ("Eldey", [], 0),  # there is no answer, and one was given
        ("", [], 1),
    ],
)
def test_an_answer_covers_an_accepted_one_that_it_contains_as_whole_words(answer, accepted, covers):
    assert score_answer(answer, accepted).cover_exact_match == covers
