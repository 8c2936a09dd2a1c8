"""Out-of-date doubles of passages, from which a reader learns to prefer the present state of things.

The double of a gold passage says of itself that it is old, and gives another answer of the same shape.
"""

from __future__ import annotations

import re

import numpy as np

from rag.questions import Question, QuestionSet, holds_answer
from retrievers import Passage

_BEFORE = (
    "A guide printed in {year} says: ",
    "According to a handbook of {year}: ",
    "As of {year}: ",
    "From an older edition, {year}: ",
    "Archived page of {year}. ",
    "This text was last revised in {year} and is out of date. ",
    "In an almanac of {year} one reads: ",
    "A report from {year} put it this way: ",
)
_AFTER = (
    " This was so in {year}.",
    " That was the state of things in {year}.",
    " (Superseded since {year}.)",
    " So it was given in {year}; it has changed since.",
)


def add_outdated(data: QuestionSet, seed: int) -> tuple[QuestionSet, list[int | None]]:
    """The data with an outdated double of each gold passage, where its answer is a number or a name.

    Returns:
        The larger set, its first passages those of `data`, and per question the index of its double, or None.
    """
    names: dict[int, list[str]] = {}  # by number of words
    for answer in dict.fromkeys(data.answer(question) for question in data.questions):
        if answer and _is_name(answer):
            names.setdefault(len(answer.split()), []).append(answer)
    passages, places = list(data.passages), list[int | None]()
    for number, question in enumerate(data.questions):
        double = _double(data, question, names, np.random.default_rng([seed, 2, number]))
        places.append(None if double is None else len(passages))
        if double is not None:
            passages.append(double)
    return QuestionSet(passages, data.questions), places


def _double(
    data: QuestionSet, question: Question, names: dict[int, list[str]], rng: np.random.Generator
) -> Passage | None:
    answer = data.answer(question)
    if not answer or question.place is None:
        return None
    if any(character.isdigit() for character in answer):
        other = re.sub(r"\d+", lambda run: _number(run[0], rng), answer)
    elif _is_name(answer):
        choices = names[len(answer.split())]
        chosen = int(rng.integers(len(choices)))
        other = choices[chosen] if choices[chosen] != answer else choices[chosen - 1]
    else:
        return None
    gold = data.passages[question.place.passage]
    text = re.sub(rf"(?<!\w){re.escape(answer)}(?!\w)", lambda _: other, gold.text)
    place, year = int(rng.integers(len(_BEFORE) + len(_AFTER))), int(rng.integers(1920, 2016))
    cue = (*_BEFORE, *_AFTER)[place].format(year=year)
    text = cue + text if place < len(_BEFORE) else text + cue
    double = Passage(f"{gold.id}~{question.id}", text, gold.title)
    return None if holds_answer(double.full_text, question.answers) else double


def _is_name(answer: str) -> bool:
    return all(word[:1].isupper() for word in answer.split())


def _number(run: str, rng: np.random.Generator) -> str:
    """Another number of as many digits; for a year, an earlier one."""
    if len(run) == 4 and run[0] in "12":
        return str(int(run) - int(rng.integers(1, 40)))
    low = 10 ** (len(run) - 1) if len(run) > 1 else 1
    return str(int(rng.integers(low, 10 * low))).zfill(len(run)) if len(run) < 12 else run[::-1]
