"""By what a question's candidates are reranked, all from one encoding and one game of each kind.

A scoring is written SEMIVALUE, SEMIVALUE:positive, SEMIVALUE:pivots or SEMIVALUE:likelihood, the semivalue being
"shapley", "banzhaf" ("banzhaf@0.1" with that inclusion probability), "leave-one-out" or "first-in"; or a score of the
reader's own: "relevance", the embedded reader's, which costs nothing, or "attention", the cross-attention that a
passage gets while the answer is given. Alone it is the value for the answer in votes; "likelihood" is that in
log-probability ("first-in:likelihood": of the answer from each passage by itself). With "+rrf" at its end it is fused
with the order that it reranks.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from attribution import Attribution, CachedGame, LikelihoodGame, VotesGame, explain
from attribution.attribution import descending
from attribution.estimator import SEMIVALUES
from rag.explanation.coalition_answers import CoalitionAnswers
from rag.explanation.passages import stopping_rule
from rag.readers import EncodedQuestion, Reader
from rag.readers.base import AttentiveReader, Coalitions, CostlyReader
from rag.readers.embedded import EmbeddedReader
from rag.rerank import BY_VALUES, Scores, fuse, passage_scores
from rag.settings import AttributionSettings
from rag.settings_base import SettingsError
from retrievers import Passage

_MODES = (*BY_VALUES, "likelihood")
_OWN = ("relevance", "attention")


class Scoring(NamedTuple):
    """A parsed scoring: `semivalue` may name a reader's own score, `mode` is in `_MODES`, `p` is Banzhaf's."""

    semivalue: str
    mode: str
    fused: bool
    p: float | None = None


class Scored(NamedTuple):
    """Score of each candidate, `(n_passages,)`, and the distinct coalitions that it took."""

    scores: Scores
    evaluations: int


def parse_scoring(name: str) -> Scoring:
    """Read "shapley", "shapley:pivots+rrf" and so on; raises `ValueError` for anything else."""
    base, plus, fusion = name.partition("+")
    semivalue, colon, mode = base.partition(":")
    semivalue, at, given = semivalue.partition("@")
    p = _probability(given) if at and semivalue == "banzhaf" else None
    own = semivalue in _OWN and not colon
    known = (own or semivalue in SEMIVALUES) and (p is not None or not at)
    if not known or (colon and mode not in _MODES) or (plus and fusion != "rrf"):
        raise ValueError(
            f"rerank: {name!r} is unknown; write {' or '.join(_OWN)}, or {', '.join(SEMIVALUES)} or banzhaf@0.1, "
            f"then perhaps one of {', '.join(f':{m}' for m in _MODES)}, then perhaps +rrf"
        )
    return Scoring(semivalue, mode or "value", bool(plus), p)


def _probability(text: str) -> float | None:
    """A number between 0 and 1, both excluded; None for anything else."""
    try:
        p = float(text)
    except ValueError:
        return None
    return p if 0 < p < 1 else None


class CandidateScores:
    """The candidates of one question: encoded once, and each coalition asked once per utility.

    Args:
        reader: the reader.
        question: the question.
        passages: the candidates, in the order that is reranked.
        settings: estimator, budget, stopping and seed.
        n_games: how many scores will be asked for, which tells a costly reader what to expect.
        encoded: the candidates, where the reader has encoded them already.

    Attributes:
        encoded: the encoded question.
        answer: the reader's answer from all candidates.
        answers: those from any of them.
        games: by utility, the game that remembers its coalitions; output 0 is the answer.
        seconds: time spent in the reader, for "encode" and by utility.
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
        self.seconds = {"encode": 0.0, "votes": 0.0, "likelihood": 0.0}
        with self._timed("encode"):
            self.encoded = reader.encode(question, passages) if encoded is None else encoded
        self._batch_size = 1024
        if isinstance(reader, CostlyReader):
            reader.announce(self.encoded, min(2**self.n, n_games * settings.budget))
            self._batch_size = reader.batch_size
        self.answers = CoalitionAnswers(reader, self.encoded)
        everything = np.ones((1, self.n), dtype=bool)
        votes = CachedGame(VotesGame(self._generate), self.n, batch_size=self._batch_size)
        votes(everything)
        self.answer = votes.outputs[0]
        likelihood = LikelihoodGame(self._score, [self.answer])
        self.games = {
            "votes": votes,
            "likelihood": CachedGame(likelihood, self.n, batch_size=self._batch_size),
        }
        self._attributions: dict[tuple[Scoring, int, int], Attribution] = {}

    def _generate(self, rows: Coalitions) -> list[str]:
        with self._timed("votes"):
            return self.answers(rows)

    def _score(self, rows: Coalitions, answers: Sequence[str]) -> Scores:
        with self._timed("likelihood"):
            return self.reader.score(self.encoded, rows, answers)

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[stage] += time.perf_counter() - started

    def __call__(self, scoring: Scoring, seed: int | None = None) -> Scored:
        """Score the candidates; raises `SettingsError` where reader or estimator cannot."""
        if scoring.semivalue == "relevance":
            if not isinstance(self.reader, EmbeddedReader):
                raise SettingsError("rerank: relevance is the embedded reader's score; another reader has none")
            return Scored(self.reader.relevance(self.encoded), 0)
        if scoring.semivalue == "attention":
            if not isinstance(self.reader, AttentiveReader):
                raise SettingsError("rerank: attention is for readers with cross-attention; leave it out")
            return Scored(self.reader.attention(self.encoded, self.answer), 1)
        attribution = self.attribution(scoring, seed=seed)
        return Scored(
            passage_scores(attribution, "value" if scoring.mode == "likelihood" else scoring.mode),
            attribution.evaluations,
        )

    def attribution(self, scoring: Scoring, *, seed: int | None = None, budget: int | None = None) -> Attribution:
        """The attribution that a score is read from; seed and budget are by default those of the settings."""
        seed, budget = self.settings.seed if seed is None else seed, budget or self.settings.budget
        semivalue, mode, _, p = scoring
        # Values and their positive sums are read from one attribution.
        alike = mode if mode in ("likelihood", "pivots") else "value"
        key = Scoring(semivalue, alike, False, p), seed, budget
        if key not in self._attributions:
            shapley, sampled = semivalue == "shapley", semivalue in ("shapley", "banzhaf")
            self._attributions[key] = explain(
                self.games["likelihood" if mode == "likelihood" else "votes"],
                self.n,
                estimator=self.settings.estimator if shapley else "auto",
                semivalue=semivalue,
                p=p or self.settings.p if semivalue == "banzhaf" else 0.5,
                budget=budget,
                permutations=self.settings.permutations if shapley else None,
                seed=seed,
                batch_size=self._batch_size,
                until=stopping_rule(self.settings) if sampled else None,
                pivots=mode == "pivots",
            )
        return self._attributions[key]


def rerank(scored: Scored, fused: bool, rrf_k: float) -> tuple[list[int], Scores]:
    """Candidates from best to worst, equal ones in their given order, and the scores that say so, in that order."""
    scores = fuse(scored.scores, rrf_k) if fused else scored.scores
    order = descending(scores)
    return order.tolist(), scores[order]
