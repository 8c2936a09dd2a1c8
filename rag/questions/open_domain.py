"""Questions without passages: NQ-open, PopQA, DPR's question tables, and topics of retrieval tracks such as MIRACL."""

from __future__ import annotations

import ast
import csv
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from rag.questions.question import Question, QuestionSet
from retrievers import CorpusError
from retrievers.corpora.formats import decoded_lines
from retrievers.storage.json_text import parse_json

ANSWER_FIELDS = ("answers", "answer", "possible_answers")
TABLES = (
    "PopQA's header with question and possible_answers, or two columns: id and question, or question and ['answer', …]"
)


def read_open(path: Path, entries: Sequence[Any]) -> QuestionSet:
    """JSON values with `question` and `answers`, `answer` (NQ-open) or `possible_answers`."""
    return QuestionSet([], [_question(value, f"{path}, question {n}", path, n) for n, value in enumerate(entries, 1)])


def read_table(path: Path) -> QuestionSet:
    """Tab-separated questions: PopQA with its header, DPR's (question, list of answers), or topics (id, question).

    Raises:
        CorpusError: the columns are none of these; names file and line.
    """
    return QuestionSet([], list(_rows(path)))


def _rows(path: Path) -> Iterator[Question]:
    lines = decoded_lines(path)
    header = next(lines, "").rstrip("\r\n").split("\t")
    if {"question", "possible_answers"} <= set(header):
        rows = csv.DictReader(lines, fieldnames=header, delimiter="\t", restkey="more")
        try:
            for number, row in enumerate(rows, start=1):
                yield _question(row, f"{path}, line {rows.line_num + 1}", path, number)
        except csv.Error as error:
            where = f"{path}, line {rows.line_num + 1}"
            raise CorpusError(f"{where}: {error}; is a quotation mark left open?") from error
        return
    if len(header) != 2:
        raise CorpusError(f"{path}, line 1: cannot tell the layout of {len(header)} columns; expected {TABLES}")
    for number, line in enumerate(chain(["\t".join(header)], lines), start=1):
        where, fields = f"{path}, line {number}", line.rstrip("\r\n").split("\t")
        if fields == [""]:
            continue
        if len(fields) != 2:
            raise CorpusError(f"{where}: expected 2 tab-separated columns, got {len(fields)}")
        if header[1].startswith("["):
            yield _question({"question": fields[0], "answers": _list(fields[1], where)}, where, path, number)
        else:
            yield _question({"id": fields[0], "question": fields[1], "answers": []}, where, path, number)


def _question(value: Any, where: str, path: Path, number: int) -> Question:
    try:
        given = next(value[field] for field in ANSWER_FIELDS if field in value)
        answers = _list(given, where) if isinstance(given, str) and given.startswith("[") else given
        answers = [answers] if isinstance(answers, str) else [str(answer) for answer in answers]
        name = str(value.get("id", value.get("_id", f"{path.stem}/{number}")))
        text = value["question"].strip()
    except (KeyError, TypeError, AttributeError, StopIteration) as error:
        raise CorpusError(f"{where}: not a question with answers: {error!r}") from None
    return Question(name, text, tuple(dict.fromkeys(a for a in answers if a.strip())), name)


def _list(text: str, where: str) -> list[str]:
    """A list as JSON writes it, or as Python does."""
    for read in (parse_json, ast.literal_eval):
        try:
            values = read(text)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):  # as literal_eval documents
            continue
        if isinstance(values, list):
            return [str(value) for value in values]
    raise CorpusError(f"{where}: expected a list of answers, got {text!r}")
