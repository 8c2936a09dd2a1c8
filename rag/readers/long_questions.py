"""Which tokens of a question are read that is longer than a reader's limit."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from retrievers.corpora.chunking import sentence_spans


def kept_tokens(question: str, places: Sequence[tuple[int, int]], limit: int) -> list[int]:
    """The numbers of the tokens to read, ascending, at most `limit`.

    Of a question that is too long, its last sentence with a question mark is kept (its last sentence, if none has
    one), and as much of its beginning as there is room for: people ask at the end.

    Args:
        question: the question.
        places: the characters [start, end) that each of its tokens stands for.
        limit: the most tokens to read.
    """
    if len(places) <= limit:
        return [*range(len(places))]
    sentences = sentence_spans(question)
    begin, end = next((s for s in reversed(sentences) if "?" in question[s.start : s.end]), sentences[-1])
    asked = [i for i, (first, last) in enumerate(places) if last > begin and first < end][-limit:]
    first = asked[0] if asked else len(places)
    others = [*range(first), *range(first + len(asked), len(places))]
    return sorted([*others[: limit - len(asked)], *asked])


def kept_text(question: str, places: Sequence[tuple[int, int]], limit: int) -> tuple[str, int]:
    """The text of the tokens to read, with an ellipsis where some are left out, and how many are."""
    kept = kept_tokens(question, places, limit)
    if len(kept) == len(places):
        return question, 0
    gaps = [n for n in range(1, len(kept)) if kept[n] > kept[n - 1] + 1]
    runs = [kept[first:end] for first, end in pairwise([0, *gaps, len(kept)])]
    text = " … ".join(question[places[run[0]][0] : places[run[-1]][1]].strip() for run in runs)
    return text, len(places) - len(kept)
