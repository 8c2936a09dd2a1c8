"""The passages that each question's answer is attributed to, and where the retriever ranks them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from eval.attribution.settings import AttributionRun
from eval.retrieval.first_stage import FirstStages, Search
from eval.retrieval.settings import Kind
from eval.retrieval.task import Task
from rag.progress import StageProgress
from rag.questions import Question
from rag.settings_base import SettingsError
from retrievers import Passage

_AT_ONCE = 16  # questions retrieved together


def find_candidates(
    run: AttributionRun, task: Task, questions: Sequence[Question], root: Path, progress: StageProgress | None
) -> Iterator[tuple[Question, list[Passage], list[int], set[str]]]:
    """Each question, its passages in the reader's order, their ranks by the retriever, and the ids marked as evidence.

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
        return FirstStages(run, [kind], depth, task, root, progress=progress).searches[kind]

    given = stage("own" if own else run.retriever, run.depth)
    whole = stage(run.retriever, len(task.data.passages)) if own and "retriever" in run.systems() else None
    for start in range(0, len(questions), _AT_ONCE):
        some = questions[start : start + _AT_ONCE]
        passages = given(some)
        ranked = passages if whole is None else whole(some)
        for question, shown, order in zip(some, passages, ranked, strict=True):
            place = {passage.id: rank for rank, passage in enumerate(order)}
            ranks = [place.get(passage.id, len(place)) for passage in shown]
            yield question, shown, ranks, task.relevant(question)
