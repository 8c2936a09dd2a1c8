"""How often a reader's answers are right, by number of passages."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from eval.provenance import reader_checksum, versions
from eval.selection import Asked, Selection, choose
from rag.questions import holds_answer, score_answer
from rag.readers import Reader
from rag.readers.loading import load_reader
from rag.settings import ReaderSettings

Progress = Callable[[int, int], None]


class QARun(Selection):
    """What is asked (see `Selection`), under which name, and of which reader."""

    name: str = ""
    reader: ReaderSettings = ReaderSettings()


@dataclass(frozen=True)
class QARow:
    """Answers from the first `k` passages (None: all of them), over all questions.

    Percentages: `exact_match` and `f1` with their standard errors, `no_answer` (how often the reader declined) and
    `recall` (questions with an accepted answer in these passages; NaN without accepted answers). Seconds are medians
    per question: `encode` once for all rows, `answer` for this one.
    """

    k: int | None
    questions: int
    exact_match: float
    exact_match_error: float
    f1: float
    f1_error: float
    no_answer: float
    recall: float
    encode: float
    answer: float


@dataclass(frozen=True)
class QAResult:
    """Rows by number of passages, each question's answers, and what produced them."""

    run: QARun
    rows: tuple[QARow, ...]
    per_question: tuple[dict[str, Any], ...]
    left_out: int
    versions: dict[str, str]
    reader_checksum: str

    def to_dict(self) -> dict[str, Any]:
        """Everything in lists, strings and numbers; NaN becomes None."""
        rows = [{key: _json_number(value) for key, value in vars(row).items()} for row in self.rows]
        return {
            "format": "ragshap-qa",
            "version": 1,
            "settings": self.run.model_dump(mode="json"),
            "versions": self.versions,
            "reader_checksum": self.reader_checksum,
            "rows": rows,
            "left_out": self.left_out,
            "questions": list(self.per_question),
        }

    def save(self, path: Path) -> None:
        """Write `to_dict` as JSON, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.tmp")
        temporary.write_text(json.dumps(self.to_dict(), ensure_ascii=False, indent=1), encoding="utf-8")
        os.replace(temporary, path)


def evaluate_qa(
    run: QARun, *, root: Path | None = None, reader: Reader | None = None, progress: Progress | None = None
) -> QAResult:
    """Ask the selected questions and score the answers.

    Args:
        run: questions, passages and reader.
        root: folder that the run's paths are relative to.
        reader: used instead of the one that the run names.
        progress: called as progress(done, total), in questions.
    """
    chosen = choose(run, root)
    reader = reader or load_reader(run.reader)
    records = []
    for asked in chosen.asked:
        records.append(answer_question(reader, asked, run.sizes()))
        if progress is not None:
            progress(len(records), chosen.n_questions)
    rows = [_row(size, [record["by_k"][column] for record in records], records) for column, size in
            enumerate(run.sizes())]  # fmt: skip
    return QAResult(
        run,
        tuple(rows),
        tuple(records),
        chosen.without_gold,
        versions("torch", "transformers"),
        reader_checksum(run.reader),
    )


def answer_question(reader: Reader, asked: Asked, sizes: Sequence[int | None]) -> dict[str, Any]:
    """Answers from the first passages, encoded once; see `QAResult.per_question`."""
    question, passages = asked
    started = time.perf_counter()
    encoded = reader.encode(question.text, passages)
    encode = time.perf_counter() - started
    by_k = []
    for size in sizes:
        started = time.perf_counter()
        row = np.arange(len(passages)) < (len(passages) if size is None else size)
        text = reader.generate(encoded, row[None])[0]
        seconds = time.perf_counter() - started
        score = score_answer(text, question.answers)
        shown = passages[:size]
        by_k.append(
            {
                "k": size,
                "answer": text,
                "exact_match": score.exact_match,
                "f1": score.f1,
                "recall": any(holds_answer(p.full_text, question.answers) for p in shown),
                "seconds": seconds,
            }
        )
    return {
        "id": question.id,
        "question": question.text,
        "accepted": list(question.answers),
        "passages": [passage.id for passage in passages],
        "encode_seconds": encode,
        "by_k": by_k,
    }


def _row(size: int | None, answers: Sequence[dict[str, Any]], records: Sequence[dict[str, Any]]) -> QARow:
    exact = np.array([answer["exact_match"] for answer in answers])
    f1 = np.array([answer["f1"] for answer in answers])
    answerable = [answer["recall"] for answer, r in zip(answers, records, strict=True) if r["accepted"]]
    return QARow(
        k=size,
        questions=len(answers),
        exact_match=100 * exact.mean(),
        exact_match_error=_error(exact),
        f1=100 * f1.mean(),
        f1_error=_error(f1),
        no_answer=100 * float(np.mean([not answer["answer"] for answer in answers])),
        recall=100 * float(np.mean(answerable)) if answerable else math.nan,
        encode=median(record["encode_seconds"] for record in records),
        answer=median(answer["seconds"] for answer in answers),
    )


def _error(scores: np.ndarray) -> float:
    """Standard error of a mean, in percent."""
    return 100 * float(scores.std(ddof=1)) / math.sqrt(len(scores)) if len(scores) > 1 else math.nan


def _json_number(value: Any) -> Any:
    if isinstance(value, float | np.floating):
        return None if math.isnan(value) else float(value)
    return value
