"""Hard negatives: passages that look right for a question and do not hold its answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from attribution import normalize_answer
from rag.questions.question import Question
from retrievers import Passage, Retriever

Progress = Callable[[int, int], None]
_AT_ONCE = 500  # questions between two reports of progress


def holds_answer(text: str, answers: Iterable[str]) -> bool:
    """Whether any of the answers stands in the text as whole words, both normalised."""
    words = _whole_words(text)
    return any(_whole_words(answer) in words for answer in answers if normalize_answer(answer))


def _whole_words(text: str) -> str:
    return f" {normalize_answer(text)} "


def mine_negatives(
    retriever: Retriever,
    passages: Sequence[Passage],
    questions: Sequence[Question],
    depth: int = 30,
    progress: Progress | None = None,
) -> list[list[int]]:
    """The passages that a retriever ranks highest for each question, without those that hold an accepted answer.

    Args:
        retriever: an index over `passages`.
        passages: the pool.
        questions: their gold passages are never negatives.
        depth: how many passages are retrieved.
        progress: called as progress(done, total), in questions.

    Returns:
        Indices into `passages` for each question, best match first.
    """
    position = {passage.id: index for index, passage in enumerate(passages)}
    words = [_whole_words(passage.full_text) for passage in passages]
    negatives: list[list[int]] = []
    for first in range(0, len(questions), _AT_ONCE):
        part = questions[first : first + _AT_ONCE]
        for question, hits in zip(part, retriever.search_many([q.text for q in part], depth), strict=True):
            answers = [_whole_words(answer) for answer in question.answers]
            found = [position[hit.passage.id] for hit in hits]
            negatives.append([p for p in found if p not in question.gold and not any(a in words[p] for a in answers)])
        if progress is not None:
            progress(len(negatives), len(questions))
    return negatives
