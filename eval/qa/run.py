"""Ask the questions and keep the answers as they come."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from eval.qa.answers import answer_question
from eval.qa.settings import QARun
from eval.qa.summary import FORMAT, VERSION, QAResult, summarise
from eval.records import differing, save_json
from eval.runner import cut_notes, measure_questions, provenance
from eval.selection import Example, SelectedQuestions, select_questions
from rag.progress import StageProgress
from rag.provenance import answering
from rag.questions import Question
from rag.readers import Reader
from rag.scale import Executor
from rag.settings_base import SettingsError
from retrievers.storage.json_text import parse_json

_MADE_OF = ("files", "reader", "answer_reader")


def evaluate_qa(
    run: QARun,
    out: Path | None = None,
    *,
    root: Path | None = None,
    reader: Reader | None = None,
    answerer: Reader | None = None,
    progress: StageProgress | None = None,
    executor: Executor | None = None,
    replace: bool = False,
) -> QAResult:
    """Ask the selected questions and score the answers.

    Args:
        run: questions, passages, orders and reader.
        out: where the result is written as JSON. Until then, the answers are kept beside it in `NAME.partial.jsonl`,
            from which a stopped run resumes. A finished result of the same settings, data and weights is reused.
        root: folder that the run's paths are relative to.
        reader: used instead of the one that the run names.
        answerer: used instead of `answer.reader`.
        progress: called as progress("questions", done, total).
        executor: spreads the questions; by default they are asked in this process.
        replace: whether a finished result of other settings, data or weights in `out` gives way to this one.

    Raises:
        CorpusError, FileNotFoundError: data, corpus or index cannot be read.
        IsADirectoryError: `out` is a folder.
        SettingsError: a setting cannot be honoured, `out` holds something else than a result of the same settings,
            data and weights, or the answers kept beside it were made with others.
    """
    if out is not None and out.is_dir():
        raise IsADirectoryError(f"{out} is a folder; name the .json file that the result is written to")
    root = root or Path()
    selected = select_questions(run, root)
    made = provenance(run, root, reader or run.reader) | answering(answerer or run.answer.reader)
    partial = None if out is None else out.with_suffix(".partial.jsonl")
    finished = None if out is None else _finished(out, made, replace)
    warnings: list[str] = []
    if finished is not None:
        records = [finished[question.id] for question in selected.questions]
        warnings = cut_notes(records)
    else:
        records, warnings = measure_questions(
            run,
            selected.questions,
            answer_question,
            lambda questions: _timed_examples(run, selected, questions),
            path=partial,
            made=made,
            reader=reader,
            answerer=answerer,
            executor=executor,
            progress=progress,
        )
    result = summarise(run, records, made, selected.without_gold, [*selected.warnings, *warnings])
    if out is not None and partial is not None:
        save_json(out, result.to_dict())
        partial.unlink(missing_ok=True)
    return result


def _finished(path: Path, made: dict[str, Any], replace: bool) -> dict[str, dict[str, Any]] | None:
    """Records by question of a result that is there, if they would be the same; None if there is none, or it gives way.

    One of an older layout gives way. The versions that the result was made with then replace those in `made`.

    Raises:
        SettingsError: the file is something else, or was made otherwise and does not give way.
    """
    if not path.exists():
        return None
    try:
        stored = parse_json(path.read_text(encoding="utf-8"))
        if stored["format"] != FORMAT:
            raise ValueError
        settings = {key: value for key, value in stored["settings"].items() if key in made["settings"]}
        old = {"settings": settings} | {name: stored.get(name) for name in _MADE_OF}
        records = {record["id"]: record for record in stored["questions"]}
        version, versions = stored["version"], stored["versions"]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise SettingsError(
            f"{path} is there and is no result of `ragshap evaluate qa`; name another file to write to"
        ) from None
    other = differing(old, {"settings": made["settings"]} | {name: made.get(name) for name in _MADE_OF})
    if other and not replace:
        raise SettingsError(f"{path} holds a result made with other {other}; name another file, or delete this one")
    if other or version != VERSION:
        return None
    made["versions"] = versions
    return records


def _timed_examples(
    run: QARun, selected: SelectedQuestions, questions: Sequence[Question]
) -> Iterator[tuple[Example, float | None]]:
    """Each question with its passages, and the seconds that it took to retrieve them; None if none were retrieved."""
    examples = selected.examples(questions)
    for _ in questions:
        started = time.perf_counter()
        example = next(examples)
        yield example, time.perf_counter() - started if run.passages == "retrieved" else None
