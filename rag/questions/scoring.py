"""How right an answer is: exact match and F1 as SQuAD's evaluation has them, and cover exact match."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from attribution import normalize_answer


class AnswerScore(NamedTuple):
    """Exact match, 0 or 1; F1 over words, 0 to 1 (Rajpurkar et al. 2016, 2018); and cover exact match, 0 or 1.

    Cover exact match asks whether the answer contains an accepted one. It is the "accuracy" of Mallen et al. (2023) and
    of FlashRAG, over whole words: "12" is not in "1912". A long answer that names every candidate scores 1.
    """

    exact_match: float
    f1: float
    cover_exact_match: float


def score_answer(answer: str, accepted: Iterable[str]) -> AnswerScore:
    """The best score of an answer against any accepted one.

    Accepted answers that normalise to nothing are left out; if none remains, "no answer" is the right answer.
    """
    gold = [answer for answer in accepted if normalize_answer(answer)] or [""]
    scores = [_score(answer, right) for right in gold]
    return AnswerScore(*map(max, zip(*scores, strict=True)))


def _score(answer: str, right: str) -> AnswerScore:
    given, wanted = normalize_answer(answer), normalize_answer(right)
    exact = float(given == wanted)
    words, right_words = given.split(), wanted.split()
    if not words or not right_words:  # "no answer" is right or wrong, never half right
        return AnswerScore(exact, exact, exact)
    common = sum((Counter(words) & Counter(right_words)).values())
    if not common:
        return AnswerScore(exact, 0.0, 0.0)
    precision, recall = common / len(words), common / len(right_words)
    covers = float(f" {' '.join(right_words)} " in f" {' '.join(words)} ")
    return AnswerScore(exact, 2 * precision * recall / (precision + recall), covers)
