"""Which tokens of a question are read that is longer than a reader's limit."""

from __future__ import annotations

from collections.abc import Sequence

from retrievers.corpora.chunking import sentence_spans


def kept_tokens(question: str, places: Sequence[tuple[int, int]], limit: int) -> list[int]:
    """The numbers of the tokens to read, ascending, at most `limit`.

    Of a question that is too long, its last sentence with a question mark is kept, or its last sentence, if none has
    one: people ask at the end. What precedes it is not read, because readers that were trained with single questions
    answer what stands there instead.

    Args:
        question: the question.
        places: the characters [start, end) that each of its tokens stands for.
        limit: the most tokens to read.
    """
    if len(places) <= limit:
        return [*range(len(places))]
    sentences = sentence_spans(question)
    begin, end = next((s for s in reversed(sentences) if "?" in question[s.start : s.end]), sentences[-1])
    asked = [i for i, (first, last) in enumerate(places) if last > begin and first < end]
    return (asked or [*range(len(places))])[-limit:]


def kept_text(question: str, places: Sequence[tuple[int, int]], limit: int) -> tuple[str, int]:
    """The text of the tokens to read, and how many tokens are left out."""
    kept = kept_tokens(question, places, limit)
    if len(kept) == len(places):
        return question, 0
    return question[places[kept[0]][0] : places[kept[-1]][1]].strip(), len(places) - len(kept)
