"""One question over given passages: encode once, play the game over the passages, attribute the answer."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from attribution import Attribution, LikelihoodGame, VotesGame, explain, normalize_answer
from rag.readers import EncodedQuestion, Reader
from rag.readers.base import Coalitions, CostlyReader
from rag.settings import AttributionSettings
from retrievers import Passage

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Explanation:
    """What the reader made of a question and its passages.

    Attributes:
        encoded: the encoded question; answers for further coalitions come from it.
        text: the answer from all passages.
        attribution: values of the passages (players are passage ids in the order given).
        votes: for each answer met, by normalised text, how many coalitions gave it; empty for likelihood.
        seconds: time of the stages "encode" and "attribute".
    """

    encoded: EncodedQuestion
    text: str
    attribution: Attribution
    votes: Mapping[str, int]
    seconds: Mapping[str, float]

    def share(self, answer: str) -> float:
        """Part of the evaluated coalitions that gave an answer, 0 to 1."""
        total = sum(self.votes.values())
        return self.votes.get(normalize_answer(answer), 0) / total if total else 0.0


def explain_passages(
    reader: Reader,
    question: str,
    passages: Sequence[Passage],
    settings: AttributionSettings | None = None,
    progress: Progress | None = None,
) -> Explanation:
    """Attribute the reader's answer to the passages.

    Args:
        reader: the reader.
        question: the question; blank raises `ValueError`.
        passages: the players; none is allowed, the answer is then from the question alone.
        settings: utility, estimator and budget.
        progress: called as progress(evaluations, budget).
    """
    settings = settings or AttributionSettings()
    started = time.perf_counter()
    encoded = reader.encode(question, passages)
    encoded_at = time.perf_counter()
    costly = reader if isinstance(reader, CostlyReader) else None
    if costly is not None:
        # Beyond the budget, the final answer may ask for the first 0, 1, … passages.
        costly.announce(encoded, min(settings.budget + len(passages) + 1, 2 ** len(passages)))
    text = reader.generate(encoded, np.ones((1, len(passages)), dtype=bool))[0]
    votes: Counter[str] = Counter()

    def generate(coalitions: Coalitions) -> list[str]:
        answers = reader.generate(encoded, coalitions)
        votes.update(normalize_answer(answer) for answer in answers)
        return answers

    game: VotesGame | LikelihoodGame
    if settings.utility == "votes":
        game = VotesGame(generate)
    else:
        game = LikelihoodGame(lambda rows, answers: reader.score(encoded, rows, answers), [text])
    attribution = explain(
        game,
        len(passages),
        players=[passage.id for passage in passages],
        estimator=settings.estimator,
        semivalue=settings.semivalue,
        p=settings.p,
        budget=settings.budget,
        permutations=settings.permutations,
        seed=settings.seed,
        batch_size=1024 if costly is None else costly.batch_size,
        progress=progress,
    )
    seconds = {"encode": encoded_at - started, "attribute": time.perf_counter() - encoded_at}
    return Explanation(encoded, text, attribution, dict(votes), seconds)
