"""Means over questions, and differences between orders of the passages."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eval.qa.settings import Keep, QARun
from eval.records import save_json
from eval.selection import Chosen
from eval.statistics import ComparisonSettings, bootstrap_intervals, holm, randomisation_test

MEASURES: tuple[Literal["exact_match", "f1"], ...] = ("exact_match", "f1")

Records = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class QARow:
    """Answers from the first passages of one order, over all questions.

    Percentages: `exact_match` and `f1` with their standard errors, `no_answer` (how often the reader declined) and
    `recall` (questions with an accepted answer in these passages; None without accepted answers). Seconds are medians
    per question: `retrieve` and `encode` once for all rows (None if nothing was searched), `attribute` for this order
    by itself (None in the given one), `answer` for this row.

    Attributes:
        order: the score reranked by; "retrieved", "own", "gold" or "hard" for the order given.
        k: the first so many passages, None for all, or "smallest": as few as give the answer from all.
        passages: how many these are, on average.
        evaluations: distinct coalitions read per question to rerank, on average; None in the given order.
    """

    order: str
    k: Keep
    questions: int
    passages: float
    exact_match: float
    exact_match_error: float | None
    f1: float
    f1_error: float | None
    no_answer: float
    recall: float | None
    retrieve: float | None
    encode: float
    attribute: float | None
    answer: float
    evaluations: float | None


@dataclass(frozen=True)
class QADifference:
    """How much better one row's answers are than another's, in percentage points, on the same questions.

    Attributes:
        order: the row's.
        k: the row's.
        against: the given order's row with the same k, or with all passages.
        measure: "exact_match" or "f1".
        difference: mean of the row less that of the other.
        low: lower end of its bootstrap interval.
        high: upper end.
        p: of a two-sided paired randomisation test.
        p_holm: the same, corrected for the orders compared at this k.
    """

    order: str
    k: Keep
    against: Literal["same k", "all"]
    measure: Literal["exact_match", "f1"]
    difference: float
    low: float
    high: float
    p: float
    p_holm: float


@dataclass(frozen=True)
class QAResult:
    """Rows by order and number of passages, each question's answers, and what produced them.

    Attributes:
        run: the run.
        rows: the given order's, then each score's.
        differences: of the rows.
        per_question: records as `answer_question` gives them.
        left_out: questions that have an answer and no passage marked as holding it.
        warnings: what was left out.
        made_with: settings, checksums of files and reader, versions.
    """

    run: QARun
    rows: tuple[QARow, ...]
    differences: tuple[QADifference, ...]
    per_question: tuple[Mapping[str, Any], ...]
    left_out: int
    warnings: tuple[str, ...]
    made_with: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Everything in lists, strings and numbers."""
        return {
            "format": "ragshap-qa",
            "version": 2,
            **self.made_with,
            "settings": self.run.model_dump(mode="json"),
            "rows": [asdict(row) for row in self.rows],
            "differences": [asdict(difference) for difference in self.differences],
            "left_out": self.left_out,
            "warnings": list(self.warnings),
            "questions": list(self.per_question),
        }

    def save(self, path: Path) -> None:
        """Write `to_dict` as JSON, whole or not at all."""
        save_json(path, self.to_dict())


class _Column(NamedTuple):
    """One row's entries, a question each."""

    order: str
    k: Keep
    entries: Records
    reranked: Records | None

    def scores(self, measure: str) -> NDArray[np.float64]:
        """In percent, `(n_questions,)`."""
        return 100 * np.array([entry[measure] for entry in self.entries], dtype=np.float64)


def summarise(run: QARun, records: Records, made_with: Mapping[str, Any], chosen: Chosen) -> QAResult:
    """The result of a run from its questions' records."""
    columns = list(_columns(run, records))
    return QAResult(
        run=run,
        rows=tuple(_row(column, records) for column in columns),
        differences=tuple(_differences(columns, run.sizes(), run.report)),
        per_question=tuple(records),
        left_out=chosen.without_gold,
        warnings=chosen.warnings,
        made_with=made_with,
    )


def _columns(run: QARun, records: Records) -> Iterator[_Column]:
    for place, size in enumerate(run.sizes()):
        yield _Column(run.passages, size, [record["by_k"][place] for record in records], None)
    for name in run.rerank:
        reranked = [record["reranked"][name] for record in records]
        for place, keep in enumerate(run.reranked_sizes()):
            yield _Column(name, keep, [record["by_k"][place] for record in reranked], reranked)


def _row(column: _Column, records: Records) -> QARow:
    entries, reranked = column.entries, column.reranked
    exact, f1 = (column.scores(measure) for measure in MEASURES)
    answerable = [entry["recall"] for entry, record in zip(entries, records, strict=True) if record["accepted"]]
    searched = [record["retrieve_seconds"] for record in records if record["retrieve_seconds"] is not None]
    return QARow(
        order=column.order,
        k=column.k,
        questions=len(entries),
        passages=float(np.mean([entry["passages"] for entry in entries])),
        exact_match=float(exact.mean()),
        exact_match_error=_error(exact),
        f1=float(f1.mean()),
        f1_error=_error(f1),
        no_answer=100 * float(np.mean([not entry["answer"] for entry in entries])),
        recall=100 * float(np.mean(answerable)) if answerable else None,
        retrieve=median(searched) if searched else None,
        encode=median(record["encode_seconds"] for record in records),
        attribute=None if reranked is None else median(one["seconds"] for one in reranked),
        answer=median(entry["seconds"] for entry in entries),
        evaluations=None if reranked is None else float(np.mean([one["evaluations"] for one in reranked])),
    )


def _error(scores: NDArray[np.float64]) -> float | None:
    """Standard error of a mean; None for a single one."""
    return float(scores.std(ddof=1)) / math.sqrt(len(scores)) if len(scores) > 1 else None


def _differences(
    columns: Sequence[_Column], sizes: Sequence[int | None], report: ComparisonSettings
) -> Iterator[QADifference]:
    """All rows against the given order's with the same k, and against its last, whose answers "smallest" repeats."""
    given = {column.k: column for column in columns[: len(sizes)]}
    compared: list[tuple[_Column, _Column, Literal["same k", "all"]]] = []
    compared += [(column, given[column.k], "same k") for column in columns[len(sizes) :] if column.k in given]
    compared += [(column, given[sizes[-1]], "all") for column in columns if column.k not in (sizes[-1], "smallest")]
    for measure in MEASURES:
        gains = [one.scores(measure) - other.scores(measure) for one, other, _ in compared]
        if not gains:
            return
        low, high = bootstrap_intervals(np.column_stack(gains), report.draws, report.confidence, report.seed)
        p_values = [randomisation_test(gain, report.draws, report.seed) for gain in gains]
        corrected: dict[int, float] = {}
        for family in {(column.k, against) for column, _, against in compared}:
            places = [place for place, (column, _, against) in enumerate(compared) if (column.k, against) == family]
            corrected |= zip(places, holm([p_values[place] for place in places]), strict=True)
        for place, (column, _, against) in enumerate(compared):
            yield QADifference(
                order=column.order,
                k=column.k,
                against=against,
                measure=measure,
                difference=float(gains[place].mean()),
                low=float(low[place]),
                high=float(high[place]),
                p=p_values[place],
                p_holm=corrected[place],
            )
