"""Parsers of the public corpus layouts; each turns one source into a stream of :class:`Record`."""

from __future__ import annotations

import csv
import gzip
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from retrievers.errors import CorpusError
from retrievers.storage.json_text import parse_json

_ID_FIELDS = ("id", "_id", "docid")
_TEXT_FIELDS = ("text", "contents", "passage")
_CARRIAGE_RETURN = re.compile(r"(?<=\r)(?!\n|\Z)")  # one that ends a line by itself
_HEADING = re.compile(r"^[^\S\n]{0,3}#{1,6}[^\S\n]+(\S.*)", re.MULTILINE)
LONGEST_LINE = 64 * 2**20  # bytes
_MOST_EXPANDED, _EXPANSION = 256 * 2**20, 50  # bytes of a compressed file that is held whole, or times its own size
BROKEN_GZIP = (EOFError, gzip.BadGzipFile, zlib.error)


class Record(NamedTuple):
    """One document as its source has it, and where it stands there (``"corpus.jsonl, line 3"``)."""

    where: str
    id: str
    text: str
    title: str
    metadata: Mapping[str, Any]


def read_jsonl(path: Path) -> Iterator[Record]:
    """JSON Lines, BEIR's and MIRACL's included.

    Fields are ``id``, ``_id`` or ``docid``; ``text``, ``contents`` or ``passage``; ``title``. Every other field goes
    into the metadata, a ``metadata`` object item by item. Blank lines are skipped.
    """
    for number, line in enumerate(decoded_lines(path), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            value = parse_json(line)
        except json.JSONDecodeError as error:
            raise CorpusError(f"{where}: not valid JSON ({error.msg} at column {error.colno})") from error
        if not isinstance(value, dict):
            raise CorpusError(f"{where}: expected a JSON object, got {type(value).__name__}")
        yield _record_from_fields(value, where)


def read_dpr(path: Path) -> Iterator[Record]:
    """Tab-separated ``id, text, title`` with that header, quoted like DPR's ``psgs_w100.tsv``.

    Without a header and with two columns it is MS MARCO's ``collection.tsv``, which quotes nothing.
    """
    first = next(decoded_lines(path), "").rstrip("\r\n").split("\t")
    if len(first) == 2 and not {"id", "text"} & {name.strip('"').lower() for name in first}:
        yield from _read_collection(path)
        return
    rows = csv.reader(decoded_lines(path), delimiter="\t")
    try:
        header = next(rows, [])
        if sorted(header) != ["id", "text", "title"]:
            raise CorpusError(f"{path}, line 1: expected the header id, text, title (tab-separated), got {header}")
        for row in rows:
            where = f"{path}, line {rows.line_num}"
            if not row:
                continue
            if len(row) != len(header):
                raise CorpusError(f"{where}: expected {len(header)} tab-separated fields, got {len(row)}")
            yield _record_from_fields(dict(zip(header, row, strict=True)), where)
    except csv.Error as error:
        raise CorpusError(f"{path}, line {rows.line_num}: {error}; is a quotation mark left open?") from error


def _read_collection(path: Path) -> Iterator[Record]:
    for number, line in enumerate(decoded_lines(path), start=1):
        where, fields = f"{path}, line {number}", line.rstrip("\r\n").split("\t")
        if fields == [""]:
            continue
        if len(fields) != 2:
            raise CorpusError(f"{where}: expected 2 tab-separated fields (id, text), got {len(fields)}")
        yield _record_from_fields({"id": fields[0], "text": fields[1]}, where)


def read_squad(path: Path) -> Iterator[Record]:
    """SQuAD JSON: each distinct paragraph of an article once, with the ids of :func:`squad_paragraphs`."""
    try:
        content = parse_json(read_text(path))
    except json.JSONDecodeError as error:
        hint = '; JSON Lines are read with format="jsonl"' if error.msg == "Extra data" else ""
        raise CorpusError(f"{path}, line {error.lineno}: not valid JSON ({error.msg}){hint}") from error
    seen: set[str] = set()
    for record, _ in squad_paragraphs(content, path):
        if record.id not in seen:
            seen.add(record.id)
            yield record


def squad_paragraphs(content: Any, path: Path) -> Iterator[tuple[Record, Mapping[str, Any]]]:
    """Every paragraph of parsed SQuAD JSON, as a record and as it is; a repeated one keeps its article's first record.

    The id is ``<file>/<title>/<number>``, so that a corpus of the file and the questions in it name their passages
    alike, and several files together name theirs apart. Underscores in titles are read as spaces.
    """
    if not isinstance(content, dict) or not isinstance(content.get("data"), list):
        raise CorpusError(f'{path}: not SQuAD JSON, which is an object with a list "data" of articles')
    file = path.name.removesuffix(".gz").removesuffix(".json")
    first: dict[tuple[str, str], Record] = {}
    counts: dict[str, int] = {}
    for article_number, article in enumerate(content["data"]):
        where = f"{path}, article {article_number}"
        if not isinstance(article, dict) or not isinstance(article.get("paragraphs"), list):
            raise CorpusError(f'{where}: not SQuAD JSON, expected an object with a list "paragraphs"')
        title = _optional_text(article, "title", where)
        name = f"{file}/{title.replace(' ', '_')}" if title else file
        for paragraph_number, paragraph in enumerate(article["paragraphs"]):
            here = f"{where}, paragraph {paragraph_number}"
            if not isinstance(paragraph, dict) or not isinstance(paragraph.get("context"), str):
                raise CorpusError(f'{here}: not SQuAD JSON, expected an object with a string "context"')
            context = paragraph["context"]
            if (name, context) not in first:
                number = counts[name] = counts.get(name, -1) + 1
                first[name, context] = Record(here, f"{name}/{number}", context, title.replace("_", " "), {})
            yield first[name, context], paragraph


def read_text_files(root: Path) -> Iterator[Record]:
    r"""A folder's ``.txt`` and ``.md`` files, or one such file; hidden files and folders are skipped.

    The id is the path relative to the folder; the title is the first Markdown heading, else the file name. A
    text keeps its own offsets: a heading at its start is both title and text. Newlines are read as ``\n``.
    """
    base = root if root.is_dir() else root.parent
    for path in text_files(root):
        text = re.sub(r"\r\n?", "\n", read_text(path))
        title = (_heading(text) if path.suffix.lower() == ".md" else "") or path.stem
        yield Record(str(path), path.relative_to(base).as_posix(), text, title, {})


def _heading(text: str) -> str:
    """The first Markdown heading without the marks around it, or ``""``."""
    if not (found := _HEADING.search(text)):
        return ""
    line = found.group(1).rstrip()
    return line.rstrip("#").rstrip() or line


def text_files(root: Path) -> list[Path]:
    """The ``.txt`` and ``.md`` files that :func:`read_text_files` reads, in order.

    Raises:
        CorpusError: A symbolic link leads out of the folder, to what may never have been meant to be read.
    """
    if root.is_file():
        return [root]
    visible = (p for p in root.rglob("*") if not any(part.startswith(".") for part in p.relative_to(root).parts))
    found = sorted(path for path in visible if path.suffix.lower() in {".txt", ".md"} and path.is_file())
    base = root.resolve()
    for path in found:
        if path.is_symlink() and not path.resolve().is_relative_to(base):
            raise CorpusError(
                f"{path} is a link to {path.resolve()}, outside of the folder; copy the file or remove it"
            )
    return found


def read_rows(rows: Iterable[Mapping[str, Any]], name: str) -> Iterator[Record]:
    """Rows of a Hugging Face data set, with the fields of :func:`read_jsonl`.

    A row without an id gets its number as id. Values that JSON cannot hold become strings, NaN and infinity null.
    """
    for number, row in enumerate(rows):
        fields = json.loads(json.dumps(dict(row), default=str), parse_constant=lambda _: None)
        if not any(field in fields for field in _ID_FIELDS):
            fields["id"] = str(number)
        yield _record_from_fields(fields, f"{name}, row {number}")


def _record_from_fields(fields: dict[str, Any], where: str) -> Record:
    id_field = next((field for field in _ID_FIELDS if field in fields), None)
    text_field = next((field for field in _TEXT_FIELDS if field in fields), None)
    if id_field is None:
        raise CorpusError(f"{where}: no id; expected a field named {' or '.join(_ID_FIELDS)}, got {list(fields)}")
    doc_id = fields[id_field]
    if isinstance(doc_id, bool) or not isinstance(doc_id, str | int) or doc_id == "":
        raise CorpusError(f"{where}: the id must be a non-empty string or a whole number, got {doc_id!r}")
    if text_field is None:
        raise CorpusError(
            f"{where}: passage {str(doc_id)!r} has no text; "
            f"expected a field named {', '.join(_TEXT_FIELDS)}, got {list(fields)}"
        )
    nested = fields.get("metadata")
    used = {id_field, text_field, "title"} | ({"metadata"} if isinstance(nested, dict) else set())
    metadata = {key: value for key, value in fields.items() if key not in used}
    if isinstance(nested, dict):
        metadata |= nested
    text = _optional_text(fields, text_field, where)
    return Record(where, str(doc_id), text, _optional_text(fields, "title", where), metadata)


def _optional_text(fields: Mapping[str, Any], field: str, where: str) -> str:
    value = fields.get(field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise CorpusError(f"{where}: field {field!r} must be a string, got {type(value).__name__}")
    return value


def decoded_lines(path: Path) -> Iterator[str]:
    r"""Lines of a UTF-8 file, ``.gz`` or not, with their ends (``\n``, ``\r\n``, ``\r``, also mixed).

    A byte order mark is dropped.

    Raises:
        CorpusError: The file is not UTF-8 or not gzip, or a line has more than 64 MiB; of a compressed file, no more
            than that is held at once.
    """
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        number = 0
        try:
            while raw := file.readline(LONGEST_LINE + 1):
                if len(raw) > LONGEST_LINE:
                    raise CorpusError(f"{path}, line {number + 1}: longer than {LONGEST_LINE // 2**20} MiB")
                text = raw.decode("utf-8-sig" if number == 0 else "utf-8")
                for line in _CARRIAGE_RETURN.split(text) if "\r" in text else (text,):
                    number += 1
                    yield line
        except UnicodeDecodeError as error:
            byte = error.object[error.start]
            raise CorpusError(
                f"{path}, line {number + 1}: not valid UTF-8 (byte 0x{byte:02x} at byte {error.start})"
            ) from error
        except BROKEN_GZIP as error:
            raise CorpusError(f"{path}, after line {number}: damaged gzip file ({error})") from error


def read_text(path: Path) -> str:
    """The whole text of a UTF-8 file, ``.gz`` or not, without a byte order mark.

    Raises:
        CorpusError: The file is not UTF-8 or not gzip, or expands to more than 256 MiB and 50 times its size.
    """
    if path.suffix != ".gz":
        raw = path.read_bytes()
    else:
        most = max(_MOST_EXPANDED, _EXPANSION * path.stat().st_size)
        try:
            with gzip.open(path, "rb") as file:
                raw = file.read(most + 1)
        except BROKEN_GZIP as error:
            raise CorpusError(f"{path}: damaged gzip file ({error})") from error
        if len(raw) > most:
            raise CorpusError(f"{path} expands to more than {most // 2**20:,} MiB; unpack it first, if that is right")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, byte = raw.count(b"\n", 0, error.start) + 1, raw[error.start]
        raise CorpusError(f"{path}, line {line}: not valid UTF-8 (byte 0x{byte:02x})") from error
