"""What numbers were made with: versions, the reader's weights, the data's files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rag.readers import Reader
from rag.readers.embedded.weights import WEIGHTS
from rag.readers.loading import load_reader
from rag.scale import Executor
from rag.settings import ReaderSettings, SettingsError
from retrievers.folders import sha256_of

_MANIFESTS = ("checksums.json", "manifest.json")  # files that hold the checksums of all others beside them


def versions(*names: str) -> dict[str, str]:
    """Installed versions of ragshap and these distributions."""
    return {name: version(name) for name in ("ragshap", "numpy", *names)}


def reader_checksum(reader: ReaderSettings) -> str:
    """SHA-256 of a reader's folder, the commit of a checkpoint that the hub names, or an endpoint's address."""
    if reader.is_endpoint:
        return reader.checkpoint
    folder = WEIGHTS if reader.checkpoint == "embedded" else Path(reader.checkpoint)
    if folder.exists():
        return checksum(folder)
    from transformers import AutoConfig

    commit = getattr(AutoConfig.from_pretrained(reader.checkpoint), "_commit_hash", None)
    return f"commit {commit}"


def reader_or_checksum(reader: Reader | None, checksum: Any, executor: Executor) -> Reader | str:
    """What a worker is told of its reader; `SettingsError` for a loaded one where others would have to load it."""
    if reader is None:
        return str(checksum)
    if executor.remote:
        raise SettingsError("a loaded reader stays in this process; name it in the settings, as reader.checkpoint")
    return reader


def load_same_reader(settings: ReaderSettings, reader: Reader | str) -> Reader:
    """The reader given, or the one that the settings name, loaded where the work is done.

    Raises `ValueError` if its checksum is not the one given: results are made with one reader.
    """
    if not isinstance(reader, str):
        return reader
    checksum = reader
    if (found := reader_checksum(settings)) != checksum:
        raise ValueError(
            f"reader.checkpoint: {settings.checkpoint!r} holds other weights on a node ({found[:12]}) than where the "
            f"command runs ({checksum[:12]}); put the same ones on every node"
        )
    return load_reader(settings)


def checksums(paths: Iterable[tuple[str, Path]]) -> dict[str, str]:
    """SHA-256 by name, for those of the paths that exist."""
    return {name: checksum(path) for name, path in paths if path.exists()}


def checksum(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of a folder's files; an index's manifest stands for its files."""
    if path.is_file():
        return sha256_of(path)
    listed = [path / name for name in _MANIFESTS if (path / name).is_file()]
    digest = hashlib.sha256()
    for file in listed or sorted(file for file in path.rglob("*") if file.is_file()):
        digest.update(f"{file.relative_to(path).as_posix()} {sha256_of(file)}\n".encode())
    return digest.hexdigest()
