"""Make cases of each game until the reader has played enough of them, and measure these."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from functools import partial
from itertools import chain, islice, product
from pathlib import Path
from typing import Any

from eval.controlled.cases import Case, CaseMaker
from eval.controlled.measure import measure_cases
from eval.controlled.settings import ControlledRun
from eval.controlled.summary import ControlledResult, summarise
from eval.records import Records
from eval.runner import QUESTIONS_FILE, cut_notes, load_and_measure, provenance
from eval.selection import usable_questions
from rag.progress import StageProgress
from rag.questions import Question, load_questions
from rag.readers import Reader
from rag.scale import Executor, LocalExecutor
from rag.scale.readers import reader_or_checksum
from rag.settings_base import SettingsError

_NOT_ON_RECORDS = ("games", "limit", "tries")  # settings that say which records there are, not what is in them


def evaluate_controlled(
    run: ControlledRun,
    out: Path | None = None,
    *,
    root: Path | None = None,
    reader: Reader | None = None,
    progress: StageProgress | None = None,
    executor: Executor | None = None,
) -> ControlledResult:
    """Measure the methods of a run on its games.

    The questions are tried in a random order, the same for every game. The arguments are those of
    `evaluate_attribution`, and so is what is kept in `out`, which goes on with more games, a larger `limit` or more
    `tries`.

    Raises:
        CorpusError, FileNotFoundError: the data cannot be read.
        SettingsError: no question has a gold passage, too few passages are of other articles, or `out` holds records
            of other settings.
    """
    root = root or Path()
    data = load_questions([root / path for path in run.data])
    asked, warnings = usable_questions(data, run)
    marked = [question for question in asked if question.place is not None]
    if not marked:
        raise SettingsError(
            f"none of {len(asked)} questions says where its answer stands in a passage; give SQuAD's layout"
        )
    tried = random.Random(run.seed).sample(marked, len(marked))[: run.tries]
    maker = CaseMaker(data, run.depth, run.seed)
    made = provenance(run, root, reader or run.reader, "scikit-learn")
    executor = executor or LocalExecutor()
    on_records = {key: value for key, value in made["settings"].items() if key not in _NOT_ON_RECORDS}
    path = None if out is None else out / QUESTIONS_FILE
    with closing(Records(path, {**made, "settings": on_records})) as records:
        played: Counter[str] = Counter()

        def note(record: Mapping[str, Any]) -> None:
            played[record["game"]] += "methods" in record
            if progress is not None:
                progress(record["game"], min(played[record["game"]], run.limit), run.limit)

        def missing() -> Iterator[tuple[str, list[Case]]]:
            """What is left to try, game by game, until enough cases are played."""
            for game, question in product(run.games, tried):
                if played[game] < run.limit:
                    if (name := _name(game, question)) in records:
                        note(records[name])
                    else:
                        yield name, maker.cases(game, question)

        left = missing()
        for first in islice(left, 1):  # where nothing is left, no reader is loaded
            shared = reader_or_checksum(reader, made["reader"], executor)
            handle = partial(load_and_measure, measure_cases, run, shared)
            for record in executor.map(handle, chain([first], left)):
                records.add(record)
                note(record)
        known = {game: [records[n] for q in tried if (n := _name(game, q)) in records] for game in run.games}
        return summarise(run, known, made, [*warnings, *records.warnings, *cut_notes(list(chain(*known.values())))])


def _name(game: str, question: Question) -> str:
    return f"{game}/{question.id}"
