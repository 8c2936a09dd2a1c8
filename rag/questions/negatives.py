"""Hard negatives: passages that look right for a question and do not hold its answer."""

from __future__ import annotations

from collections.abc import Sequence

from rag.progress import Progress
from rag.questions.matching import whole_words
from rag.questions.question import Question
from retrievers import Passage, Retriever

_AT_ONCE = 1024  # questions that are searched for together, and between two reports of progress


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
    words = [whole_words(passage.full_text) for passage in passages]
    negatives: list[list[int]] = []
    for first in range(0, len(questions), _AT_ONCE):
        part = questions[first : first + _AT_ONCE]
        for question, hits in zip(part, retriever.search_many([q.text for q in part], depth), strict=True):
            answers = [sought for sought in map(whole_words, question.answers) if sought != " "]
            found = [position[hit.passage.id] for hit in hits]
            negatives.append([p for p in found if p not in question.gold and not any(a in words[p] for a in answers)])
        if progress is not None:
            progress(len(negatives), len(questions))
    return negatives
