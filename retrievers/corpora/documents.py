"""Files that are one document each: what text they hold, and on which page and under which heading it stands."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from retrievers.corpora.decoding import read_text
from retrievers.corpora.records import USUAL, Fields, Record
from retrievers.corpora.skips import INSTALL, Skips
from retrievers.corpora.tables import read_table
from retrievers.errors import CorpusError

Block = tuple[str, Mapping[str, Any]]
"""A text, and what holds from its beginning on: ``{"page": 3}``, ``{"heading": "Fees"}``, or nothing new."""

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r"[^\S\n]{0,3}#{1,6}[^\S\n]+(\S.*)")
_UNDERLINE = re.compile(r"([=\-~^\"'`#*+.:_])\1{2,}\s*")
_FRONT_MATTER = re.compile(r"---[^\S\n]*\n(.*?\n|)(?:---|\.\.\.)[^\S\n]*(?:\n|\Z)", re.DOTALL)
_MOST_FRONT_MATTER = 2**16  # characters


def read_document(
    path: Path, name: str, *, fields: Fields = USUAL, encoding: str | None = None, skips: Skips
) -> list[Record]:
    """The records of a file of one of :data:`KINDS`: one, but for a table one for each row.

    The id is ``name``. The title is the document's own, else the first heading of Markdown and reStructuredText, else
    the name of the file.

    Raises:
        CorpusError: The file is damaged, protected, or of another kind than its name says, or the extra ``documents``
            is not installed.
    """
    suffix = kind_of(path)
    if suffix in _TABLES:
        return list(read_table(path, fields, name=name, encoding=encoding, skips=skips))
    title, metadata, text, marks = KINDS[suffix](path, encoding, partial(skips.other, document=name), name)
    stem = Path(path.name.removesuffix(".gz")).stem
    return [Record(str(path), name, text, title.strip() or (stem if text.strip() else ""), metadata, marks)]


def kind_of(path: Path) -> str:
    """The suffix that tells the kind of a file, lower case; that of the unpacked file for ``.txt.gz`` and the like."""
    suffixes = path.suffixes[-2:]
    packed = len(suffixes) == 2 and suffixes[1].lower() == ".gz" and suffixes[0].lower() in _MAY_BE_PACKED
    return (suffixes[0] if packed else path.suffix).lower()


Content = tuple[str, Mapping[str, Any], str, tuple[tuple[int, Mapping[str, Any]], ...]]
"""Title, metadata, text and marks (see :class:`Record`)."""
Note = Callable[[str, str], None]
"""Called with a place and the reason why its text is missing."""


def _plain(path: Path, encoding: str | None, note: Note, name: str) -> Content:
    return "", {}, _lines_ended(read_text(path, encoding)), ()


def _markdown(path: Path, encoding: str | None, note: Note, name: str) -> Content:
    front, text = _front_matter(_lines_ended(read_text(path, encoding)))
    title = front.pop("title", "")
    marks = tuple((at, {"heading": heading}) for at, heading in _headings(text))
    first = marks[0][1]["heading"] if marks else ""
    return str(title or first), front, text, marks


def _restructured(path: Path, encoding: str | None, note: Note, name: str) -> Content:
    text = _lines_ended(read_text(path, encoding))
    marks, at, before = [], 0, ""
    for line in text.splitlines(keepends=True):
        underlined = before.strip() and _UNDERLINE.fullmatch(line) and len(line.rstrip()) >= len(before.rstrip())
        if underlined and not _UNDERLINE.fullmatch(before):
            marks.append((at - len(before), {"heading": before.strip()}))
        at, before = at + len(line), line
    return marks[0][1]["heading"] if marks else "", {}, text, tuple(marks)


def _lines_ended(text: str) -> str:
    return re.sub(r"\r\n?", "\n", text)


def _headings(text: str) -> Iterator[tuple[int, str]]:
    """Offset and words of each Markdown heading that does not stand in a code fence."""
    at, fence = 0, ""
    for line in text.splitlines(keepends=True):
        mark = _FENCE.match(line)
        if fence:
            if mark and mark[1].startswith(fence) and not line[mark.end() :].strip():
                fence = ""
        elif mark:
            fence = mark[1]
        elif found := _HEADING.match(line):
            words = found[1].rstrip()
            yield at, words.rstrip("#").rstrip() or words
        at += len(line)


def _front_matter(text: str) -> tuple[dict[str, Any], str]:
    """The fields of YAML between two lines ``---`` at the beginning, and the text behind; no fields if it is none."""
    found = _FRONT_MATTER.match(text)
    if not found or len(found[1]) > _MOST_FRONT_MATTER:
        return {}, text
    import yaml

    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(found[1], Loader=yaml.SafeLoader)):
            return {}, text  # a few lines of aliases can stand for gigabytes
        fields = yaml.safe_load(found[1])
        if not isinstance(fields, dict):
            return {}, text
        plain = json.loads(json.dumps({str(key): value for key, value in fields.items()}, default=str, allow_nan=False))
    except Exception:  # no YAML, so it is text; a tag's conversion raises whatever it raises
        return {}, text
    return plain, text[found.end() :]


def joined(blocks: list[Block]) -> tuple[str, tuple[tuple[int, Mapping[str, Any]], ...]]:
    """Blocks with a blank line between them, and the marks of the whole."""
    marks, at = [], 0
    for text, mark in blocks:
        if mark:
            marks.append((at, mark))
        at += len(text) + 2
    return "\n\n".join(text for text, _ in blocks), tuple(marks)


def _with_extra(module: str, reader: str) -> Callable[[Path, str | None, Note, str], Content]:
    """A reader that needs the extra ``documents``, imported when the first such file is read."""

    def read(path: Path, encoding: str | None, note: Note, name: str) -> Content:
        try:
            module_read = getattr(import_module(f"retrievers.corpora.{module}"), reader)
        except ImportError as error:
            raise CorpusError(f"{path}: needs {INSTALL}") from error
        title, metadata, blocks = module_read(path, encoding, note, name)
        return (title, metadata, *joined(blocks))

    return read


KINDS: dict[str, Callable[[Path, str | None, Note, str], Content]] = {
    ".txt": _plain,
    ".text": _plain,
    ".md": _markdown,
    ".markdown": _markdown,
    ".rst": _restructured,
    ".pdf": _with_extra("pdf", "read_pdf"),
    ".html": _with_extra("html", "read_html"),
    ".htm": _with_extra("html", "read_html"),
    ".xhtml": _with_extra("html", "read_html"),
    ".epub": _with_extra("html", "read_epub"),
    ".docx": _with_extra("office", "read_docx"),
    ".pptx": _with_extra("office", "read_pptx"),
}
_TABLES = {".csv", ".tsv"}
_MAY_BE_PACKED = {".txt", ".text", ".md", ".markdown", ".rst", ".csv", ".tsv", ".html", ".htm"}
SUFFIXES = {*KINDS, *_TABLES}
"""Of the files that :func:`read_document` reads."""
