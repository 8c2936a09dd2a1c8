"""Two result files, question by question."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from eval.retrieval.settings import ReportSettings
from eval.retrieval.summary import FORMAT, VERSION, RetrievalRow, Table, retrieval_rows
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
        ValueError: a file is no result, or the two share no system, metric or question.
    """
    report = report or ReportSettings()
    old, new = _load(first), _load(second)
    pairs = {name: name for name in old["scores"] if name in new["scores"]}
    if len(old["scores"]) == len(new["scores"]) == 1:
        pairs = {next(iter(old["scores"])): next(iter(new["scores"]))}
    if not pairs:
        raise ValueError(
            f"{first} and {second} share no system: {', '.join(old['scores'])} against {', '.join(new['scores'])}"
        )
    places = {name: place for place, name in enumerate(new["questions"])}
    shared = [(at, places[name]) for at, name in enumerate(old["questions"]) if name in places]
    if not shared:
        raise ValueError(f"{first} and {second} share no question")
    before, after = (list(column) for column in zip(*shared, strict=True))
    table: Table = {}
    bases: dict[str, str | None] = {}
    for base, system in pairs.items():
        mine, theirs = f"{base} (first)", f"{system} (second)"
        metrics = [metric for metric in old["scores"][base] if metric in new["scores"][system]]
        if not metrics:
            raise ValueError(f"{first} and {second} share no metric of {base}")
        table[mine] = {metric: _floats(old["scores"][base][metric])[before] for metric in metrics}
        table[theirs] = {metric: _floats(new["scores"][system][metric])[after] for metric in metrics}
        bases |= {mine: None, theirs: mine}
    said = [
        f"{path}: {len(content['questions']) - len(shared)} of {len(content['questions'])} questions "
        "are not in the other"
        for path, content in ((first, old), (second, new))
        if len(content["questions"]) > len(shared)
    ]
    return retrieval_rows(table, bases, report), said


def _load(path: Path) -> Mapping[str, Any]:
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{path} is no result of `ragshap evaluate retrieval`; give the result.json in its folder")
    if content.get("version") != VERSION:
        raise ValueError(f"{path} is of version {content.get('version')!r}; this release reads version {VERSION}")
    if not _is_sound(content):
        raise ValueError(f"{path} is damaged: questions or scores are missing, or not one score per question")
    return content


def _is_sound(content: Mapping[str, Any]) -> bool:
    """Whether a result's questions are names and every metric has a number, or none, for each."""
    questions, scores = content.get("questions"), content.get("scores")
    if not isinstance(questions, list) or not all(isinstance(name, str) for name in questions):
        return False
    if not isinstance(scores, dict) or not all(isinstance(own, dict) for own in scores.values()):
        return False
    return all(
        isinstance(column, list)
        and len(column) == len(questions)
        and all(one is None or (isinstance(one, int | float) and not isinstance(one, bool)) for one in column)
        for own in scores.values()
        for column in own.values()
    )


def _floats(values: list[float | None]) -> np.ndarray:
    return np.array([math.nan if value is None else value for value in values], dtype=np.float64)
