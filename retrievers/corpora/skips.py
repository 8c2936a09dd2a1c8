"""What a corpus holds and what was not taken from it: one list, with reasons, from the readers to whoever asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from retrievers.errors import CorpusError

NO_TEXT = "without text"
INSTALL = "pip install 'ragshap[documents]'"
_NAMED, _GROUPS = 3, 8


class Skipped(NamedTuple):
    """Something of a corpus that was left out.

    Attributes:
        where: The file, with the line or page where there is one.
        reason: Why, as it can stand behind "left out".
        document: Id of the document that it would have been, or ``""``.
        unread: Whether it belongs to the corpus and has a content that could not be read.
    """

    where: str
    reason: str
    document: str = ""
    unread: bool = False


class Skips(list[Skipped]):
    """Collects what is left out; with ``strict``, what cannot be read is an error instead."""

    @property
    def unread(self) -> set[str]:
        """Documents whose content could not be read."""
        return {item.document for item in self if item.unread}

    def __init__(self, strict: bool = False) -> None:
        """Nothing is left out yet."""
        super().__init__()
        self.strict = strict

    def unreadable(self, where: str, reason: str, document: str = "") -> None:
        """Something of the corpus that should have been read; ``CorpusError`` if ``strict``."""
        if self.strict:
            raise CorpusError(f"{where}: {reason}")
        self.append(Skipped(where, reason, document, unread=reason != NO_TEXT))

    def failed(self, error: CorpusError, path: Path, name: str) -> None:
        """As :meth:`unreadable`, for a whole file that an error stands for."""
        if self.strict:
            raise error
        self.append(Skipped(name, str(error).removeprefix(str(path)).lstrip(",: "), name, unread=True))

    def other(self, where: str, reason: str, document: str = "") -> None:
        """Something that this layout does not read; never an error."""
        self.append(Skipped(where, reason, document))


def describe(skipped: Sequence[Skipped], source: object) -> str:
    """One line: what was left out of a source, how many of each kind, why, and the first of them by name."""
    groups: dict[str, list[str]] = {}
    for item in skipped:
        groups.setdefault(item.reason, []).append(item.where.removeprefix(str(source)).lstrip("/, "))
    shown = []
    for reason, places in list(groups.items())[:_GROUPS]:
        names = ", ".join(places[:_NAMED]) + (", …" if len(places) > _NAMED else "")
        shown.append(f"{names} ({reason})" if len(places) == 1 else f"{len(places)} {reason} ({names})")
    if len(groups) > _GROUPS:
        shown.append(f"{sum(map(len, list(groups.values())[_GROUPS:]))} for other reasons")
    remedy = "; --encoding names another encoding" if any("not valid" in reason for reason in groups) else ""
    return f"left out of {source}: {'; '.join(shown)}{remedy}"
