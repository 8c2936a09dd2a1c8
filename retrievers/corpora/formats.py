"""Parsers of the public layouts of records; each turns one file into a stream of :class:`Record`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from retrievers.corpora.decoding import (
    BadLine,
    read_text,
    tolerant_lines,
)
from retrievers.corpora.records import STRICT, USUAL, Fields, Record, from_fields, optional_text
from retrievers.corpora.skips import Skips
from retrievers.errors import CorpusError
from retrievers.storage.json_text import parse_json


def read_jsonl(
    path: Path, fields: Fields = USUAL, *, name: str = "", encoding: str | None = None, skips: Skips = STRICT
) -> Iterator[Record]:
    """JSON Lines, BEIR's and MIRACL's included.

    Fields are ``id``, ``_id`` or ``docid``; ``text``, ``contents`` or ``passage``; ``title``. Every other field goes
    into the metadata, a ``metadata`` object item by item. Blank lines are skipped. With a ``name`` for the file, a line
    without an id is called ``<name>:<line>``.

    Raises:
        CorpusError: A line is no such object, or is not UTF-8 where ``skips`` are strict, as they are by default.
    """
    for number, line in enumerate(tolerant_lines(path, encoding), start=1):
        where = f"{path}, line {number}"
        if isinstance(line, BadLine):
            skips.unreadable(f"{where} ({line.byte})", line.reason)
            continue
        if not line.strip():
            continue
        try:
            value = parse_json(line)
        except json.JSONDecodeError as error:
            hint = '; a JSON array is read from a .json file, or with format="json"' if line.startswith("[") else ""
            raise CorpusError(f"{where}: not valid JSON ({error.msg} at column {error.colno}){hint}") from error
        if not isinstance(value, dict):
            raise CorpusError(f"{where}: expected a JSON object, got {type(value).__name__}")
        yield from_fields(value, where, fields, f"{name}:{number}" if name else "")


def read_json(path: Path, fields: Fields = USUAL, *, name: str = "", encoding: str | None = None) -> Iterator[Record]:
    """A JSON array of objects with the fields of :func:`read_jsonl`; without an id, the first is ``<name>:1``."""
    content = _whole_json(path, encoding)
    if not isinstance(content, list):
        raise CorpusError(f"{path}: expected a JSON array of objects, got {type(content).__name__}")
    for number, value in enumerate(content, start=1):
        where = f"{path}, item {number}"
        if not isinstance(value, dict):
            raise CorpusError(f"{where}: expected a JSON object, got {type(value).__name__}")
        yield from_fields(value, where, fields, f"{name}:{number}" if name else "")


def _whole_json(path: Path, encoding: str | None) -> Any:
    try:
        return parse_json(read_text(path, encoding))
    except json.JSONDecodeError as error:
        hint = '; JSON Lines are read with format="jsonl"' if error.msg == "Extra data" else ""
        raise CorpusError(f"{path}, line {error.lineno}: not valid JSON ({error.msg}){hint}") from error


def read_squad(path: Path, encoding: str | None = None) -> Iterator[Record]:
    """SQuAD JSON: each distinct paragraph of an article once, with the ids of :func:`squad_paragraphs`."""
    content = _whole_json(path, encoding)
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
        title = optional_text(article, "title", where)
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


def read_rows(rows: Iterable[Mapping[str, Any]], name: str, fields: Fields = USUAL) -> Iterator[Record]:
    """Rows of a Hugging Face data set, with the fields of :func:`read_jsonl`.

    A row without an id gets its number as id, from 0. Values that JSON cannot hold become strings, NaN and infinity
    null.
    """
    for number, row in enumerate(rows):
        values = json.loads(json.dumps(dict(row), default=str), parse_constant=lambda _: None)
        yield from_fields(values, f"{name}, row {number}", fields, str(number))
