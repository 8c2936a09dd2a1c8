"""Tables of records: DPR's, MS MARCO's, and any other with names of columns."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from retrievers.corpora.decoding import LONGEST_LINE, BadLine, decoded_lines, tolerant_lines
from retrievers.corpora.records import STRICT, USUAL, Fields, Record, from_fields, id_of, title_of
from retrievers.corpora.skips import Skips
from retrievers.errors import CorpusError

_DPR_HEADER = ["id", "text", "title"]
_FIELD = re.compile(r'"((?:[^"]|"")*)"(?=\t|$)|([^\t]*)')
_NUMBER = re.compile(r"[-+]?[\d.,' ]*\d[\d.,' ]*%?")
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_YEAR = re.compile(r"[12]\d{3}")


def is_dpr(path: Path, encoding: str | None = None) -> bool:
    """Whether the first line of a table is that of :func:`read_dpr`."""
    first = next((line for line in tolerant_lines(path, encoding) if isinstance(line, str)), "")
    row = _tab_fields(first)[0]
    return sorted(row) == _DPR_HEADER or _is_collection(row)


def read_dpr(path: Path, *, encoding: str | None = None, skips: Skips = STRICT) -> Iterator[Record]:
    """Tab-separated ``id, text, title`` with that header, quoted like DPR's ``psgs_w100.tsv``.

    Also MS MARCO's ``collection.tsv``, which has two columns, id and text, and no header.
    """
    rows = _tab_rows(path, encoding, skips)
    first = next(rows, (1, []))
    header = first[1]
    if _is_collection(header):
        header, rows = ["id", "text"], chain([first], rows)
    elif header and sorted(header) != _DPR_HEADER:
        raise CorpusError(f"{path}, line 1: expected the header id, text, title (tab-separated), got {header[:8]}")
    for number, row in rows:
        where = f"{path}, line {number}"
        if len(row) != len(header):
            raise CorpusError(f"{where}: expected {len(header)} tab-separated fields, got {len(row)}")
        yield from_fields(dict(zip(header, row, strict=True)), where, USUAL, "")


def _is_collection(row: list[str]) -> bool:
    return len(row) == 2 and row[0].isdecimal()


def read_table(
    path: Path, fields: Fields = USUAL, *, name: str, encoding: str | None = None, skips: Skips = STRICT
) -> Iterator[Record]:
    """A table with a header line, its fields separated by commas, semicolons, tabs or bars; a row is a record.

    The columns of id, text and title are named as the fields of :func:`retrievers.corpora.formats.read_jsonl` are.
    Where no column is named as a text is, a row is ``column: value`` for each of its fields that is not blank, one on
    a line. A row without an id is called ``<name>:<row>``, the first row below the header being 1, which stands in the
    metadata too. A header without a separator is that of one column, in whose texts commas are nothing but commas.
    """
    separator = _separator(path, encoding)
    rows = _tab_rows(path, encoding, skips) if separator == "\t" else _csv_rows(path, encoding, separator)
    header = _names(next(rows, (1, []))[1], path)
    named = fields.text is not None or any(field in header for field in fields.texts)
    for place, (number, row) in enumerate(rows, start=1):
        if not any(cell.strip() for cell in row):
            continue
        where, row_id = f"{path}, line {number}", f"{name}:{place}"
        if len(header) == 1 and separator == ",":
            row = [",".join(row)]  # a text that ought to be quoted
        names = [*header, *(f"column {extra}" for extra in range(len(header) + 1, len(row) + 1))]
        values = dict(zip(names, [*row, *[""] * (len(names) - len(row))], strict=True))
        if named:
            record = from_fields(values, where, fields, row_id)
        else:
            text = "\n".join(f"{column}: {value.strip()}" for column, value in values.items() if value.strip())
            title = title_of(values, where, fields)
            record = Record(where, id_of(values, where, fields, row_id), text, title, {})
        yield record._replace(metadata={**record.metadata, "row": place})


def _separator(path: Path, encoding: str | None) -> str:
    """The separator that a header has most of outside of quotation marks; that of the suffix where it has none."""
    header = _QUOTED.sub("", next(decoded_lines(path, encoding), ""))
    usual = "\t" if path.name.lower().removesuffix(".gz").endswith(".tsv") else ","
    return max((usual, *"\t,;|"), key=header.count)


def _names(header: list[str], path: Path) -> list[str]:
    """Names of columns; ``CorpusError`` if a first row is data: it has a number that is no year, or a name twice."""
    names = [cell.strip() for cell in header]
    known = [cell for cell in names if cell]
    numbers = [cell for cell in known if _NUMBER.fullmatch(cell) and not _YEAR.fullmatch(cell)]
    if header and (not known or numbers or len(set(known)) < len(known)):
        reason = f"{numbers[0]!r} is no name" if numbers else "names are missing or occur twice"
        raise CorpusError(
            f"{path}, line 1: expected the header id, text, title or other names of columns, got {header[:8]} "
            f"({reason}); add a line with the names"
        )
    return [cell or f"column {place}" for place, cell in enumerate(names, start=1)]


def _csv_rows(path: Path, encoding: str | None, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Rows and the numbers of their first lines, with fields of any length."""
    rows = csv.reader(decoded_lines(path, encoding), delimiter=separator, strict=True)
    while True:
        start = rows.line_num + 1
        before = csv.field_size_limit(LONGEST_LINE)  # the module has one limit for the whole process
        try:
            row = next(rows, None)
        except csv.Error as error:
            raise CorpusError(
                f"{path}, line {start}: the row that begins here cannot be read ({error}); is a quotation mark left "
                "open?"
            ) from error
        finally:
            csv.field_size_limit(before)
        if row is None:
            return
        if row:
            yield start, row


def _tab_rows(path: Path, encoding: str | None, skips: Skips) -> Iterator[tuple[int, list[str]]]:
    """Rows and the numbers of their lines.

    A field is quoted if one quotation mark opens it and another closes it; a mark that is never closed is a character
    like others. A quoted field may hold ends of lines, but no line that is a whole row by itself.
    """
    pending, start, width = "", 0, 0
    for number, line in enumerate(tolerant_lines(path, encoding), start=1):
        if isinstance(line, BadLine):
            skips.unreadable(f"{path}, line {number} ({line.byte})", line.reason)
            continue
        row, is_open = _tab_fields(line)
        if pending and len(row) < width and len(pending) < LONGEST_LINE:
            pending += line
            row, is_open = _tab_fields(pending)
            if len(row) == width and not is_open:
                yield start, row
                pending = ""
            continue
        if pending:
            yield start, _tab_fields(pending)[0]
            pending = ""
        if width and is_open:
            pending, start = line, number
        elif row != [""]:
            width = width or len(row)
            yield number, row
    if pending:
        yield start, _tab_fields(pending)[0]


def _tab_fields(line: str) -> tuple[list[str], bool]:
    """Fields of a row, and whether one begins with a quotation mark that is not closed."""
    bare = line.rstrip("\r\n")
    if '"' not in bare:
        return bare.split("\t"), False
    row, at, is_open = [], 0, False
    while at <= len(bare):
        found = _FIELD.match(bare, at)
        assert found  # the second alternative matches everything
        quoted, plain = found.groups()
        row.append(plain if quoted is None else quoted.replace('""', '"'))
        is_open = is_open or (plain or "").startswith('"')
        at = found.end() + 1
    return row, is_open
