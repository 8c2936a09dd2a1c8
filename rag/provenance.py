"""What results were made with: versions, settings, the reader's weights, the files read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.readers.checkpoint_files import adapted_model
from rag.settings import ReaderSettings, Settings
from retrievers.storage.atomic import sha256_of

if TYPE_CHECKING:
    from rag.readers import Reader

_MANIFESTS = ("checksums.json", "manifest.json")  # files that hold the checksums of all others beside them
_LIBRARIES = ("ragshap", "numpy", "torch", "transformers", "bm25s", "sentence-transformers")


def made_with(
    settings: Mapping[str, Any],
    reader: ReaderSettings | Reader | None,
    files: Iterable[tuple[str, Path]],
    *libraries: str,
) -> dict[str, Any]:
    """What a saved result says of itself: `settings`, `files`, `reader` and `versions`.

    Args:
        settings: all that the result depends on, in plain values.
        reader: settings of the one that is loaded, or one that was handed over, which is named alone; None for none.
        files: name and path of what is read; what does not exist is left out.
        libraries: distributions that matter beside the usual ones.
    """
    weights = reader_checksum(reader) if isinstance(reader, ReaderSettings) else reader and reader.name
    return {
        "settings": dict(settings),
        "files": checksums(files),
        "reader": weights,
        "versions": versions(*libraries),
    }


def sources(settings: Settings, corpus: str | Path | None = None, index: str | Path | None = None) -> dict[str, Any]:
    """What an answer says beside its settings: `made_with` without them, of an index or a corpus, if there is one."""
    named = (("corpus", corpus), ("index", index))
    origin = made_with({}, settings.reader, ((name, Path(path)) for name, path in named if path is not None))
    del origin["settings"]
    return origin | answering(settings.answer.reader)


def answering(reader: ReaderSettings | Reader | None) -> dict[str, str]:
    """What results say of the reader that gives the final answers, where that is not the attributed one."""
    if reader is None:
        return {}
    return {"answer_reader": reader_checksum(reader) if isinstance(reader, ReaderSettings) else reader.name}


def versions(*libraries: str) -> dict[str, str]:
    """Versions of ragshap, of what its numbers depend on and of these distributions, as far as they are installed."""
    found = {}
    for name in (*_LIBRARIES, *libraries):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def reader_checksum(reader: ReaderSettings) -> str:
    """SHA-256 of a reader's folder, the commit of a checkpoint that the hub names, or an endpoint's address.

    That of an adapter is also one of the model that it adapts.
    """
    if reader.is_endpoint:
        return reader.checkpoint
    if folder := reader.embedded_folder:
        return checksum(folder)
    own, base = _weights(reader.checkpoint), adapted_model(Path(reader.checkpoint))
    return hashlib.sha256(f"{own} {_weights(base)}".encode()).hexdigest() if base else own


def _weights(name: str) -> str:
    """SHA-256 of a folder or file; of any other name the commit that the hub names."""
    path = Path(name)
    if path.exists():
        return checksum(path)
    from transformers import AutoConfig

    return f"commit {getattr(AutoConfig.from_pretrained(name), '_commit_hash', None)}"


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
