"""How right an answer is: exact match and F1 as SQuAD's evaluation has them (Rajpurkar et al. 2016, 2018)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from attribution import normalize_answer


class AnswerScore(NamedTuple):
    """Exact match, 0 or 1, and F1 over words, 0 to 1."""

    exact_match: float
    f1: float


def score_answer(answer: str, accepted: Iterable[str]) -> AnswerScore:
    """The best score of an answer against any accepted one.

    Accepted answers that normalise to nothing are left out; if none remains, "no answer" is the right answer.
    """
    gold = [answer for answer in accepted if normalize_answer(answer)] or [""]
    scores = [_score(answer, right) for right in gold]
    return AnswerScore(max(s.exact_match for s in scores), max(s.f1 for s in scores))


def _score(answer: str, right: str) -> AnswerScore:
    given, wanted = normalize_answer(answer), normalize_answer(right)
    exact = float(given == wanted)
    words, right_words = given.split(), wanted.split()
    if not words or not right_words:  # "no answer" is right or wrong, never half right
        return AnswerScore(exact, exact)
    common = sum((Counter(words) & Counter(right_words)).values())
    if not common:
        return AnswerScore(exact, 0.0)
    precision, recall = common / len(words), common / len(right_words)
    return AnswerScore(exact, 2 * precision * recall / (precision + recall))
