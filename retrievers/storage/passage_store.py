"""Passages by position: segments on disk, additions in memory, and what has been removed."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from retrievers.errors import IndexFormatError
from retrievers.passage import Passage, as_passages
from retrievers.storage.index_folder import check_count, map_array
from retrievers.storage.passage_segment import PassageSegment, id_hashes
from retrievers.storage.segments import SourceFolder, first_to_merge
from retrievers.storage.undo import Undoable, keep_only

REMOVED_FILE = "removed.npy"
_FULL = 2**26  # bytes of passages in a segment that is not merged any more; of characters in memory, half of it


class PassageStore(Undoable, Sequence[Passage]):
    """A sequence of passages with distinct ids, which can be appended to and removed.

    A passage keeps its position when others are removed; as a sequence the store has the living ones alone. On disk
    it is a folder ``passages-N`` for each :class:`~retrievers.storage.passage_segment.PassageSegment` and
    ``removed.npy``, int64 ``(n_removed,)``, positions in ascending order.
    """

    def __init__(self, passages: Iterable[Passage] = ()) -> None:
        """Hold ``passages`` in memory."""
        self._segments: list[PassageSegment] = []
        self._starts: list[int] = [0]  # position of each segment's first passage, and of the first in memory
        self._added: list[Passage] = []
        self._added_characters = 0
        self._added_at: dict[str, int] = {}  # of the living
        self._removed: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._alive: NDArray[np.bool_] | None = None
        self._living: NDArray[np.int64] | None = None
        self._target: tuple[SourceFolder, Path] | None = None
        self.extend(self.check_new(passages))

    @classmethod
    def open(cls, folder: Path, expected: int) -> PassageStore:
        """Map the files that :meth:`write` left in ``folder``.

        Raises:
            IndexFormatError: The files do not fit each other, or do not hold ``expected`` living passages.
        """
        store, source = cls(), SourceFolder(folder)
        names = sorted((path.name for path in folder.glob("passages-*")), key=_number)
        store._put([PassageSegment(source, folder, name) for name in names])
        store._removed = np.array(map_array(folder / REMOVED_FILE, np.int64))
        if len(store._removed) and not 0 <= store._removed.min() <= store._removed.max() < store.n_positions:
            raise IndexFormatError(f"{folder / REMOVED_FILE} names passages that are not there; index the corpus again")
        check_count(folder, "the passage files", len(store), expected)
        return store

    @property
    def n_positions(self) -> int:
        """Number of passages, the removed ones included."""
        return self._starts[-1] + len(self._added)

    @property
    def alive(self) -> NDArray[np.bool_]:
        """Which positions hold passages that have not been removed, ``(n_positions,)``, read-only."""
        if self._alive is None:
            self._alive = np.ones(self.n_positions, dtype=bool)
            self._alive[self._removed] = False
            self._alive.flags.writeable = False
        return self._alive

    @property
    def removed(self) -> NDArray[np.int64]:
        """Positions of the removed passages, in ascending order."""
        return self._removed

    def at(self, position: int) -> Passage:
        """The passage at a position, removed or not; ``IndexError`` if there is no such position."""
        if not 0 <= position < self.n_positions:
            raise IndexError(f"position {position} in a store of {self.n_positions} positions")
        if position >= self._starts[-1]:
            return self._added[position - self._starts[-1]]
        number = bisect_right(self._starts, position) - 1
        return self._segments[number][position - self._starts[number]]

    def check_new(self, items: Iterable[Passage | str]) -> list[Passage]:
        """Passages and strings as passages that can be added; see :func:`number_strings` for the ids of strings.

        Raises:
            TypeError: Something is neither a :class:`Passage` nor a string.
            ValueError: An id is there already or occurs twice, a string is blank, or JSON cannot hold the metadata.
        """
        return check_new(items, len(self), self.find)

    def extend(self, passages: list[Passage]) -> None:
        """Append passages that :meth:`check_new` has let through."""
        for position, passage in enumerate(passages, start=self.n_positions):
            self._added_at[passage.id] = position
            self._added_characters += len(passage.text)
        self._added += passages
        self._alive = self._living = None
        if self._target is not None and self._added_characters > _FULL // 2:
            self._flush(*self._target)

    def remove(self, ids: Iterable[str]) -> NDArray[np.int64]:
        """Remove passages; their ids may be added again.

        Returns:
            Their positions, ``(n_removed,)``, in ascending order.

        Raises:
            TypeError: ``ids`` is a single string.
            ValueError: An id is not there; nothing is removed then.
        """
        wanted = distinct_ids(ids)
        found = self.find(wanted)
        check_known(wanted, found)
        positions = np.sort(np.array(list(found.values()), dtype=np.int64))
        for name in wanted:
            self._added_at.pop(name, None)
        self._removed = np.sort(np.concatenate([self._removed, positions]))
        self._alive = self._living = None
        return positions

    def snapshot(self) -> Callable[[], None]:
        """See :class:`Undoable`; inside of :meth:`writing`, segments that were written meanwhile are removed too."""
        undo, added, n_added = super().snapshot(), self._added, len(self._added)

        def undo_added() -> None:
            undo()
            del added[n_added:]
            start = self._starts[-1]
            self._added_at = {p.id: i for i, p in enumerate(added, start) if self.alive[i]}
            if self._target is not None:
                keep_only(self._target[1], "passages-*", {segment.name for segment in self._segments})

        return undo_added

    def write(self, folder: Path) -> None:
        """Write the store into ``folder``; see :meth:`writing`."""
        with self.writing(folder):
            pass

    @contextmanager
    def writing(self, folder: Path, drop: NDArray[np.bool_] | None = None) -> Iterator[None]:
        """Write the store into ``folder``, and what is added meanwhile as it becomes much, so that memory is bounded.

        What has been written before is linked where the file system can, and not written again. At the end the store
        lies in ``folder``, also when that is moved.

        Args:
            folder: An empty folder, or one with other files in it.
            drop: Removed passages to leave out, ``(n_positions,)``; the positions of later ones change.
        """
        source = SourceFolder(folder)
        self._hand_on(source, folder, np.zeros(self.n_positions, dtype=bool) if drop is None else drop)
        self._target = source, folder
        try:
            yield
            self._flush(source, folder)
            self._merge_small(source, folder)
            np.save(folder / REMOVED_FILE, self._removed, allow_pickle=False)
        finally:
            self._target = None

    def _hand_on(self, source: SourceFolder, folder: Path, drop: NDArray[np.bool_]) -> None:
        segments: list[PassageSegment] = []
        for start, segment in zip(self._starts, self._segments, strict=False):
            keep, name = ~drop[start : start + len(segment)], f"passages-{len(segments)}"
            if keep.all():
                segments.append(segment.hand_on(source, folder, name))
            elif keep.any():
                segments.append(PassageSegment.merge([(segment, keep)], source, folder, name))
        self._added = [p for p, out in zip(self._added, drop[self._starts[-1] :], strict=True) if not out]
        new_positions = np.cumsum(~drop) - 1
        self._removed = new_positions[self._removed[~drop[self._removed]]]
        self._added_at = {name: int(new_positions[position]) for name, position in self._added_at.items()}
        self._put(segments)

    def _put(self, segments: list[PassageSegment]) -> None:
        self._segments = segments
        self._starts = list(accumulate(map(len, segments), initial=0))
        self._alive = self._living = None

    def _flush(self, source: SourceFolder, folder: Path) -> None:
        if not self._added:
            return
        name = f"passages-{_number(self._segments[-1].name) + 1 if self._segments else 0}"
        segment = PassageSegment.create(self._added, source, folder, name)
        self._added, self._added_characters, self._added_at = [], 0, {}
        self._put([*self._segments, segment])

    def _merge_small(self, source: SourceFolder, folder: Path) -> None:
        first = first_to_merge([segment.n_bytes for segment in self._segments], limit=_FULL)
        small = self._segments[first:]
        if len(small) < 2:
            return
        everything = [(segment, np.ones(len(segment), dtype=bool)) for segment in small]
        name = f"passages-{_number(small[-1].name) + 1}"
        self._put([*self._segments[:first], PassageSegment.merge(everything, source, folder, name)])
        keep_only(folder, "passages-*", {segment.name for segment in self._segments})

    def find(self, ids: Sequence[str]) -> dict[str, int]:
        """Positions of the living passages that have one of the ids."""
        found = {name: self._added_at[name] for name in ids if name in self._added_at}
        hashes = id_hashes(ids)
        for start, segment in zip(self._starts, self._segments, strict=False):
            for number, line in segment.find(hashes):
                if self.alive[start + line] and segment[line].id == ids[number]:
                    found[ids[number]] = start + line
        return found

    def __len__(self) -> int:
        """Number of living passages."""
        return self.n_positions - len(self._removed)

    @overload
    def __getitem__(self, index: int) -> Passage: ...
    @overload
    def __getitem__(self, index: slice) -> list[Passage]: ...
    def __getitem__(self, index: int | slice) -> Passage | list[Passage]:
        """A living passage, or those of a slice."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} in a store of {len(self)} passages")
        index %= len(self)
        if not len(self._removed):
            return self.at(index)
        if self._living is None:
            self._living = np.flatnonzero(self.alive)
        return self.at(int(self._living[index]))

    def __iter__(self) -> Iterator[Passage]:
        """The living passages in order."""
        return (self[index] for index in range(len(self)))


def check_new(
    items: Iterable[Passage | str], n_held: int, find: Callable[[Sequence[str]], Container[str]]
) -> list[Passage]:
    """Passages and strings as passages that can be added to what is held.

    Strings are numbered by :func:`retrievers.passage.as_passages`, starting behind ``n_held``, or behind the largest
    number that is an id already.

    Args:
        items: What is to be added.
        n_held: Number of passages that are held.
        find: Those of some ids that are held.

    Raises:
        TypeError: Something is neither a :class:`Passage` nor a string.
        ValueError: An id is there already or occurs twice, a string is blank, or metadata cannot be written as JSON.
    """
    given = items if isinstance(items, str) else list(items)
    passages = as_passages(given, n_held + 1)
    known = find([passage.id for passage in passages])
    strings = [number for number, item in enumerate(given) if isinstance(item, str)]
    while taken := [int(passages[number].id) for number in strings if passages[number].id in known]:
        passages = as_passages(given, max(taken) + 1)
        known = find([passage.id for passage in passages])
    ids: set[str] = set()
    for passage in passages:
        if passage.id in ids or passage.id in known:
            raise ValueError(f"a passage with the id {passage.id!r} is there already")
        ids.add(passage.id)
    return passages


def distinct_ids(ids: Iterable[str]) -> list[str]:
    """Ids to remove, each once; ``TypeError`` for a single string."""
    if isinstance(ids, str):
        raise TypeError(f"expected several ids, got the string {ids!r}; put it into a list")
    return list(dict.fromkeys(ids))


def check_known(wanted: Iterable[str], known: Container[str]) -> None:
    """Raise ``ValueError`` unless all ids to remove are there."""
    unknown = [name for name in wanted if name not in known]
    if unknown:
        more = f" (and of {len(unknown) - 1} other ids neither)" if len(unknown) > 1 else ""
        raise ValueError(f"no passage with the id {unknown[0]!r} is there{more}; nothing is removed")


def _number(name: str) -> int:
    return int(name.rpartition("-")[2])
