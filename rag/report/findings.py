"""Sentences on which passages are enough, which are needed, and how they act together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rag.answer import Answer
from rag.explanation.minimal import MinimalSet
from rag.report import wording

_MOST = 5  # conflicts, and pairs


class Piece(NamedTuple):
    """Plain text, or the id of a passage, which each view names and links in its own way."""

    text: str
    is_passage: bool = False


class Finding(NamedTuple):
    """A sentence under a heading of one word."""

    label: str
    pieces: list[Piece]


def findings(answer: Answer) -> list[Finding]:
    """The findings, the most useful first; empty if there was no search."""
    subject = wording.subject(answer)
    lines = []
    if answer.sufficient is not None:
        lines.append(Finding("Enough", _enough(answer.sufficient, subject)))
    if answer.counterfactual is not None:
        lines.append(Finding("Needed", _needed(answer.counterfactual)))
    elif answer.sufficient is not None and answer.evidence:
        lines.append(Finding("Needed", [Piece(f"No passages were found whose absence changes {subject}.")]))
    lines += [Finding("Divided", _divided(answer, index)) for index in range(min(_MOST, len(answer.conflicts)))]
    if len(answer.conflicts) > _MOST:
        more = wording.count(len(answer.conflicts) - _MOST, "more pair")
        lines.append(Finding("Divided", [Piece(f"{more} of answers divide the passages.")]))
    return lines + [Finding("Pairs", pieces) for pieces in _pairs(answer)]


def _enough(found: MinimalSet, subject: str) -> list[Piece]:
    if not found.passages:
        return [Piece(f"The question alone gives {subject}; no passage is needed.")]
    alone = "alone gives" if len(found.passages) == 1 else "together give"
    smaller = {
        "smallest": "" if len(found.passages) == 1 else "; no smaller set does",
        "irreducible": ", and none of them can be spared; a smaller set of others was not ruled out",
        "none": "; whether fewer would do was not settled within the decodes allowed",
    }[found.proof]
    return [*_listed(found.passages), Piece(f" {alone} {subject}{smaller}.")]


def _needed(found: MinimalSet) -> list[Piece]:
    outcome = f"the answer is {wording.quoted(found.answer)}" if found.answer else "there is no answer"
    smaller = {
        "smallest": "" if len(found.passages) == 1 else "; the absence of fewer changes nothing",
        "irreducible": ", and each of them must be absent for that; a smaller set of others was not ruled out",
        "none": "; whether the absence of fewer changes it was not settled within the decodes allowed",
    }[found.proof]
    return [Piece("Without "), *_listed(found.passages), Piece(f", {outcome}{smaller}.")]


def _divided(answer: Answer, index: int) -> list[Piece]:
    conflict = answer.conflicts[index]
    first, second = map(wording.quoted, conflict.answers)
    supporters, others = map(_listed, conflict.passages)
    return [Piece(f"{first} is supported by "), *supporters, Piece(f", {second} by "), *others, Piece(".")]


def _pairs(answer: Answer) -> Iterable[list[Piece]]:
    if answer.interactions is None:
        return
    for pair in answer.interactions.pairs[:_MOST]:
        does = "do more together than each alone" if pair.value > 0 else "repeat one another"
        yield [*_listed(pair.passages), Piece(f" {does} (interaction {wording.number(pair.value, 2)}).")]
    among = len(answer.interactions.among)
    if among < 2:
        yield [Piece("Fewer than two passages matter, so there are no pairs to look at.")]
    elif not answer.interactions.pairs:
        yield [Piece(f"Of the {among} passages that matter, no two need or repeat one another.")]


def _listed(names: Sequence[str]) -> list[Piece]:
    """For instance "a", "a and b", "a, b and c"."""
    pieces = []
    for place, name in enumerate(names):
        if place:
            pieces.append(Piece(" and " if place == len(names) - 1 else ", "))
        pieces.append(Piece(name, is_passage=True))
    return pieces
