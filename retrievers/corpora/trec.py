"""TREC runs and relevance judgements: fields split on any white space, BEIR's three-column qrels included."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from retrievers.corpora.formats import decoded_lines
from retrievers.errors import CorpusError

_QRELS_HEADER = ["query-id", "corpus-id", "score"]


def read_run(path: Path) -> dict[str, list[str]]:
    """Passage ids by question, best first: by score, equal scores by descending id, as trec_eval orders them.

    Lines hold ``question Q0 passage rank score tag``; the rank is not used. May be ``.gz``.

    Raises:
        FileNotFoundError: there is no such file.
        CorpusError: a line is not of a run, a score is not finite, a passage comes twice for a question, or the run
            is empty; the message names file and line.
    """
    scores: dict[str, dict[str, float]] = {}
    for where, question, passage, score in _scored(path):
        _add(scores.setdefault(question, {}), where, question, passage, score)
    return {question: _best_first(found) for question, found in scores.items()}


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
                yield current, _best_first(scores)
                done.add(current)
            if question in done:
                raise CorpusError(f"{where}: question {question!r} comes again; sort the run by question")
            current, scores = question, {}
        _add(scores, where, question, passage, score)
    yield current, _best_first(scores)


def _scored(path: Path) -> Iterator[tuple[str, str, str, float]]:
    """Where it stands, question, passage and score of each line; at least one."""
    empty = True
    for where, fields in _fields(path):
        if len(fields) != 6:
            raise CorpusError(f"{where}: expected 6 fields (question Q0 passage rank score tag), got {len(fields)}")
        question, _, passage, _, text, _ = fields
        empty = False
        yield where, question, passage, _number(text, where)
    if empty:
        raise CorpusError(f"{path}: the run is empty")


def _add(scores: dict[str, float], where: str, question: str, passage: str, score: float) -> None:
    if passage in scores:
        raise CorpusError(f"{where}: passage {passage!r} comes twice for question {question!r}")
    scores[passage] = score


def _best_first(scores: dict[str, float]) -> list[str]:
    return sorted(scores, key=lambda passage: (scores[passage], passage), reverse=True)


def read_qrels(path: Path) -> dict[str, dict[str, int]]:
    """Relevance by question and passage id, from TREC (``question 0 passage relevance``) or BEIR files.

    BEIR's have three columns, ``query-id corpus-id score``, under that header. May be ``.gz``.

    Raises:
        FileNotFoundError: there is no such file.
        CorpusError: a line is not of qrels, a passage is judged twice and differently, or nothing is judged.
    """
    judged: dict[str, dict[str, int]] = {}
    for where, fields in _fields(path):
        if fields == _QRELS_HEADER:
            continue
        if len(fields) not in (3, 4):
            raise CorpusError(
                f"{where}: expected 'question 0 passage relevance' or BEIR's 'question passage relevance', "
                f"got {len(fields)} fields"
            )
        question, passage, text = fields[0], fields[-2], fields[-1]
        relevance = _number(text, where)
        if relevance != int(relevance):
            raise CorpusError(f"{where}: the relevance must be a whole number, got {text!r}")
        if judged.setdefault(question, {}).setdefault(passage, int(relevance)) != relevance:
            raise CorpusError(f"{where}: passage {passage!r} is judged twice and differently for {question!r}")
    if not judged:
        raise CorpusError(f"{path}: nothing is judged")
    return judged


def _fields(path: Path) -> Iterator[tuple[str, list[str]]]:
    for number, line in enumerate(decoded_lines(path), start=1):
        if fields := line.split():
            yield f"{path}, line {number}", fields


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise CorpusError(f"{where}: expected a finite number, got {text!r}")
    return value
