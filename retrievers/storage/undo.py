"""Changes that happen whole or not at all: state that is put back when a change fails."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from pathlib import Path


class Undoable:
    """An object whose state can be put back.

    Its attributes are replaced, never changed in place; attributes that are :class:`Undoable` themselves, also inside
    of tuples, are put back with it. A subclass that changes something in place extends :meth:`snapshot`.
    """

    def snapshot(self) -> Callable[[], None]:
        """Remember the state; the function that is returned puts it back."""
        before = dict(vars(self))
        values = [part for value in before.values() for part in (value if isinstance(value, tuple) else (value,))]
        undo_parts = [part.snapshot() for part in values if isinstance(part, Undoable)]

        def undo() -> None:
            vars(self).clear()
            vars(self).update(before)
            for undo_part in undo_parts:
                undo_part()

        return undo

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Put the state back when the body raises anything, an interrupt included."""
        undo = self.snapshot()
        try:
            yield
        except BaseException:
            undo()
            raise


def keep_only(folder: Path, pattern: str, names: Container[str]) -> None:
    """Remove the files and folders that match a pattern, except those with one of the names."""
    for path in folder.glob(pattern):
        if path.name not in names:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
