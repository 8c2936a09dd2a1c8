"""By what a question's candidates are reranked, all from one encoding and one game of each kind.

A scoring is written SEMIVALUE, SEMIVALUE:positive, SEMIVALUE:pivots or SEMIVALUE:likelihood, the semivalue being
"shapley", "banzhaf", "leave-one-out" or "first-in"; or "relevance", the embedded reader's own score, which costs
nothing. Alone it is the value for the answer in votes; "likelihood" is that in log-probability ("first-in:likelihood":
of the answer from each passage by itself). With "+rrf" at its end it is fused with the order that it reranks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from attribution import Attribution, CachedGame, Game, LikelihoodGame, VotesGame, explain
from attribution.attribution import descending
from attribution.estimator import SEMIVALUES
from rag.explanation.coalition_answers import CoalitionAnswers
from rag.explanation.passages import stopping_rule
from rag.readers import EncodedQuestion, Reader
from rag.readers.base import CostlyReader
from rag.readers.embedded import EmbeddedReader
from rag.rerank import SCORES, Scores, passage_scores
from rag.settings import AttributionSettings, SettingsError
from retrievers import Passage

_MODES = (*SCORES, "likelihood")


class Scoring(NamedTuple):
    """A parsed scoring: `semivalue` may be "relevance"; `mode` is a rerank score or "likelihood"."""

    semivalue: str
    mode: str
    fused: bool


class Scored(NamedTuple):
    """Score of each candidate, `(n_passages,)`, and the distinct coalitions that it took."""

    scores: Scores
    evaluations: int


def parse_scoring(name: str) -> Scoring:
    """Read "shapley", "shapley:pivots+rrf" and so on; raises `ValueError` for anything else."""
    base, plus, fusion = name.partition("+")
    semivalue, colon, mode = base.partition(":")
    relevance = semivalue == "relevance" and not colon
    if (not relevance and semivalue not in SEMIVALUES) or (colon and mode not in _MODES) or (plus and fusion != "rrf"):
        raise ValueError(
            f"rerank: {name!r} is unknown; write relevance, or one of {', '.join(SEMIVALUES)}, "
            f"then perhaps one of {', '.join(f':{m}' for m in _MODES)}, then perhaps +rrf"
        )
    return Scoring(semivalue, mode or "value", bool(plus))


class CandidateScores:
    """The candidates of one question: encoded once, and each coalition asked once per utility.

    Args:
        reader: the reader.
        question: the question.
        passages: the candidates, in the order that is reranked.
        settings: estimator, budget, stopping and seed.
        n_games: how many scores will be asked for, which tells a costly reader what to expect.
        encoded: the candidates, where the reader has encoded them already.
    """

    def __init__(
        self,
        reader: Reader,
        question: str,
        passages: Sequence[Passage],
        settings: AttributionSettings,
        n_games: int = 1,
        encoded: EncodedQuestion | None = None,
    ):
        self.reader, self.settings, self.n = reader, settings, len(passages)
        self.encoded = reader.encode(question, passages) if encoded is None else encoded
        self._batch_size = 1024
        if isinstance(reader, CostlyReader):
            reader.announce(self.encoded, min(2**self.n, n_games * settings.budget))
            self._batch_size = reader.batch_size
        self.answers = CoalitionAnswers(reader, self.encoded)
        self.answer = self.answers(np.ones((1, self.n), dtype=bool))[0]
        score = LikelihoodGame(lambda rows, texts: reader.score(self.encoded, rows, texts), [self.answer])
        self._games: dict[str, Game] = {"votes": VotesGame(self.answers), "likelihood": CachedGame(score, self.n)}
        self._attributions: dict[tuple[str, str, bool], Attribution] = {}

    def __call__(self, scoring: Scoring) -> Scored:
        """Score the candidates; raises `SettingsError` where reader or estimator cannot."""
        if scoring.semivalue == "relevance":
            if not isinstance(self.reader, EmbeddedReader):
                raise SettingsError("rerank: relevance is the embedded reader's score; another reader has none")
            return Scored(self.reader.relevance(self.encoded), 0)
        likelihood = scoring.mode == "likelihood"
        attribution = self._attribution(scoring.semivalue, likelihood, scoring.mode == "pivots")
        return Scored(passage_scores(attribution, "value" if likelihood else scoring.mode), attribution.evaluations)

    def _attribution(self, semivalue: str, likelihood: bool, pivots: bool) -> Attribution:
        utility = "likelihood" if likelihood else "votes"
        key = semivalue, utility, pivots
        if key not in self._attributions:
            shapley, sampled = semivalue == "shapley", semivalue in ("shapley", "banzhaf")
            self._attributions[key] = explain(
                self._games[utility],
                self.n,
                estimator=self.settings.estimator if shapley else "auto",
                semivalue=semivalue,
                p=self.settings.p if semivalue == "banzhaf" else 0.5,
                budget=self.settings.budget,
                permutations=self.settings.permutations if shapley else None,
                seed=self.settings.seed,
                batch_size=self._batch_size,
                until=stopping_rule(self.settings) if sampled else None,
                pivots=pivots,
            )
        return self._attributions[key]


def rerank(scored: Scored, fused: bool, rrf_k: float) -> tuple[list[int], Scores]:
    """Candidates from best to worst, equal ones in their given order, and the scores that say so, in that order.

    Fused scores are 1 / (rrf_k + rank) in the given order plus the same by score (Cormack, Clarke and Büttcher 2009).
    """
    order, scores = descending(scored.scores), scored.scores
    if fused:
        ranks = np.empty(len(order))
        ranks[order] = np.arange(1, len(order) + 1)
        scores = 1 / (rrf_k + np.arange(1, len(order) + 1)) + 1 / (rrf_k + ranks)
        order = descending(scores)
    return order.tolist(), scores[order]
