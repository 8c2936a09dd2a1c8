"""Index folders: a manifest that describes every file, written whole or not at all, checked when opened."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrievers.errors import IndexFormatError, OldIndexError
from retrievers.storage.atomic import find_folder, new_folder, sha256_of
from retrievers.storage.json_text import parse_json

MANIFEST_FILE = "manifest.json"
FORMAT = "ragshap-index"
VERSION = 2
_AGAIN = "run `ragshap index` again"
_LIBRARIES = ("ragshap", "numpy", "bm25s", "rank-bm25", "faiss-cpu", "sentence-transformers")
_checksums: dict[tuple[int, ...], str] = {}
"""Of files by identity, as manifests have them, so that a file that is linked into another index is not read again."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an index folder says of itself.

    Attributes:
        kind: ``"bm25"``, ``"dense"``, ``"hybrid"`` or a search engine, such as ``"milvus"``.
        settings: What the retriever was made with.
        passages: Number of passages.
        files: ``{"bytes": size, "sha256": hex digest}`` by relative path.
        created_with: Library versions, for the reader of the file; not checked.
    """

    kind: str
    settings: Mapping[str, Any]
    passages: int
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    created_with: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def new_index(
    target: str | Path, kind: str, settings: Mapping[str, Any], passages: int | Callable[[], int]
) -> Iterator[Path]:
    """Give a temporary folder beside ``target`` to write data files into; it becomes ``target`` at the end.

    An index at ``target`` is replaced. When the body raises, ``target`` stays as it was. The number of passages may be
    a function, which is called at the end. A file linked from another index keeps the checksum that it has there.

    Raises:
        FileExistsError: ``target`` is a file, or a folder with anything but an index in it.
        ValueError: There are no passages.
        BusyError: Another writer is at it.
        DiskFullError: There is no room.
    """
    target = Path(target).resolve()
    if target.exists() and not _replaceable(target):
        raise FileExistsError(
            f"{target} is there already and is not an index, or holds more than one; choose another place or remove it"
        )
    with new_folder(target) as building:
        yield building
        count = passages() if callable(passages) else passages
        if not count:
            raise ValueError("the index is empty: add passages before saving it")
        manifest = Manifest(kind, settings, count, _describe_files(building), _library_versions())
        content = {"format": FORMAT, "version": VERSION, **asdict(manifest)}
        (building / MANIFEST_FILE).write_text(json.dumps(content, indent=2, ensure_ascii=False), encoding="utf-8")


def read_manifest(folder: str | Path) -> Manifest:
    """Read and check the manifest alone.

    Raises:
        FileNotFoundError: There is no such folder.
        IndexFormatError: It is no index, was written in another version of the format, or its manifest is damaged.
    """
    folder = Path(folder)
    if not find_folder(folder):
        raise FileNotFoundError(f"no such index folder: {folder}")
    path = folder / MANIFEST_FILE
    if not path.is_file():
        raise IndexFormatError(f"{folder} is not an index: it has no {MANIFEST_FILE}; {_AGAIN} to make one")
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise IndexFormatError(f"{path} is damaged ({error}); {_AGAIN}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise IndexFormatError(f"{folder} is not an index: its {MANIFEST_FILE} is not of the format {FORMAT!r}")
    written_version = content.get("version")
    if isinstance(written_version, int) and written_version > VERSION:
        raise IndexFormatError(
            f"{folder} was written in version {written_version} of the index format, and this installation "
            f"reads version {VERSION}; upgrade ragshap, or {_AGAIN}"
        )
    if isinstance(written_version, int) and written_version < VERSION:
        raise OldIndexError(
            f"{folder} was written in version {written_version} of the index format, and this installation "
            f"reads version {VERSION}; {_AGAIN}"
        )
    try:
        manifest = Manifest(**{name: content[name] for name in Manifest.__slots__})
        sound = (
            written_version == VERSION
            and isinstance(manifest.kind, str)
            and isinstance(manifest.settings, dict)
            and isinstance(manifest.passages, int)
            and all(
                _is_inside(name) and isinstance(entry["bytes"], int) and isinstance(entry["sha256"], str)
                for name, entry in manifest.files.items()
            )
        )
    except (KeyError, TypeError, AttributeError):
        sound = False
    if not sound:
        raise IndexFormatError(f"{path} is damaged: entries are missing or of the wrong type; {_AGAIN}")
    return manifest


def open_index(folder: str | Path, kind: str, *, verify: bool = True) -> Manifest:
    """Read the manifest and hold the files against it: presence and size, with ``verify`` also checksums.

    Raises:
        FileNotFoundError: There is no such folder.
        IndexFormatError: Anything does not fit; the message says what.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    if manifest.kind != kind:
        raise IndexFormatError(
            f"{folder} is an index of the kind {manifest.kind!r}, not {kind!r}; retrievers.load_index opens any kind"
        )
    for name, entry in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise IndexFormatError(f"{folder}: the file {name} is missing; {_AGAIN}")
        size = path.stat().st_size
        if size != entry["bytes"]:
            raise IndexFormatError(f"{path} has {size} bytes and should have {entry['bytes']}; {_AGAIN}")
        if verify and sha256_of(path) != entry["sha256"]:
            raise IndexFormatError(f"{path} is damaged: its checksum differs from the manifest's; {_AGAIN}")
        _checksums[_identity(path)] = entry["sha256"]
    return manifest


def map_array(path: Path, dtype: Any, n_dimensions: int = 1) -> NDArray[Any]:
    """An array of a data file, mapped from it; :class:`IndexFormatError` for everything else that a file can hold."""
    try:
        array = np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except Exception as error:  # numpy's parser of headers lets errors of many kinds through
        raise IndexFormatError(f"{path} cannot be read: {error}; {_AGAIN}") from error
    if not np.issubdtype(array.dtype, dtype) or array.ndim != n_dimensions:
        raise IndexFormatError(f"{path} holds {array.dtype} of the shape {array.shape}, not what it should; {_AGAIN}")
    return array


def check_count(folder: str | Path, what: str, found: int, expected: int) -> None:
    """Raise :class:`IndexFormatError` unless a data file holds as many passages as the manifest says."""
    if found != expected:
        raise IndexFormatError(f"{folder}: {what} hold {found} passages, the manifest says {expected}; {_AGAIN}")


def _is_inside(name: str) -> bool:
    """Whether a file's name leads to a place in the folder."""
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\0" not in name


def _replaceable(target: Path) -> bool:
    """Whether the folder is empty, or an index with nothing else in it that would be lost."""
    if not target.is_dir():
        return False
    names = {path.name for path in target.iterdir()}
    if not names:
        return True
    try:
        files = read_manifest(target).files
    except OldIndexError:
        files = json.loads((target / MANIFEST_FILE).read_text(encoding="utf-8"))["files"]
    except IndexFormatError:
        return False
    return names <= {MANIFEST_FILE} | {Path(name).parts[0] for name in files}


def _describe_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Sizes and checksums of all files; of a nested index only its manifest, which has the rest."""
    nested = [path.parent for path in folder.rglob(MANIFEST_FILE)]
    return {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": _checksum(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and (path.name == MANIFEST_FILE or not any(n in path.parents for n in nested))
    }


def _checksum(path: Path) -> str:
    identity = _identity(path)
    if identity not in _checksums:
        _checksums[identity] = sha256_of(path)
    return _checksums[identity]


def _identity(path: Path) -> tuple[int, ...]:
    """What a hard link shares with its original, and a file written in its place does not."""
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


@cache  # reading a package's metadata takes longer than writing a small index
def _library_versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version  # slow to import, and only needed for writing

    versions = {}
    for library in _LIBRARIES:
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            continue
    return versions
