"""Questions without passages: JSON of NQ-open, TriviaQA, FlashRAG, KILT or BRIGHT, tables, and retrieval topics."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from rag.questions.fields import ANSWER_FIELDS, ID_FIELDS, TEXT_FIELDS, Entry, spelled_list
from rag.questions.question import Question, QuestionSet
from retrievers import CorpusError
from retrievers.corpora.decoding import decoded_lines

_HEADER_IDS = {*ID_FIELDS, "query-id", "queryid", "topic_id", "topic", "number"}
_UNREAD = ("entity_pages", "search_results")  # whole pages, which TriviaQA's reading version brings
_QUOTED = re.compile(r'"((?:[^"]|"")*)"')
TABLES = (
    "a header that names question and possible_answers (PopQA), answers or id, "
    "or two tab-separated columns: id and question, or question and ['answer', …]"
)


def read_open(entries: Sequence[Entry]) -> QuestionSet:
    """Entries with a question and, in any field that `fields` knows, accepted answers; the rest becomes metadata.

    Of BRIGHT, `gold_ids` and `excluded_ids` become metadata, which evaluations of retrieval read.
    """
    unread = sorted({field for entry in entries for field in _UNREAD if entry.value.get(field)})
    notes = [f"the passages in {' and '.join(unread)} are not read; give a corpus"] if unread else []
    return QuestionSet([], [_question(entry) for entry in entries], notes)


def _question(entry: Entry) -> Question:
    answers, name = entry.answers, entry.id
    return Question(name, entry.text, answers or (), name, metadata=entry.rest(), answers_given=answers is not None)


def read_table(path: Path) -> QuestionSet:
    """Questions in columns: with a header, PopQA among others; without, DPR's (question, list of answers) or topics.

    Columns are tab-separated, or in a file with a header comma-separated. The first line is a header if it names a
    column of questions, and beside it one of answers or ids.

    Raises:
        CorpusError: the columns are none of these; names file and line.
    """
    first = next(decoded_lines(path), "").rstrip("\r\n")
    delimiter = "\t" if "\t" in first else ","
    header = [name.strip().strip('"').lower() for name in first.split(delimiter)]
    texts = {*TEXT_FIELDS, "text"} if len(header) == 2 else {*TEXT_FIELDS}
    if texts & set(header) and (_HEADER_IDS | {*ANSWER_FIELDS}) & set(header):
        return read_open(list(_rows(path, delimiter, header)))
    lines = [(number, line.rstrip("\r\n").split("\t")) for number, line in enumerate(decoded_lines(path), start=1)]
    if lines and len(lines[0][1]) != 2:
        raise CorpusError(f"{path}, line 1: cannot tell the layout of {len(lines[0][1])} columns; expected {TABLES}")
    return read_open(list(_pairs(path, [(number, fields) for number, fields in lines if fields != [""]])))


def _rows(path: Path, delimiter: str, header: Sequence[str]) -> Iterator[Entry]:
    """The rows under a header, whose columns of ids and questions get the names that JSON has."""
    names = list(header)
    for known, name in (((*TEXT_FIELDS, "text"), "question"), (_HEADER_IDS, "id")):
        if name not in names and (own := next((one for one in names if one in known), None)):
            names[names.index(own)] = name
    lines = decoded_lines(path)
    next(lines)
    rows = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        for number, row in enumerate((row for row in rows if row), start=1):
            where = f"{path}, line {rows.line_num + 1}"
            if len(row) != len(names):
                raise CorpusError(f"{where}: the header has {len(names)} columns, this row {len(row)}")
            yield Entry(where, f"{path.stem}/{number}", dict(zip(names, row, strict=True)))
    except csv.Error as error:
        where = f"{path}, line {rows.line_num + 1}"
        raise CorpusError(f"{where}: {error}; is a quotation mark left open?") from error


def _pairs(path: Path, lines: Sequence[tuple[int, list[str]]]) -> Iterator[Entry]:
    """The lines of two columns: all with a list of answers, or none."""
    rows = []
    for number, fields in lines:
        where = f"{path}, line {number}"
        if len(fields) != 2:
            raise CorpusError(f"{where}: expected 2 tab-separated columns, got {len(fields)}")
        first, second = map(_unquoted, fields)
        rows.append((where, number, first, second, spelled_list(second, where)))
    listed = any(answers is not None for *_, answers in rows)
    for where, number, first, second, answers in rows:
        name = f"{path.stem}/{number}"
        if not listed:
            yield Entry(where, name, {"id": first, "question": second})
        elif answers is None:
            raise CorpusError(f"{where}: expected a list of answers, got {second!r}")
        else:
            yield Entry(where, name, {"question": first, "answers": answers})


def _unquoted(field: str) -> str:
    """A field without the quotation marks that CSV puts around it, if it has them on both sides."""
    quoted = _QUOTED.fullmatch(field)
    return quoted[1].replace('""', '"') if quoted else field
