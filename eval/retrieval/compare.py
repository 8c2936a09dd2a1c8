"""Two result files, question by question."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ValidationError, model_validator

from eval.comparison import coverage_notes
from eval.retrieval.settings import ReportSettings
from eval.retrieval.summary import RetrievalResult, RetrievalRow, retrieval_rows
from eval.statistics import Floats
from retrievers.storage.json_text import parse_json


def compare(first: Path, second: Path, report: ReportSettings | None = None) -> tuple[list[RetrievalRow], list[str]]:
    """The second file's systems against those of the same name in the first, on the questions of both.

    Two files with one system each are compared whatever these are called.

    Args:
        first: a `result.json`, the baseline.
        second: another.
        report: draws, confidence and seed; the rest is not used.

    Returns:
        Rows as `retrieval_rows` gives them, each test corrected for the systems compared by one metric; and what
        was left out.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is not a result, the two were made from other questions or judgements, or they share no
            system, metric or question.
    """
    old, new = _load(first), _load(second)
    if other := [name for name, value in old.asked().items() if value != new.asked()[name]]:
        raise ValueError(
            f"{first} and {second} were made with other {', '.join(other)}, so that one id may stand for two "
            "questions; compare results of the same questions and judgements"
        )
    pairs = {name: name for name in old.scores if name in new.scores}
    if len(old.scores) == len(new.scores) == 1:
        pairs = {next(iter(old.scores)): next(iter(new.scores))}
    if not pairs:
        raise ValueError(
            f"{first} and {second} share no system: {', '.join(old.scores)} against {', '.join(new.scores)}"
        )
    places = {name: place for place, name in enumerate(new.questions)}
    shared = [(at, places[name]) for at, name in enumerate(old.questions) if name in places]
    if not shared:
        raise ValueError(f"{first} and {second} share no question")
    before, after = (list(column) for column in zip(*shared, strict=True))
    table: dict[str, dict[str, Floats]] = {}
    bases: dict[str, str | None] = {}
    for base, system in pairs.items():
        mine, theirs = f"{base} (first)", f"{system} (second)"
        metrics = [metric for metric in old.scores[base] if metric in new.scores[system]]
        if not metrics:
            raise ValueError(f"{first} and {second} share no metric of {base}")
        table[mine] = {metric: old.column(base, metric, before) for metric in metrics}
        table[theirs] = {metric: new.column(system, metric, after) for metric in metrics}
        bases |= {mine: None, theirs: mine}
    warnings = [
        f"{path}: {len(content.questions) - len(shared)} of {len(content.questions)} questions are not in the other"
        for path, content in ((first, old), (second, new))
        if len(content.questions) > len(shared)
    ]
    warnings += coverage_notes(table, len(shared))
    return retrieval_rows(table, bases, report or ReportSettings()), warnings


class _Settings(BaseModel, strict=True):
    """The settings that say which questions and judgements a result is of."""

    data: list[str]
    qrels: str | None
    split: str


class _Scores(BaseModel, strict=True):
    """What is read of a result: its questions, and by system and metric a score or None for each of them.

    The settings and the checksums of files say which questions these are.
    """

    questions: list[str]
    scores: dict[str, dict[str, list[float | None]]]
    settings: _Settings
    files: dict[str, str]

    @model_validator(mode="after")
    def _one_score_per_question(self) -> _Scores:
        if any(len(column) != len(self.questions) for own in self.scores.values() for column in own.values()):
            raise ValueError("not one score per question")
        return self

    def asked(self) -> dict[str, Any]:
        """What the questions and their judgements depend on, by name: contents, wherever the files lie."""
        data, qrels = self.settings.data, self.settings.qrels
        return {
            "settings.data": [self.files.get(path, path) for path in data],
            "settings.qrels": None if qrels is None else self.files.get(qrels, qrels),
            "settings.split": self.settings.split,
        }

    def column(self, system: str, metric: str, places: list[int]) -> Floats:
        """Scores of the questions at these places, NaN where there is none."""
        return np.array(self.scores[system][metric], dtype=np.float64)[places]


def _load(path: Path) -> _Scores:
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(content, dict) or content.get("format") != RetrievalResult.FORMAT:
        raise ValueError(f"{path} is no result of `ragshap evaluate retrieval`; give the result.json in its folder")
    if content.get("version") != RetrievalResult.VERSION:
        given = content.get("version")
        raise ValueError(f"{path} has version {given!r}; this release reads version {RetrievalResult.VERSION}")
    try:
        return _Scores.model_validate(content)
    except ValidationError:
        message = "questions, scores, settings or files are missing, or not one score per question"
        raise ValueError(f"{path} is damaged: {message}") from None
