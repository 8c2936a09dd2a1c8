"""Which layout a file or folder has, and which of its files belong to it."""

from __future__ import annotations

import gzip
import os
import re
from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from retrievers.corpora.decoding import BROKEN_GZIP, encoding_of, packed_or_plain
from retrievers.corpora.documents import SUFFIXES, kind_of
from retrievers.corpora.skips import Skips
from retrievers.corpora.tables import is_dpr
from retrievers.errors import CorpusError

KNOWN = (
    "a BEIR folder (corpus.jsonl), JSON Lines (.jsonl), a JSON array or SQuAD (.json), a table (.csv, .tsv), a folder "
    "of documents (.txt, .md, .rst, .pdf, .html, .docx, .pptx, .epub, .csv), a Hugging Face data set "
    "(hf:NAME[:CONFIG][:SPLIT], a folder written by save_to_disk, or .parquet files); text formats may be .gz"
)
_LAYOUTS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "hf",
    ".json": "json",
    **dict.fromkeys(SUFFIXES, "folder"),
}
_RECORDS = {".jsonl", ".ndjson", ".json"}
_IN_FOLDERS = {"jsonl", "hf", "folder"}  # what a folder may be without being asked for
_NAMES = {"jsonl": "JSON Lines", "hf": "Parquet", "folder": "documents"}
_OF_FORMAT = {"jsonl": "jsonl", "json": "json", "squad": "json", "hf": "hf", "folder": "folder"}
_NEVER = {"node_modules", "__pycache__"}
_WITH_BEIR = re.compile(r"queries\.jsonl(\.gz)?|qrels/.*|(readme|licen[cs]e|notice)(\.\w+)?", re.IGNORECASE)


def find_files(
    path: Path, format: str, *, include: Sequence[str], exclude: Sequence[str], skips: Skips
) -> tuple[str, list[Path]]:
    """The layout of a file or folder, and the files of it that belong to that layout, in order of their paths.

    What does not belong to it is put on ``skips``, except for what BEIR folders and saved data sets hold beside.

    Raises:
        CorpusError: The layout is unknown, or is several.
    """
    if path.is_file():
        return _layout_of_file(path) if format == "auto" else format, [path]
    if is_saved_dataset(path) and format in ("auto", "hf"):
        return "hf", [path]
    beir = packed_or_plain(path / "corpus.jsonl")
    files = _chosen(path, include, exclude, skips)
    if beir is not None and format in ("auto", "beir"):
        rest = [file for file in files if file != beir and not _WITH_BEIR.fullmatch(_name(file, path))]
        _leave_out(rest, path, "beside a BEIR corpus; index them by themselves", skips)
        return "beir", [beir]
    by_layout: dict[str | None, list[Path]] = {}
    for file in files:
        by_layout.setdefault(_of_suffix(file), []).append(file)
    layout = _layout_of_folder(path, by_layout) if format == "auto" else format
    if layout == "dpr":
        wanted = [file for file in by_layout.get("folder", []) if kind_of(file) == ".tsv"]
    elif layout == "table":
        wanted = [file for file in by_layout.get("folder", []) if kind_of(file) in (".tsv", ".csv")]
    else:
        wanted = by_layout.get(_OF_FORMAT.get(layout, ""), [])
    if not wanted:
        raise CorpusError(f"{path}: format={layout!r} cannot read this folder, which holds {_counts(files)}")
    chosen = set(wanted)
    for file in files:
        if file not in chosen:
            _leave_out([file], path, f"of the type {_suffix(file)}, which is not read here", skips)
    return layout, wanted


def is_saved_dataset(path: Path) -> bool:
    """Whether a folder was written by ``save_to_disk`` of ``datasets``."""
    split = all((path / name).is_file() for name in ("dataset_info.json", "state.json"))
    return split or (path / "dataset_dict.json").is_file()


def _layout_of_file(path: Path) -> str:
    if path.name in {"corpus.jsonl", "corpus.jsonl.gz"}:
        beside = (packed_or_plain(path.parent / "queries.jsonl"), path.parent / "qrels")
        if any(file is not None and file.exists() for file in beside):
            return "beir"
    layout = _of_suffix(path)
    if layout is None:
        raise CorpusError(f"{path}: cannot tell the layout from the suffix {_suffix(path)!r}; known are {KNOWN}")
    if layout == "json":
        return "json" if _beginning(path).lstrip("\ufeff \t\r\n").startswith("[") else "squad"
    if kind_of(path) == ".tsv":
        return "dpr" if is_dpr(path) else "table"
    return "table" if kind_of(path) == ".csv" else layout


def _beginning(path: Path) -> str:
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            raw = file.read(256)
    except BROKEN_GZIP:
        return ""  # the reader says what is wrong
    return raw.decode(encoding_of(raw, None), "replace")


def _layout_of_folder(path: Path, by_layout: dict[str | None, list[Path]]) -> str:
    found = [layout for layout in by_layout if layout in _IN_FOLDERS]
    if len(found) == 1 and found[0] is not None:
        return found[0]
    files = [file for group in by_layout.values() for file in group]
    if not found:
        more = "; name the .json file itself, or give --format" if by_layout.get("json") else ""
        raise CorpusError(
            f"{path}: cannot tell the layout of this folder, which holds {_counts(files)}; known are {KNOWN}{more}"
        )
    layouts = [f"{len(by_layout[name])} of {_NAMES[name]}" for name in found if name]
    formats = " or ".join(f"--format {name}" for name in found)
    raise CorpusError(
        f"{path} holds files of several layouts: {' and '.join(layouts)}; say which to read ({formats}), or choose "
        "files with --include or --exclude"
    )


def _chosen(root: Path, include: Sequence[str], exclude: Sequence[str], skips: Skips) -> list[Path]:
    """The folder's files that are neither hidden nor left out by patterns, in order."""
    found: list[Path] = []
    base = root.resolve()

    def unlisted(error: OSError) -> None:
        skips.unreadable(_name(Path(error.filename), root), "cannot be listed")  # of documents that nobody can name

    for here, folders, files in os.walk(root, onerror=unlisted):
        hidden = [name for name in (*folders, *files) if name.startswith(".") or name in _NEVER]
        links = [name for name in folders if name not in hidden and (Path(here) / name).is_symlink()]
        for names, reason in ((hidden, "hidden"), (links, "a link to a folder, which is not followed")):
            _leave_out([Path(here) / name for name in names], root, reason, skips)
        folders[:] = [name for name in folders if name not in hidden and name not in links]
        for path in (Path(here) / name for name in files if name not in hidden):
            name = _name(path, root)
            if path.is_symlink() and not path.is_file():
                skips.other(name, "a broken link", name)
            elif not path.is_file():
                skips.other(name, "neither a file nor a folder", name)
            elif _matches(name, exclude) or (include and not _matches(name, include)):
                skips.other(name, "by --include or --exclude", name)
            elif path.is_symlink() and not path.resolve().is_relative_to(base):
                skips.unreadable(
                    name, f"a link to {path.resolve()}, outside of the folder; copy the file or remove it", name
                )
            else:
                found.append(path)
    return sorted(found)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a pattern fits a relative path, one of the folders that it leads through, or its last name."""
    parts = name.split("/")
    heads = ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
    return any(
        any(fnmatch(text, pattern.rstrip("/")) for text in (heads if "/" in pattern.rstrip("/") else parts))
        for pattern in patterns
    )


def _leave_out(files: Sequence[Path], root: Path, reason: str, skips: Skips) -> None:
    for file in files:
        skips.other(_name(file, root), reason, _name(file, root))


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def _of_suffix(path: Path) -> str | None:
    kind = kind_of(path)
    if kind == ".gz":
        kind = _suffix(path)
        return _LAYOUTS.get(kind) if kind in _RECORDS else None
    return _LAYOUTS.get(kind)


def _suffix(path: Path) -> str:
    return Path(path.name.removesuffix(".gz")).suffix.lower() or path.name


def _counts(files: Sequence[Path]) -> str:
    counts = Counter(_suffix(file) for file in files)
    return ", ".join(f"{count} {suffix}" for suffix, count in counts.most_common(8)) or "no files"
