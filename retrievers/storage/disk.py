"""What the operating system offers: a cache, waiting until a file is on the disk, full disks, exchanged folders."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from retrievers.errors import DiskFullError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# safetensors and faiss pass on the message without its code, and numpy only counts what was written.
_SAYS_FULL = re.compile("|".join([*(re.escape(os.strerror(code)) for code in _FULL), r"\d+ requested and \d+ written"]))
_CURRENT_FOLDER = -100  # AT_FDCWD
_EXCHANGE = 2  # RENAME_EXCHANGE


def user_cache() -> Path:
    """Our folder among the user's caches; it need not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ragshap"


@contextmanager
def reporting_full_disk(target: Path, kept: str = "what was there before is as it was") -> Iterator[None]:
    """Turn what any library raises on a full disk into one clear error.

    Args:
        target: what is written, named in the message.
        kept: says in the message what a failure leaves.

    Raises:
        DiskFullError: there is no room for `target`.
    """
    try:
        yield
    except DiskFullError:
        raise
    except Exception as error:
        code = getattr(error, "errno", None)
        if code not in _FULL and not (code is None and _SAYS_FULL.search(str(error))):
            raise
        folder = next(folder for folder in target.absolute().parents if folder.is_dir())
        free = shutil.disk_usage(folder).free / 2**20
        raise DiskFullError(
            f"cannot write {target}: the disk is full ({free:.1f} MiB free in {folder}), or a quota or limit is "
            f"reached; {kept}; make room and run it again"
        ) from error


def sync(path: Path) -> None:
    """Wait until a file or the entries of a folder are on the disk, so that no power cut can take them back."""
    if path.is_dir() and not hasattr(os, "O_DIRECTORY"):
        return  # Windows opens no folders
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def exchange(one: Path, other: Path) -> bool:
    """Let two folders change places in one step; False where the system or the file system cannot.

    Raises:
        OSError: it can, and failed.
    """
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if os.name == "posix" else None
    if call is None:
        return False
    if call(_CURRENT_FOLDER, os.fsencode(one), _CURRENT_FOLDER, os.fsencode(other), _EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EXDEV):
        return False
    raise OSError(code, os.strerror(code), str(other))
