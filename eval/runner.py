"""Measure the questions of a run one by one, here or elsewhere, and keep each record as it comes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from eval.named_models import named_models
from eval.records import Records
from rag.notices import Tally, of_cuts
from rag.progress import StageProgress
from rag.provenance import made_with
from rag.questions import Question
from rag.readers import Reader
from rag.readers.base import EncodedQuestion
from rag.scale import Executor, LocalExecutor
from rag.scale.readers import load_same_reader, reader_or_checksum
from retrievers.dense.encoder import BASE, DEFAULT

QUESTIONS_FILE = "questions.jsonl"
"""In a folder of results, the records of questions."""

_PATHS = ("data", "runs", "pool", "qrels", "index", "corpus")


def provenance(
    run: Any, root: Path, reader: Any, *libraries: str, beside: Collection[str] = ("name", "report")
) -> dict[str, Any]:
    """What the records of a run depend on: settings, checksums of the files and of the reader, versions.

    Args:
        run: the settings.
        root: folder that the run's paths are relative to.
        reader: a reader, the settings of one, or None if none is used.
        libraries: distributions that matter beside the usual ones.
        beside: settings that do not count, because they change no record.
    """
    named = [path for field in _PATHS for path in _as_list(getattr(run, field, None))]
    named += [file for field in ("rerank", "methods") for file in named_models(getattr(run, field, None) or [])]
    files = [(path, root / path) for path in named]
    files += _found_from_here(run)
    settings = run.model_dump(mode="json", exclude=set(beside))
    return made_with(settings, reader, files, *libraries)


def _found_from_here(run: Any) -> Iterator[tuple[str, Path]]:
    """Names that are a list of questions' or an encoder's of ours, of the hub, or of a file or folder here."""
    ids = getattr(run, "ids", "all")
    if ids not in ("all", "odd", "even") and Path(ids).is_file():
        yield ids, Path(ids)
    for section in (run, getattr(run, "retriever", None)):
        encoder = getattr(getattr(section, "dense", None), "encoder", DEFAULT)
        if encoder not in (DEFAULT, BASE) and (folder := Path(encoder).expanduser()).is_dir():
            yield encoder, folder


def _as_list(paths: Sequence[str] | str | None) -> Sequence[str]:
    return [paths] if isinstance(paths, str) else paths or []


def measure_questions(
    run: Any,
    questions: Sequence[Question],
    measure: Callable[..., dict[str, Any]],
    find_items: Callable[[Sequence[Question]], Iterable[tuple[Any, ...]]],
    *,
    path: Path | None,
    made: dict[str, Any],
    reader: Reader | None,
    executor: Executor | None,
    progress: StageProgress | None,
    answerer: Reader | None = None,
) -> tuple[list[dict[str, Any]], list[str]]:
    """The record of each question, in their order, and warnings: of records that were there before, of cut passages.

    Args:
        run: the settings; `run.reader` says which reader is loaded.
        questions: what is measured; those that have a record already are left out.
        measure: a function of a module, called as measure(run, reader, *item); returns a record with an "id".
        find_items: gives the item of each question in turn. It is called once, if a question is left to measure.
        path: file of the records; None keeps them in memory alone.
        made: what `provenance` gives; where it names no reader, `measure` gets None.
        reader: used instead of the one that the run names.
        executor: spreads the items; by default they are measured in this process.
        progress: called as progress("questions", done, total).
        answerer: used instead of `run.answer.reader`; where `made` names an "answer_reader", `measure` gets it by the
            name `answerer`.

    Raises:
        SettingsError: the file holds records of other settings, or a loaded reader would have to leave this process.
    """
    executor = executor or LocalExecutor()
    with closing(Records(path, made)) as records:
        missing = [question for question in questions if question.id not in records]
        if missing:
            shared = made["reader"] and reader_or_checksum(reader, made["reader"], executor)
            other = made.get("answer_reader")
            second = None if other is None else reader_or_checksum(answerer, other, executor)
            results = executor.map(partial(load_and_measure, measure, run, shared, second), find_items(missing))
            for done, record in enumerate(results, len(questions) - len(missing) + 1):
                records.add(record)
                if progress is not None:
                    progress("questions", done, len(questions))
        measured = [records[question.id] for question in questions]
        return measured, [*records.warnings, *cut_notes(measured)]


def cut_fields(encoded: EncodedQuestion) -> dict[str, Any]:
    """What a record says of what was longer than the reader's limit, in tokens that were not read.

    Returns:
        `cut_tokens`, by the id of each such passage, and `question_cut_tokens`.
    """
    cuts = zip(encoded.passages, encoded.cut_tokens, strict=True)
    of_passages = {passage.id: tokens for passage, tokens in cuts if tokens}
    return {"cut_tokens": of_passages, "question_cut_tokens": encoded.question_cut_tokens}


def cut_notes(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """What to say of passages and questions that were longer than the reader's limit; nothing if none was."""
    tally = Tally()
    for record in records:  # those made before lack a field
        tally.add(of_cuts(record.get("cut_tokens", {}).values(), record.get("question_cut_tokens", 0)))
    return tally.lines(len(records))


def load_and_measure(
    measure: Callable[..., dict[str, Any]],
    run: Any,
    reader: Reader | str | None,
    answerer: Reader | str | None = None,
) -> Callable[[tuple[Any, ...]], dict[str, Any]]:
    """Measures with a reader, or with that of the run, which has this checksum; the same of one that answers."""
    loaded = None if reader is None else load_same_reader(run.reader, reader)
    if answerer is not None:
        measure = partial(measure, answerer=load_same_reader(run.answer.reader, answerer, "answer.reader"))
    return lambda item: measure(run, loaded, *item)
