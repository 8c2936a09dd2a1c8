"""One question over given passages: encode once, play the game over the passages, attribute the answer."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from attribution import (
    Attribution,
    LikelihoodGame,
    StoppingRule,
    TargetError,
    TopKCertain,
    VotesGame,
    explain,
    normalize_answer,
)
from rag.explanation.coalition_answers import CoalitionAnswers
from rag.readers import EncodedQuestion, Reader
from rag.readers.base import Coalitions, CostlyReader
from rag.settings import AttributionSettings
from retrievers import Passage

Progress = Callable[[int, int], None]

_CERTAIN = 5  # passages, where nothing says how many


@dataclass(frozen=True)
class Explanation:
    """What the reader made of a question and its passages.

    Attributes:
        encoded: the encoded question.
        answers: the reader's answers from further coalitions; those met are not decoded again.
        text: the answer from all passages.
        attribution: values of the passages (players are passage ids in the order given).
        votes: for each answer met, by normalised text, how many coalitions gave it; empty for likelihood.
        seconds: time of the stages "encode" and "attribute".
    """

    encoded: EncodedQuestion
    answers: CoalitionAnswers
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
    pivots: bool = False,
) -> Explanation:
    """Attribute the reader's answer to the passages.

    Args:
        reader: the reader.
        question: the question; blank raises `ValueError`.
        passages: the players; none is allowed, the answer is then from the question alone.
        settings: utility, estimator and budget.
        progress: called as progress(evaluations, budget).
        pivots: whether they are needed; estimator "auto" then chooses one that gives them.
    """
    settings = settings or AttributionSettings()
    started = time.perf_counter()
    encoded = reader.encode(question, passages)
    encoded_at = time.perf_counter()
    costly = reader if isinstance(reader, CostlyReader) else None
    if costly is not None:
        costly.announce(encoded, most_decodes(settings, len(passages)))
    answers = CoalitionAnswers(reader, encoded)
    text = answers(np.ones((1, len(passages)), dtype=bool))[0]
    votes: Counter[str] = Counter()

    def generate(coalitions: Coalitions) -> list[str]:
        said = answers(coalitions)
        votes.update(normalize_answer(answer) for answer in said)
        return said

    game: VotesGame | LikelihoodGame
    if settings.utility == "votes":
        game = VotesGame(generate)
    else:
        game = LikelihoodGame(lambda rows, texts: reader.score(encoded, rows, texts), [text])
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
        until=stopping_rule(settings),
        pivots=pivots,
    )
    seconds = {"encode": encoded_at - started, "attribute": time.perf_counter() - encoded_at}
    return Explanation(encoded, answers, text, attribution, dict(votes), seconds)


def most_decodes(settings: AttributionSettings, n_passages: int) -> int:
    """How many coalitions may be decoded for one question, at most.

    Beyond the budget, the final answer may ask for the first 0, 1, … passages, and what is made of the attribution for
    single ones, for the minimal sets, and for interactions.
    """
    examined = 2 * settings.minimal_sets + settings.interactions * settings.budget + n_passages
    return int(min(settings.budget + n_passages + 1 + examined, 2**n_passages))


def stopping_rule(settings: AttributionSettings) -> StoppingRule | None:
    """The rule that the settings name; None to spend the whole budget."""
    if settings.until == "top-k certain":
        return TopKCertain(settings.k or _CERTAIN, settings.confidence, settings.margin)
    return TargetError(settings.target_error) if settings.until == "target error" else None
