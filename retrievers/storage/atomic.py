"""Files and folders that are written whole or not at all, by one writer at a time; and checksums of files.

After a kill at any moment, the target is what it was before or what it was to become, and the next writer removes what
was left beside it. The same holds after a power cut: contents reach the disk before the rename, and the rename before
the writer goes on. Each wait costs a few milliseconds, and nothing is written in this way more than once a second.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from retrievers.errors import BusyError
from retrievers.storage.disk import exchange, sync
from retrievers.storage.locks import writing


@contextmanager
def replace_file(target: Path) -> Iterator[Path]:
    """Give a temporary file beside `target` to write, with its suffix; it takes the place of `target` at the end.

    When the body raises, `target` stays as it was.

    Raises:
        FileNotFoundError: the folder of `target` does not exist.
        BusyError: another writer holds `target`.
        DiskFullError: there is no room.
    """
    target = Path(target).resolve()
    if not target.parent.is_dir():
        raise FileNotFoundError(f"cannot write {target}: folder {target.parent} does not exist")
    temporary = _temporary(target)
    with writing(target):
        try:
            yield temporary
            sync(temporary)
            os.replace(temporary, target)
            sync(target.parent)
        finally:
            temporary.unlink(missing_ok=True)


def replace_text(target: Path, text: str) -> None:
    """Write a text as UTF-8, whole or not at all; see `replace_file` for what is raised."""
    with replace_file(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Give a temporary folder beside `target` to write into; it takes the place of `target` at the end.

    When the body raises, `target` stays as it was.

    Raises:
        BusyError: another writer holds `target`.
        DiskFullError: there is no room.
    """
    target = Path(target).resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    building = target.with_name(f".{target.name}.new")
    with writing(target):
        _restore(target)
        shutil.rmtree(building, ignore_errors=True)  # of a killed writer
        building.mkdir()
        try:
            yield building
            for path in building.rglob("*"):
                sync(path)
            sync(building)
            _swap(building, target)
        finally:
            shutil.rmtree(building, ignore_errors=True)


def _swap(building: Path, target: Path) -> None:
    if not target.exists():
        os.rename(building, target)
    elif not exchange(building, target):
        # Between the two renames there is no target; `find_folder` and the next writer put the old one back.
        old = _old(target)
        os.rename(target, old)
        try:
            os.rename(building, target)
        except OSError:
            os.rename(old, target)
            raise
        shutil.rmtree(old, ignore_errors=True)
    sync(target.parent)


def _restore(target: Path) -> None:
    """Clear up after a writer that was killed between its two renames or just after them."""
    old = _old(target)
    if target.exists():
        shutil.rmtree(old, ignore_errors=True)
    elif old.exists():
        os.rename(old, target)


def _temporary(target: Path) -> Path:
    return target.with_name(f".{target.stem}.tmp{target.suffix}")


def _old(target: Path) -> Path:
    return target.with_name(f".{target.name}.old")


def find_folder(target: Path) -> bool:
    """Whether the folder is there, after putting it back if a kill took it away (see `new_folder`)."""
    target = Path(target).resolve()
    tries = 100  # a living writer is between its two renames for microseconds
    while not target.is_dir() and _old(target).is_dir() and tries:
        with suppress(BusyError), writing(target):
            _restore(target)
            break
        time.sleep(0.01)
        tries -= 1
    return target.is_dir()


def remove_leftovers(folder: Path, suffix: str) -> None:
    """Remove what killed writers left beside files with this suffix, for names that no later writer will use again."""
    names = {path.name[1 : -len(".lock")] for path in folder.glob(f".*{suffix}.lock")}
    names |= {path.name[1 : -len(f".tmp{suffix}")] + suffix for path in folder.glob(f".*.tmp{suffix}")}
    for target in map(folder.joinpath, names):
        with suppress(BusyError), writing(target):
            _temporary(target).unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file as hexadecimal digits, read a piece at a time."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(2**20):
            digest.update(piece)
    return digest.hexdigest()
