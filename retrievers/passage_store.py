"""Passages by position: a memory-mapped part from a saved index, and additions in memory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import overload

import numpy as np

from retrievers.errors import IndexFormatError
from retrievers.passage import Passage
from retrievers.storage import check_count

PASSAGES_FILE = "passages.jsonl"
OFFSETS_FILE = "offsets.npy"


class PassageStore(Sequence[Passage]):
    """An append-only sequence of passages with distinct ids.

    On disk it is ``passages.jsonl``, one JSON object per line, and ``offsets.npy``, int64 ``(n + 1,)`` byte
    positions of the lines; an opened store reads a passage only when it is asked for.
    """

    def __init__(self, passages: Iterable[Passage] = ()) -> None:
        """Hold ``passages`` in memory."""
        self._lines: np.ndarray = np.empty(0, dtype=np.uint8)
        self._offsets: np.ndarray = np.zeros(1, dtype=np.int64)
        self._added: list[Passage] = []
        self._ids: set[str] | None = set()
        self.extend(self.check_new(passages))

    @classmethod
    def open(cls, folder: Path, expected: int) -> PassageStore:
        """Map the files that :meth:`write` left in ``folder``.

        Raises:
            IndexFormatError: The files do not fit each other, or do not hold ``expected`` passages.
        """
        store = cls()
        store._lines = np.memmap(folder / PASSAGES_FILE, dtype=np.uint8, mode="r")
        store._offsets = np.load(folder / OFFSETS_FILE, mmap_mode="r", allow_pickle=False)
        store._ids = None
        check_count(folder, PASSAGES_FILE, len(store), expected)
        if store._offsets[-1] != len(store._lines):
            raise IndexFormatError(f"{folder}: {OFFSETS_FILE} does not fit {PASSAGES_FILE}; index the corpus again")
        return store

    def check_new(self, passages: Iterable[Passage]) -> list[Passage]:
        """The passages as a list, once they are known to be addable.

        Raises:
            TypeError: Something is not a :class:`Passage`.
            ValueError: An id is there already or occurs twice, or metadata cannot be written as JSON.
        """
        new = list(passages)
        if self._ids is None and new:
            self._ids = {passage.id for passage in self}
        ids = set(self._ids or ())
        for passage in new:
            if not isinstance(passage, Passage):
                raise TypeError(f"expected retrievers.Passage objects, got {type(passage).__name__}")
            if passage.id in ids:
                raise ValueError(f"a passage with the id {passage.id!r} is there already")
            ids.add(passage.id)
            try:
                json.dumps(dict(passage.metadata))
            except (TypeError, ValueError) as error:
                raise ValueError(f"metadata of passage {passage.id!r} cannot be written as JSON: {error}") from error
        return new

    def extend(self, passages: list[Passage]) -> None:
        """Append passages that :meth:`check_new` has let through."""
        self._added += passages
        if self._ids is not None:
            self._ids.update(passage.id for passage in passages)

    def write(self, folder: Path) -> None:
        """Write both files into ``folder``."""
        offsets = [int(offset) for offset in self._offsets]
        with (folder / PASSAGES_FILE).open("wb") as file:
            self._lines.tofile(file)
            for passage in self._added:
                file.write(_to_line(passage))
                offsets.append(file.tell())
        np.save(folder / OFFSETS_FILE, np.array(offsets, dtype=np.int64), allow_pickle=False)

    def __len__(self) -> int:
        """Number of passages."""
        return len(self._offsets) - 1 + len(self._added)

    @overload
    def __getitem__(self, position: int) -> Passage: ...
    @overload
    def __getitem__(self, position: slice) -> list[Passage]: ...
    def __getitem__(self, position: int | slice) -> Passage | list[Passage]:
        """The passage at a position, or those of a slice."""
        if isinstance(position, slice):
            return [self[i] for i in range(*position.indices(len(self)))]
        if not -len(self) <= position < len(self):
            raise IndexError(f"position {position} in a store of {len(self)} passages")
        position %= len(self)
        n_mapped = len(self._offsets) - 1
        if position >= n_mapped:
            return self._added[position - n_mapped]
        line = self._lines[self._offsets[position] : self._offsets[position + 1]].tobytes()
        return Passage(**json.loads(line))

    def __iter__(self) -> Iterator[Passage]:
        """All passages in order."""
        return (self[position] for position in range(len(self)))


def _to_line(passage: Passage) -> bytes:
    fields = {
        "id": passage.id,
        "text": passage.text,
        "title": passage.title,
        "metadata": dict(passage.metadata),
    }
    return json.dumps(fields, ensure_ascii=False).encode() + b"\n"
