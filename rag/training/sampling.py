"""What each training step reads: questions, their passages, and coalitions of these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag.questions import Question, QuestionSet, holds_answer


@dataclass(frozen=True)
class Example:
    """One question as a step reads it.

    Attributes:
        question: its index.
        passages: indices of its passages; one holds the answer, the negatives do not.
        holder: column of the passage with the answer.
        coalitions: bool `(n_coalitions, n_passages)`; the answer is asked for where the holder is in, else none.
            Gold passages without the answer, which lead to it, are in wherever the holder is.
    """

    question: int
    passages: tuple[int, ...]
    holder: int
    coalitions: NDArray[np.bool_]


class ExampleSampler:
    """Draws the examples of step number `step` from a seed, the same whenever they are asked for.

    Args:
        data: passages and questions.
        negatives: indices of hard negatives per question, best match first.
        seed: of all random choices.
        doubles: index of the outdated double of each question's gold passage, or None; see `rag.training.outdated`.
        bridges: indices of composed questions; see `rag.training.bridges`.
    """

    def __init__(
        self,
        data: QuestionSet,
        negatives: Sequence[Sequence[int]],
        seed: int,
        doubles: Sequence[int | None] | None = None,
        bridges: Sequence[int] = (),
    ):
        self.data = data
        self.negatives = negatives
        self.seed = seed
        self.doubles = doubles or [None] * len(data.questions)
        self.bridges = bridges
        self._originals = min((index for index in self.doubles if index is not None), default=len(data.passages))

    def walk(self, questions: Sequence[int], first: int, count: int) -> list[int]:
        """Positions `first` to `first + count` of a walk through `questions`, shuffled anew in each epoch."""
        picked = []
        for position in range(first, first + count):
            epoch, offset = divmod(position, len(questions))
            rng = np.random.default_rng([self.seed, 1, epoch])
            picked.append(questions[rng.permutation(len(questions))[offset]])
        return picked

    def draw(
        self,
        step: int,
        questions: Sequence[int],
        negatives: int,
        coalitions: int,
        outdated: float = 0.0,
        bridges: float = 0.0,
    ) -> list[Example]:
        """The examples of one step.

        Args:
            step: number of the step; with the seed it fixes every random choice.
            questions: indices of the questions; each has a `place`.
            negatives: passages beside the one with the answer, first the other gold ones, then hard negatives drawn
                from the best `4 * negatives`.
            coalitions: coalitions per question; the first is all passages, the others are random.
            outdated: probability that one of the negatives is the gold passage's outdated double, if it has one.
            bridges: probability that a question is exchanged for a composed one, if there are any.

        Raises:
            ValueError: the pool has too few passages without the answer.
        """
        rng = np.random.default_rng([self.seed, step])
        if bridges and self.bridges:
            questions = [
                self.bridges[int(rng.integers(len(self.bridges)))] if rng.random() < bridges else index
                for index in questions
            ]
        return [self._example(rng, index, negatives, coalitions, outdated) for index in questions]

    def _example(self, rng: np.random.Generator, index: int, negatives: int, rows: int, outdated: float) -> Example:
        question = self.data.questions[index]
        if question.place is None:
            raise ValueError(f"question {question.id} has no answer in a gold passage; leave it out")
        others = [passage for passage in question.gold if passage != question.place.passage]
        gold = [question.place.passage, *others][: negatives + 1]
        wanted = negatives + 1 - len(gold)
        pool = self.negatives[index][: 4 * negatives]
        chosen = [int(passage) for passage in rng.permutation(pool)[:wanted]] if wanted else []
        if len(chosen) < wanted:
            chosen += self._fillers(rng, question, chosen, wanted - len(chosen))
        for passage in gold:
            chosen.insert(int(rng.integers(len(chosen) + 1)), passage)
        holder = chosen.index(question.place.passage)
        coalitions = _coalitions(rng, len(chosen), rows, holder)
        for column, passage in enumerate(chosen):
            if passage in gold and not holds_answer(self.data.passages[passage].full_text, question.answers):
                coalitions[coalitions[:, holder], column] = True
        double = self.doubles[index]
        others = [column for column, passage in enumerate(chosen) if passage not in question.gold]
        if outdated and others and double is not None and rng.random() < outdated:
            column = others[int(rng.integers(len(others)))]
            chosen[column] = double
            # What to say from an outdated passage alone is not taught, neither to answer nor to decline.
            coalitions[~coalitions[:, holder], column] = False
        return Example(index, tuple(chosen), holder, coalitions)

    def _fillers(self, rng: np.random.Generator, question: Question, chosen: Sequence[int], n: int) -> list[int]:
        """Random passages without the answer, for a question with too few hard negatives."""
        fillers: list[int] = []
        for passage in rng.permutation(self._originals).tolist():
            if passage in question.gold or passage in chosen:
                continue
            if not holds_answer(self.data.passages[passage].full_text, question.answers):
                fillers.append(passage)
            if len(fillers) == n:
                return fillers
        raise ValueError(
            f"question {question.id} has too few passages without its answer: "
            f"{len(chosen) + len(fillers)} of {len(chosen) + n}; train on more passages, or with fewer negatives"
        )


def _coalitions(rng: np.random.Generator, players: int, rows: int, holder: int) -> NDArray[np.bool_]:
    """All passages; then random subsets of every size, alternately with and without the holder of the answer."""
    coalitions = np.ones((rows, players), dtype=bool)
    for row in range(1, rows):
        size = int(rng.integers(players + 1))
        coalitions[row] = False
        coalitions[row, rng.permutation(players)[:size]] = True
        coalitions[row, holder] = row % 2 == 1
    return coalitions
