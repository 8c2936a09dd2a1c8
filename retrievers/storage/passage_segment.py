"""Passages in files that never change once they are written."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrievers.errors import IndexFormatError
from retrievers.passage import Passage
from retrievers.storage.index_folder import map_array
from retrievers.storage.json_text import parse_json
from retrievers.storage.segments import SourceFolder

PASSAGES_FILE = "passages.jsonl"
OFFSETS_FILE = "offsets.npy"
IDS_FILE = "ids.npy"


class PassageSegment:
    """Consecutive passages, mapped from a folder; one is read only when it is asked for.

    ``passages.jsonl`` holds one JSON object per line, ``offsets.npy``, int64 ``(n + 1,)``, the byte positions of the
    lines, and ``ids.npy``, uint64 ``(2, n)``, the hashes of the ids in ascending order and their lines.
    """

    def __init__(self, source: SourceFolder, root: Path, name: str) -> None:
        """Map the files in ``root / name``; they can be linked from ``source``, which is ``root``.

        Raises:
            IndexFormatError: The files do not fit each other.
        """
        self._source, self.name, folder = source, name, root / name
        try:
            self._lines = np.asarray(np.memmap(folder / PASSAGES_FILE, dtype=np.uint8, mode="r"))
        except ValueError as error:
            raise IndexFormatError(f"{folder / PASSAGES_FILE} cannot be read: {error}") from error
        self._offsets = map_array(folder / OFFSETS_FILE, np.int64)
        self._ids = map_array(folder / IDS_FILE, np.uint64, 2)
        if not len(self._offsets) or self._offsets[-1] != len(self._lines) or self._ids.shape != (2, len(self)):
            raise IndexFormatError(
                f"{folder}: {OFFSETS_FILE} and {IDS_FILE} do not fit {PASSAGES_FILE}; index the corpus again"
            )

    @classmethod
    def create(cls, passages: Sequence[Passage], source: SourceFolder, root: Path, name: str) -> PassageSegment:
        """Write passages, at least one, into the new folder ``root / name``."""
        (root / name).mkdir()
        offsets = [0]
        with (root / name / PASSAGES_FILE).open("wb") as file:
            for passage in passages:
                file.write(_to_line(passage))
                offsets.append(file.tell())
        lines = np.arange(len(passages), dtype=np.uint64)
        _write_arrays(root / name, np.array(offsets), id_hashes(p.id for p in passages), lines)
        return cls(source, root, name)

    @classmethod
    def merge(
        cls, parts: Sequence[tuple[PassageSegment, NDArray[np.bool_]]], source: SourceFolder, root: Path, name: str
    ) -> PassageSegment:
        """Write what is to be kept of each part, ``(n_passages,)``, one behind another; something must be kept."""
        (root / name).mkdir()
        sizes, hashes, lines, n_before = [], [], [], 0
        with (root / name / PASSAGES_FILE).open("wb") as file:
            for segment, keep in parts:
                edges = np.flatnonzero(np.diff(keep, prepend=False, append=False)).reshape(-1, 2)
                for first, end in edges:
                    segment._lines[segment._offsets[first] : segment._offsets[end]].tofile(file)
                sizes.append(np.diff(segment._offsets)[keep])
                kept_ids = keep[segment._ids[1].astype(np.int64)]
                new_lines = np.cumsum(keep) - 1 + n_before
                hashes.append(segment._ids[0][kept_ids])
                lines.append(new_lines[segment._ids[1][kept_ids].astype(np.int64)])
                n_before += int(keep.sum())
        offsets = np.concatenate([[0], np.cumsum(np.concatenate(sizes))])
        _write_arrays(root / name, offsets, np.concatenate(hashes), np.concatenate(lines))
        return cls(source, root, name)

    def hand_on(self, source: SourceFolder, root: Path, name: str) -> PassageSegment:
        """The same segment in another folder, its files linked or, where that cannot be, copied."""
        folder = root / name
        folder.mkdir()
        for file_name, array in ((OFFSETS_FILE, self._offsets), (IDS_FILE, self._ids)):
            if not self._source.link(f"{self.name}/{file_name}", folder / file_name):
                np.save(folder / file_name, array, allow_pickle=False)
        if not self._source.link(f"{self.name}/{PASSAGES_FILE}", folder / PASSAGES_FILE):
            self._lines.tofile(folder / PASSAGES_FILE)
        return PassageSegment(source, root, name)

    def __len__(self) -> int:
        """Number of passages."""
        return len(self._offsets) - 1

    @property
    def n_bytes(self) -> int:
        """Size of the passages' file."""
        return len(self._lines)

    def __getitem__(self, line: int) -> Passage:
        """The passage in a line."""
        raw = self._lines[self._offsets[line] : self._offsets[line + 1]].tobytes()
        try:
            passage = Passage(**parse_json(raw.decode()))
            sound = all(isinstance(part, str) for part in (passage.id, passage.text, passage.title))
        except (ValueError, TypeError):
            sound = False
        if not sound or not isinstance(passage.metadata, dict):
            raise IndexFormatError(f"{self.name}/{PASSAGES_FILE}, line {line + 1} is damaged; index the corpus again")
        return passage

    def find(self, hashes: NDArray[np.uint64]) -> Iterator[tuple[int, int]]:
        """Pairs of a position in ``hashes`` and a line whose id has that hash; the ids may still differ."""
        known = self._ids[0]
        first = np.searchsorted(known, hashes)
        for number in np.flatnonzero(known[np.minimum(first, len(known) - 1)] == hashes):
            at = int(first[number])
            while at < len(known) and known[at] == hashes[number]:
                yield int(number), int(self._ids[1][at])
                at += 1


def id_hashes(ids: Iterable[str]) -> NDArray[np.uint64]:
    """Eight bytes for each id, the same in every process."""
    digests = (blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest() for name in ids)
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


def _write_arrays(folder: Path, offsets: NDArray[np.integer], hashes: NDArray[np.uint64], lines: NDArray) -> None:
    order = np.argsort(hashes, kind="stable")
    ids = np.stack([hashes[order], lines[order].astype(np.uint64)])
    np.save(folder / OFFSETS_FILE, offsets.astype(np.int64), allow_pickle=False)
    np.save(folder / IDS_FILE, ids, allow_pickle=False)


def _to_line(passage: Passage) -> bytes:
    fields = {
        "id": passage.id,
        "text": passage.text,
        "title": passage.title,
        "metadata": dict(passage.metadata),
    }
    return json.dumps(fields, ensure_ascii=False).encode() + b"\n"
