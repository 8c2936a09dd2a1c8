"""The passages that each question's answer is attributed to, and where the retriever ranks them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from eval.attribution.settings import AttributionRun
from eval.retrieval.first_stage import FirstStages, Search
from eval.retrieval.settings import Kind
from eval.retrieval.task import Task
from rag.questions import Question
from rag.settings_base import SettingsError
from retrievers import Passage

_AT_ONCE = 16  # questions retrieved together


class Candidates(NamedTuple):
    """A question, its passages in the reader's order, and the retriever's rank of each."""

    question: Question
    passages: list[Passage]
    ranks: list[int]


def find_candidates(
    run: AttributionRun,
    task: Task,
    questions: Sequence[Question],
    root: Path,
    progress: Callable[[str, int, int], None] | None,
) -> Iterator[Candidates]:
    """The candidates of each question in turn.

    The retriever ranks a question's own passages by searching all passages of the data for it; those that it does not
    find come last, in their given order.

    Raises:
        SettingsError: own passages are asked for and no question has any.
        CorpusError, FileNotFoundError: the corpus or index cannot be read.
    """
    own = run.passages == "own"
    if own and not any(question.passages for question in task.questions):
        raise SettingsError("passages=own: no question brings passages; leave it out to retrieve them")

    def stage(kind: Kind, depth: int) -> Search:
        return FirstStages(run.search(kind, depth), task, root, progress).searches[kind]

    given = stage("own" if own else run.retriever, run.depth)
    whole = stage(run.retriever, len(task.data.passages)) if own and "retriever" in run.systems() else None
    for start in range(0, len(questions), _AT_ONCE):
        part = questions[start : start + _AT_ONCE]
        # What was searched may keep more than the depth.
        passages = [found[: run.depth] for found in given(part)]
        ranked = passages if whole is None else whole(part)
        for question, found, order in zip(part, passages, ranked, strict=True):
            place = {passage.id: rank for rank, passage in enumerate(order)}
            yield Candidates(question, found, [place.get(passage.id, len(place)) for passage in found])
