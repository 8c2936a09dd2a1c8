"""Passages, which are retrieved and attributed to, and hits, which are retrieved passages with their scores."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of text with an id that is unique in its corpus.

    Attributes:
        id: Names the passage in runs, qrels and indexes.
        text: The text itself, without the title.
        title: Title of the document that the text comes from, or ``""``.
        metadata: What else the corpus says of it, as far as JSON can hold it.
    """

    id: str
    text: str
    title: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def full_text(self) -> str:
        """``"title. text"``, or the text alone when there is no title: what retrievers index."""
        return f"{self.title}. {self.text}" if self.title else self.text


class Hit(NamedTuple):
    """A retrieved passage and its score; higher is better, scales differ between retrievers."""

    passage: Passage
    score: float


def as_passages(items: Iterable[Passage | str], first: int = 1) -> list[Passage]:
    """Passages as they are, and strings as passages whose ids are their places in ``items``: "1", "2", and so on.

    A number that a given passage has as its id is passed over, and the strings behind it count on from there.

    Args:
        items: Passages, strings, or both.
        first: Number of the first item. What grows by several calls counts on from what it holds.

    Raises:
        TypeError: ``items`` is a single string, or something in it is neither a passage nor a string.
        ValueError: A string is blank, or JSON cannot hold a passage's metadata.
    """
    if isinstance(items, str):
        raise TypeError(f"expected several passages, got the string {items[:40]!r}; put it into a list")
    given = list(items)
    taken = {item.id for item in given if isinstance(item, Passage)}
    passages = []
    number = first - 1
    for place, item in enumerate(given, start=1):
        number += 1
        if isinstance(item, Passage):
            try:
                json.dumps(dict(item.metadata), allow_nan=False)
            except (TypeError, ValueError) as error:
                raise ValueError(f"metadata of passage {item.id!r} cannot be written as JSON: {error}") from error
            passages.append(item)
            continue
        if not isinstance(item, str):
            raise TypeError(f"expected retrievers.Passage objects or strings, got {type(item).__name__}")
        if not item.strip():
            raise ValueError(f"passage {place} of {len(given)} is blank: leave it out or give it a text")
        while str(number) in taken:
            number += 1
        passages.append(Passage(str(number), item))
    return passages
