"""What numbers were made with: versions, the reader's weights, the data's files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from rag.readers.embedded.weights import WEIGHTS
from rag.settings import ReaderSettings
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
