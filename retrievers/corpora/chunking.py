"""Cut long texts into passages at sentence ends."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from retrievers.passage import Passage

# A run of more than 40 characters counts as several words, so that text without spaces is cut as well.
_WORD = re.compile(r"\S{1,40}")
_LANGUAGE = "en"  # whose abbreviations do not end a sentence
_PIECE = 10_000  # characters that sentencex gets at once: its time grows with the square of a paragraph's length


class Span(NamedTuple):
    """Half-open range ``[start, end)`` of character offsets."""

    start: int
    end: int


def sentence_spans(text: str) -> list[Span]:
    """Sentences of ``text`` in order, without the white space around them.

    Blank lines end a sentence. Found by the rules of ``sentencex``. A paragraph of more than 10,000 characters is cut
    there before a word.
    """
    import sentencex

    spans = []
    for start, end in _pieces(text):
        for found in sentencex.get_sentence_boundaries(_LANGUAGE, text[start:end]):
            span = stripped(text, start + found["start_index"], start + found["end_index"])
            if span.start < span.end:
                spans.append(span)
    return spans


def split_text(text: str, max_words: int = 100) -> list[Span]:
    """Cut ``text`` into as few spans of at most ``max_words`` words as whole sentences allow.

    Among the ways to do so the most even one is taken (least sum of squared lengths), so that 180 words
    become two spans of about 90. A sentence longer than the limit is itself cut, evenly, between words.

    Returns:
        Spans in order; none overlap, none starts or ends with white space, and every word is in one of them.
        Empty for a text of white space alone.

    Raises:
        ValueError: ``max_words`` is below 1.
    """
    if max_words < 1:
        raise ValueError(f"max_words must be at least 1, got {max_words}")
    if len(_WORD.findall(text)) <= max_words:
        whole = stripped(text, 0, len(text))
        return [whole] if whole.start < whole.end else []
    words = [Span(*match.span()) for match in _WORD.finditer(text)]
    bounds = _unit_bounds(words, sentence_spans(text), max_words)
    cuts = even_cuts(bounds, max_words)
    return [Span(words[first].start, words[last - 1].end) for first, last in pairwise(cuts)]


def split_document(
    doc_id: str,
    text: str,
    *,
    title: str = "",
    max_words: int = 100,
    metadata: Mapping[str, Any] | None = None,
    marks: Sequence[tuple[int, Mapping[str, Any]]] = (),
) -> list[Passage]:
    """Cut one document into passages with :func:`split_text`.

    Ids are ``doc_id`` when one passage results, else ``doc_id#0``, ``doc_id#1`` and so on. ``metadata`` gains
    ``source`` (``doc_id``), ``start`` and ``end``, with ``text[start:end] == passage.text``; what it has under these
    names itself goes into ``original``.

    Args:
        doc_id: Id of the document.
        text: Its text.
        title: Its title, which each passage gets.
        max_words: See :func:`split_text`.
        metadata: What is said of the whole document.
        marks: What holds from an offset on, in ascending order, such as ``(250, {"page": 3})``. A passage gets what
            holds where it starts, and ``last_page`` if it ends on another page.
    """
    spans = split_text(text, max_words)
    own = dict(metadata or {})
    names = {"source", "start", "end", *(name for _, mark in marks for name in mark)}
    if displaced := {name: own.pop(name) for name in list(own) if name in names}:
        own["original"] = displaced
    return [
        Passage(
            id=doc_id if len(spans) == 1 else f"{doc_id}#{number}",
            text=text[start:end],
            title=title,
            metadata={**own, **place, "source": doc_id, "start": start, "end": end},
        )
        for number, ((start, end), place) in enumerate(zip(spans, _places(spans, marks), strict=True))
    ]


def _places(spans: list[Span], marks: Sequence[tuple[int, Mapping[str, Any]]]) -> Iterator[dict[str, Any]]:
    """What holds where each span starts, and on which page it ends if that is another."""
    state: dict[str, Any] = {}
    number = 0
    for start, end in spans:
        while number < len(marks) and marks[number][0] <= start:
            state |= marks[number][1]
            number += 1
        inside = marks[number : bisect_left(marks, end, key=lambda mark: mark[0])]
        last_page = max((mark["page"] for _, mark in inside if "page" in mark), default=None)
        yield state | ({} if last_page is None else {"last_page": last_page})


def _pieces(text: str) -> Iterator[Span]:
    """The text in pieces of bounded length, cut at blank lines, else between words, else anywhere."""
    start = 0
    while len(text) - start > _PIECE:
        most = start + _PIECE
        end = next(
            (at + len(mark) for mark in ("\n\n", "\n", " ") if (at := text.rfind(mark, start, most)) > start), most
        )
        yield Span(start, end)
        start = end
    yield Span(start, len(text))


def stripped(text: str, start: int, end: int) -> Span:
    """The range without the white space at its ends; empty if nothing else is in it."""
    piece = text[start:end]
    return Span(start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip()))


def _unit_bounds(words: list[Span], sentences: list[Span], max_words: int) -> list[int]:
    """Word indices at which a cut is allowed, first and last included; at most ``max_words`` apart."""
    starts = [word.start for word in words]
    sentence_bounds = sorted({0, len(words)} | {bisect_left(starts, sentence.start) for sentence in sentences})
    bounds = [0]
    for first, last in pairwise(sentence_bounds):
        n_pieces = -(-(last - first) // max_words)
        bounds += [first + round((last - first) * piece / n_pieces) for piece in range(1, n_pieces + 1)]
    return bounds


def even_cuts(bounds: Sequence[int], most: int) -> list[int]:
    """Choose among ``bounds`` the fewest that are at most ``most`` apart, then the most even, by dynamic programming.

    Args:
        bounds: Places in ascending order, no two neighbours more than ``most`` apart; first and last are kept.
        most: Largest distance.
    """
    best: list[tuple[int, int]] = [(0, 0)]  # per bound: (number of pieces, sum of squared lengths) so far
    previous = [0]
    for i in range(1, len(bounds)):
        options = []
        for j in range(i - 1, -1, -1):
            length = bounds[i] - bounds[j]
            if length > most:
                break
            options.append((best[j][0] + 1, best[j][1] + length * length, j))
        pieces, squares, j = min(options)
        best.append((pieces, squares))
        previous.append(j)
    cuts = [len(bounds) - 1]
    while cuts[-1]:
        cuts.append(previous[cuts[-1]])
    return [bounds[i] for i in reversed(cuts)]
