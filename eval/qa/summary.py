"""Means over questions, and differences between orders of the passages."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from eval.comparison import make_rows
from eval.qa.no_answer import NoAnswerRow, no_answer_row
from eval.qa.settings import Keep, QARun
from eval.statistics import Floats

Measure = Literal["exact_match", "f1", "cover_exact_match"]
MEASURES: tuple[Measure, ...] = get_args(Measure)
LABELS: dict[str, str] = {"exact_match": "exact match", "f1": "F1", "cover_exact_match": "cover exact match"}

FORMAT = "ragshap-qa"
VERSION = 4
Records = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class QARow:
    """Answers from the first passages of one order, over all questions.

    Percentages: `exact_match`, `f1` and `cover_exact_match` (see `rag.questions.AnswerScore`) with their standard
    errors, `no_answer` (how often the reader declined) and `recall` (questions with an accepted answer in these
    passages; None without accepted answers). Seconds are medians per question: `retrieve` and `encode` once for all
    rows (None if nothing was searched), `attribute` for this order alone (None in the given one), `answer` for this
    row.

    Attributes:
        order: the score reranked by; "retrieved", "own", "gold" or "hard" for the order given.
        k: how many first passages, None for all, or "smallest": the smallest number that gives the answer from all.
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
    cover_exact_match: float
    cover_exact_match_error: float | None
    no_answer: float
    recall: float | None
    retrieve: float | None
    encode: float
    attribute: float | None
    answer: float
    evaluations: float | None


@dataclass(frozen=True)
class QADifference:
    """How much better one row's answers are than another's on the same questions, in percentage points.

    The other row is the given order's with the same k, or with all passages. The interval, p and p_holm are those of
    `eval.comparison.Row`; p_holm is corrected for the orders compared at this k.
    """

    order: str
    k: Keep
    against: Literal["same k", "all"]
    measure: Measure
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
        no_answer: how far the probability of "no answer" can be trusted, for each number of passages of the given
            order; empty for readers that give none.
        per_question: records as `answer_question` gives them.
        left_out: questions that have an answer and no passage marked as holding it.
        warnings: what was left out.
        made_with: settings, checksums of files and reader, versions.
    """

    run: QARun
    rows: tuple[QARow, ...]
    differences: tuple[QADifference, ...]
    no_answer: tuple[NoAnswerRow, ...]
    per_question: tuple[Mapping[str, Any], ...]
    left_out: int
    warnings: tuple[str, ...]
    made_with: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Everything in lists, strings and numbers."""
        return {
            "format": FORMAT,
            "version": VERSION,
            **self.made_with,
            "settings": self.run.model_dump(mode="json"),
            "rows": [asdict(row) for row in self.rows],
            "differences": [asdict(difference) for difference in self.differences],
            "no_answer": [asdict(row) for row in self.no_answer],
            "left_out": self.left_out,
            "warnings": list(self.warnings),
            "questions": list(self.per_question),
        }


class _Column(NamedTuple):
    """One row's entries, a question each."""

    order: str
    k: Keep
    entries: Records
    reranked: Records | None

    def scores(self, measure: str) -> Floats:
        """In percent, `(n_questions,)`."""
        return 100 * np.array([entry[measure] for entry in self.entries], dtype=np.float64)


def summarise(
    run: QARun, records: Records, made_with: Mapping[str, Any], left_out: int, warnings: Sequence[str]
) -> QAResult:
    """The result of a run from its questions' records."""
    columns = list(_columns(run, records))
    by_k = zip(*(record["by_k"] for record in records), strict=True)
    no_answer = [no_answer_row(size, entries) for size, entries in zip(run.sizes(), by_k, strict=True)]
    return QAResult(
        run=run,
        rows=tuple(_row(column, records) for column in columns),
        differences=tuple(_differences(run, columns)),
        no_answer=tuple(row for row in no_answer if row is not None),
        per_question=tuple(records),
        left_out=left_out,
        warnings=tuple(warnings),
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
    exact, f1, cover = (column.scores(measure) for measure in MEASURES)
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
        cover_exact_match=float(cover.mean()),
        cover_exact_match_error=_error(cover),
        no_answer=100 * float(np.mean([not entry["answer"] for entry in entries])),
        recall=100 * float(np.mean(answerable)) if answerable else None,
        retrieve=median(searched) if searched else None,
        encode=median(record["encode_seconds"] for record in records),
        attribute=None if reranked is None else median(one["seconds"] for one in reranked),
        answer=median(entry["seconds"] for entry in entries),
        evaluations=None if reranked is None else float(np.mean([one["evaluations"] for one in reranked])),
    )


def _error(scores: Floats) -> float | None:
    """Standard error of a mean; None for a single one."""
    return float(scores.std(ddof=1)) / math.sqrt(len(scores)) if len(scores) > 1 else None


def _differences(run: QARun, columns: Sequence[_Column]) -> list[QADifference]:
    """All rows against the given order's with the same k, and against its last, whose answers "smallest" repeats.

    The last is of all passages, or there is none of these.
    """
    sizes, given = run.sizes(), run.passages
    bases = {column.order: given if column.order != given else None for column in columns}
    same = [column for column in columns if column.k in sizes] if run.rerank else []
    differences = _compare(run, "same k", same, bases)
    whole = columns[len(sizes) - 1]
    if whole.k == run.read():
        fewer = [column for column in columns if column.k not in (whole.k, "smallest")]
        repeated = [whole._replace(order="all", k=column.k) for column in fewer]
        differences += _compare(run, "all", [*fewer, *repeated], {"all": None, **dict.fromkeys(bases, "all")})
    return sorted(differences, key=lambda difference: MEASURES.index(difference.measure))


def _compare(
    run: QARun, against: Literal["same k", "all"], columns: Sequence[_Column], bases: Mapping[str, str | None]
) -> list[QADifference]:
    """The differences between columns of the same k, by measure."""
    metrics = {f"{measure}@{column.k}": (measure, column.k) for column in columns for measure in MEASURES}
    table: dict[str, dict[str, Floats]] = {}
    for column in columns:
        for measure in MEASURES:
            table.setdefault(column.order, {})[f"{measure}@{column.k}"] = column.scores(measure)
    differences = []
    for row in make_rows(table, bases, run.report):
        if row.difference is not None:
            measure, k = metrics[row.metric]
            tested = (row.difference, row.difference_low, row.difference_high, row.p, row.p_holm)
            differences.append(QADifference(row.system, k, against, measure, *tested))  # type: ignore[arg-type]
    return differences
