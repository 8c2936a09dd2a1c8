"""One writer at a time, by a lock that the kernel takes back when its holder dies."""

from __future__ import annotations

import errno
import json
import os
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from retrievers.errors import BusyError
from retrievers.storage.disk import reporting_full_disk

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_CANNOT_LOCK = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)
_held: dict[tuple[Path, int], int] = {}
"""Descriptors of the locks that this process holds, by target and thread."""


def _let_go_in_child() -> None:
    """A forked child closes its copies, so that the lock ends with the process that took it."""
    for descriptor in _held.values():
        os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_in_child)


@contextmanager
def writing(target: Path, kept: str = "what was there before is as it was") -> Iterator[None]:
    """Hold `target` as its only writer; readers may go on.

    The lock is on the file `.NAME.lock` beside the target, which is removed at the end. After a kill the file remains,
    but nothing locks it any more. A thread that holds a target may take it again.

    Args:
        target: what is written; its folder exists.
        kept: says what a full disk leaves; see `reporting_full_disk`.

    Raises:
        BusyError: another writer holds it.
        DiskFullError: there is no room.
    """
    target = Path(target).resolve()
    key = (target, threading.get_ident())
    with reporting_full_disk(target, kept):
        if key in _held:
            yield
            return
        path = lock_file(target)
        descriptor = _lock(path, target)
        if descriptor is None:
            yield
            return
        _held[key] = descriptor
        try:
            yield
        finally:
            if _held.pop(key, None) is not None:  # a forked child does not hold it
                path.unlink(missing_ok=True)
                os.close(descriptor)


def lock_file(target: Path) -> Path:
    """Where a target's lock is."""
    return target.with_name(f".{target.name}.lock")


def _lock(path: Path, target: Path) -> int | None:
    """A locked descriptor of the file that is at the path; None, with a warning, where nothing can be locked."""
    if fcntl is None:
        _warn("this platform has no fcntl")
        return None
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(target)) from error
        locked = ours = False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            locked = True
            ours = _is_at(path, descriptor)  # else its last holder removed it before we had it
            if ours:
                os.ftruncate(descriptor, 0)
                os.write(descriptor, _about_us())
        except BlockingIOError:
            os.close(descriptor)
            raise BusyError(f"{target} is being written by {_holder(path)}; wait for it or stop it") from None
        except OSError as error:
            path.unlink(missing_ok=True)
            os.close(descriptor)
            if locked or error.errno not in _CANNOT_LOCK:
                raise
            _warn(f"the file system of {target} cannot lock files")
            return None
        if ours:
            return descriptor
        os.close(descriptor)


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _about_us() -> bytes:
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    return json.dumps(
        {"process": os.getpid(), "host": os.uname().nodename if hasattr(os, "uname") else "?", "since": since}
    ).encode()


def _holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        return f"process {holder['process']} on {holder['host']} since {holder['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"  # it has the lock and has not said more yet


def _warn(why: str) -> None:
    warnings.warn(f"{why}, so two writers at once are not noticed; start one only", stacklevel=4)
