"""Variants: passages and questions with parts that are hidden from the reader."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple, Protocol, get_args, runtime_checkable

import torch
from torch import Tensor
from transformers import DynamicCache

from rag.readers.base import EncodedQuestion, Reader
from retrievers import Passage

Masking = Literal["attention", "mask", "delete"]
"""How a part is hidden. "attention": its tokens keep their places, but nothing attends to them or copies them. "mask":
each of its tokens becomes the tokeniser's mask token, or its unknown token. "delete": its text is deleted."""

Spans = tuple[tuple[int, int], ...]


class Variant(NamedTuple):
    """A passage with parts hidden.

    Attributes:
        passage: its column among the encoded passages.
        hidden: ranges [start, end) of characters of its text, in ascending order, none overlapping.
        title_hidden: whether its title is hidden as well.
    """

    passage: int
    hidden: Spans
    title_hidden: bool = False


@runtime_checkable
class PartsReader(Reader, Protocol):
    """A reader that can read passages and questions with hidden parts."""

    def extend(
        self, encoded: EncodedQuestion, variants: Sequence[Variant], masking: Masking = "attention"
    ) -> EncodedQuestion:
        """Encode variants, and nothing else, beside the passages encoded before.

        Args:
            encoded: the encoded question; it stays unchanged.
            variants: what to encode.
            masking: how parts are hidden.

        Returns:
            The question with one more passage for each variant, after those of `encoded`. Coalitions have a column for
            each of them, and a coalition that reads a variant must leave out the whole passage.

        Raises:
            ValueError: a variant's passage or range of characters does not exist, or the masking is unknown.
        """
        ...

    def hide_question(
        self, encoded: EncodedQuestion, hidden: Spans, columns: Sequence[int], masking: Masking = "attention"
    ) -> EncodedQuestion:
        """Encode passages, and the question alone, once more with parts of the question hidden.

        Readers that encode the question with each passage have to encode these passages again.

        Args:
            encoded: the result of `encode`; it stays unchanged.
            hidden: ranges [start, end) of characters of `encoded.question`, in ascending order, none overlapping.
            columns: the passages to encode, whole; the result has these alone, in this order.
            masking: how the ranges are hidden.

        Returns:
            A question to generate from, to score and to `extend`; its variants hide the ranges as well.

        Raises:
            ValueError: a range or a column does not exist, or the masking is unknown.
        """
        ...


def check_variants(encoded: EncodedQuestion, variants: Iterable[Variant], masking: str) -> None:
    """Raise `ValueError` for variants that do not fit the encoded passages, or an unknown masking."""
    _check_masking(masking)
    for passage, hidden, _ in variants:
        _check_passage(encoded, passage)
        own = encoded.passages[passage]
        _check_hidden(hidden, own.text, f"the text of passage {own.id!r}")


def check_hidden_question(encoded: EncodedQuestion, hidden: Spans, columns: Iterable[int], masking: str) -> None:
    """Raise `ValueError` for ranges outside the question, columns without a passage, or an unknown masking."""
    _check_masking(masking)
    _check_hidden(hidden, encoded.question, "the question")
    for column in columns:
        _check_passage(encoded, column)


def _check_masking(masking: str) -> None:
    if masking not in get_args(Masking):
        raise ValueError(f"unknown masking {masking!r}; known: {', '.join(get_args(Masking))}")


def _check_passage(encoded: EncodedQuestion, passage: int) -> None:
    if not 0 <= passage < len(encoded.passages):
        raise ValueError(f"a variant of passage {passage}; there are {len(encoded.passages)} encoded passages")


def _check_hidden(hidden: Spans, text: str, of: str) -> None:
    bounds = [0, *(place for span in hidden for place in span), len(text)]
    if bounds != sorted(bounds):
        raise ValueError(
            f"hidden ranges must be ascending, apart, and within the {len(text)} characters of {of}; got {list(hidden)}"
        )


def full_text_spans(passage: Passage, variant: Variant) -> Spans:
    """What a variant hides of its passage's `full_text`."""
    title = len(passage.full_text) - len(passage.text)
    hidden = tuple((title + start, title + end) for start, end in variant.hidden)
    return ((0, title), *hidden) if variant.title_hidden and title else hidden


def without(text: str, hidden: Spans) -> tuple[str, Spans]:
    """A text without some ranges of characters and the white space after each; and the ranges removed."""
    removed: list[tuple[int, int]] = []
    for start, end in hidden:
        while end < len(text) and text[end].isspace():
            end += 1
        if removed and removed[-1][1] >= start:
            removed[-1] = (removed[-1][0], end)
        else:
            removed.append((start, end))
    bounds = [0, *(place for span in removed for place in span), len(text)]
    kept = "".join(text[start:end] for start, end in zip(bounds[::2], bounds[1::2], strict=True))
    if removed and removed[-1][1] == len(text):
        kept = kept.rstrip()
    return kept, tuple(removed)


def shortened(passage: Passage, variant: Variant) -> Passage:
    """The passage with the hidden parts deleted."""
    text, _ = without(passage.text, variant.hidden)
    return replace(passage, text=text, title="" if variant.title_hidden else passage.title)


def moved(place: int, removed: Spans) -> int:
    """The new place of a kept character after `without` removed ranges."""
    before = removed[: bisect_right(removed, (place, place))]
    return place - sum(end - start for start, end in before)


def overlaps(offsets: Iterable[tuple[int, int]], hidden: Spans) -> list[bool]:
    """Whether each token, given by its characters [start, end), has a character in a hidden range."""
    starts = [start for start, _ in hidden]
    found = []
    for start, end in offsets:
        place = bisect_right(starts, end - 1) - 1
        found.append(place >= 0 and start < end and hidden[place][1] > start)
    return found


def insert(old: Tensor, new: Tensor, at: int, dim: int) -> Tensor:
    """`old` with `new` inserted before position `at` of a dimension."""
    return torch.cat([old.narrow(dim, 0, at), new, old.narrow(dim, at, old.shape[dim] - at)], dim)


def insert_blocks(old: Tensor, new: Tensor, n_columns: int) -> tuple[Tensor, int]:
    """Blocks of all tokens, with those of new columns inserted before the question alone; and the place of insertion.

    Args:
        old: `(n_tokens,)` ascending, `n_columns` on the question alone.
        new: `(n_new_tokens,)` ascending, from 0.
        n_columns: number of columns of `old`.
    """
    at = int((old < n_columns).sum())
    alone = n_columns + int(new.max()) + 1 if len(new) else n_columns
    return torch.cat([old[:at], new + n_columns, torch.full_like(old[at:], alone)]), at


def insert_cache(old: DynamicCache, new: DynamicCache, at: int) -> DynamicCache:
    """Old keys and values with new ones inserted before token `at`."""
    joined = DynamicCache()
    before: Any
    added: Any
    for layer, (before, added) in enumerate(zip(old.layers, new.layers, strict=True)):
        joined.update(insert(before.keys, added.keys, at, 2), insert(before.values, added.values, at, 2), layer)
    return joined
