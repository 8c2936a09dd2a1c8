"""What all segments of an index have in common: they are handed on by hard link, and merged while they are small."""

from __future__ import annotations

import os
import weakref
from collections.abc import Sequence
from pathlib import Path


class SourceFolder:
    """A folder whose files can be linked into another folder, even after the folder itself was moved."""

    def __init__(self, path: Path) -> None:
        """Open the folder; where folders cannot be opened, nothing will be linked."""
        try:
            self._descriptor = os.open(path, os.O_RDONLY)
        except PermissionError:  # Windows
            return
        weakref.finalize(self, os.close, self._descriptor)

    def link(self, name: str, target: Path) -> bool:
        """Make ``target`` the same file as ``name`` in the folder; False if that cannot be, and a copy is needed."""
        try:
            os.link(name, target, src_dir_fd=self._descriptor)
        except (OSError, NotImplementedError, AttributeError):
            return False
        return True


def first_to_merge(sizes: Sequence[int], limit: float = float("inf")) -> int:
    """The number of the segment from which on all segments should become one of a size of at most ``limit``.

    It is the first segment that is no larger than those behind it together, or the last one, which stays as it is.
    Whatever is rewritten thus ends up in a segment of at least twice the size: n single additions leave about log2(n)
    segments, and nothing is rewritten more than about log2(n) times.
    """
    behind = 0
    first = len(sizes) - 1
    for number in range(len(sizes) - 1, -1, -1):
        if behind + sizes[number] > limit:
            break
        if sizes[number] <= behind:
            first = number
        behind += sizes[number]
    return first
