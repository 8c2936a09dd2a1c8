"""The unit that is retrieved and attributed, and a retrieved one with its score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of text with an id that is unique in its corpus.

    Attributes:
        id: Names the passage in runs, qrels and indexes.
        text: The text itself, without the title.
        title: Title of the document that the text comes from, or ``""``.
        metadata: Anything else that the corpus says of it; must be JSON-serialisable to be saved in an index.
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
