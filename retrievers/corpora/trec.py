"""Runs and relevance judgements of TREC, MS MARCO and BEIR.

Fields stand between tabs where these give the right number of fields, so that an id may hold a space, else between any
white space.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from pathlib import Path

from retrievers.corpora.decoding import decoded_lines
from retrievers.errors import CorpusError

_QRELS_HEADER = ["query-id", "corpus-id", "score"]
_RUN = "6 fields (question Q0 passage rank score tag), or MS MARCO's 3 (question passage rank)"
_QRELS = "'question 0 passage relevance' or BEIR's 'question passage relevance'"
_SPACES = "; ids that hold a space need tabs between the fields"


def read_run(path: Path) -> dict[str, list[str]]:
    """Passage ids by question, best first: by score, equal scores by descending id, as trec_eval orders them.

    Lines hold ``question Q0 passage rank score tag``, of which the rank is not used, or MS MARCO's ``question passage
    rank``, ordered by rank. May be ``.gz``.

    Raises:
        FileNotFoundError: there is no such file.
        CorpusError: a line is not of a run, a score is not finite, a passage comes twice for a question, ranks are not
            different numbers from 1 (or 0), or the run is empty; the message names file and line.
    """
    scores: dict[str, dict[str, float]] = {}
    for where, question, passage, score in _scored(path):
        _add(scores.setdefault(question, {}), where, question, passage, score)
    return {question: _best_first(path, question, found) for question, found in scores.items()}


def stream_run(path: Path) -> Iterator[tuple[str, list[str]]]:
    """As :func:`read_run`, one question after another in the file's order, holding one question's lines at a time.

    Raises:
        CorpusError: also where a question's lines do not stand together.
    """
    done: set[str] = set()
    current, scores = "", dict[str, float]()
    for where, question, passage, score in _scored(path):
        if question != current:
            if scores:
                yield current, _best_first(path, current, scores)
                done.add(current)
            if question in done:
                raise CorpusError(f"{where}: question {question!r} comes again; sort the run by question")
            current, scores = question, {}
        _add(scores, where, question, passage, score)
    yield current, _best_first(path, current, scores)


def _scored(path: Path) -> Iterator[tuple[str, str, str, float]]:
    """Where it stands, question, passage and score or rank of each line; at least one."""
    width = 0
    for where, fields in _fields(path, (6, 3)):
        if len(fields) != (width or len(fields)) or len(fields) not in (6, 3):
            expected = f"{width} fields as in the lines before" if width else _RUN
            raise CorpusError(f"{where}: expected {expected}, got {len(fields)}{_SPACES}")
        width = len(fields)
        if width == 6:
            yield where, fields[0], fields[2], _number(fields[4], where)
        else:
            yield where, fields[0], fields[1], _Rank(-_whole(fields[2], where, "rank"))
    if not width:
        raise CorpusError(f"{path}: the run is empty")


class _Rank(float):
    """A rank with its sign changed, which orders passages as a score does."""


def _add(scores: dict[str, float], where: str, question: str, passage: str, score: float) -> None:
    if passage in scores:
        raise CorpusError(f"{where}: passage {passage!r} comes twice for question {question!r}")
    scores[passage] = score


def _best_first(path: Path, question: str, scores: dict[str, float]) -> list[str]:
    ranks = [-score for score in scores.values() if isinstance(score, _Rank)]
    if ranks and (min(ranks) not in (0, 1) or len(set(ranks)) < len(ranks)):
        raise CorpusError(
            f"{path}: the third column of question {question!r} must hold ranks, different numbers from 1; for scores "
            "write question Q0 passage rank score tag"
        )
    return sorted(scores, key=lambda passage: (scores[passage], passage), reverse=True)


def read_qrels(path: Path) -> dict[str, dict[str, int]]:
    """Relevance by question and passage id, from TREC (``question 0 passage relevance``) or BEIR files.

    BEIR's have three columns, ``query-id corpus-id score``, under that header. May be ``.gz``.

    Raises:
        FileNotFoundError: there is no such file.
        CorpusError: a line is not of qrels, a passage is judged twice and differently, or nothing is judged.
    """
    judged: dict[str, dict[str, int]] = {}
    for where, fields in _fields(path, (3, 4)):
        if fields == _QRELS_HEADER:
            continue
        if len(fields) not in (3, 4):
            raise CorpusError(f"{where}: expected {_QRELS}, got {len(fields)} fields{_SPACES}")
        question, passage, text = fields[0], fields[-2], fields[-1]
        relevance = _whole(text, where, "relevance")
        if judged.setdefault(question, {}).setdefault(passage, relevance) != relevance:
            raise CorpusError(f"{where}: passage {passage!r} is judged twice and differently for {question!r}")
    if not judged:
        raise CorpusError(f"{path}: nothing is judged")
    return judged


def _fields(path: Path, widths: tuple[int, ...]) -> Iterator[tuple[str, list[str]]]:
    """Where each line stands, and its fields; under BEIR's header, those that tabs and CSV's quotation marks give."""
    beir = False
    for number, line in enumerate(decoded_lines(path), start=1):
        if not (fields := line.split()):
            continue
        tabbed = [field.strip() for field in line.split("\t")]
        if beir:
            fields = [field.strip() for field in next(csv.reader([line.rstrip("\r\n")], delimiter="\t"))]
        elif len(tabbed) in widths and len(tabbed[-1].split()) == 1:  # no last field holds a space
            fields = tabbed
        beir = beir or (number == 1 and tabbed == _QRELS_HEADER)
        yield f"{path}, line {number}", fields


def _whole(text: str, where: str, name: str) -> int:
    value = _number(text, where)
    if value != int(value):
        raise CorpusError(f"{where}: the {name} must be a whole number, got {text!r}")
    return int(value)


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise CorpusError(f"{where}: expected a finite number, got {text!r}")
    return value
