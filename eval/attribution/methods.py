"""Methods that give a score to each passage of a question, all from one session.

A method is named as a score of `evaluate retrieval` (see `eval.retrieval.scoring`), or

- "lasso": ContextCite's surrogate (Cohen-Wang et al. 2024), a sparse linear model of the logit of the answer's
  probability; "lasso@64": the same from 64 coalitions, whatever the budget;
- "retriever": the reciprocal of the retriever's rank;
- "random": standard normal;
- "interactions", "interactions:likelihood": no score of a passage, but of each pair of passages.
"""

from __future__ import annotations

import re
import time
import zlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from attribution import Game, interactions
from eval.retrieval.scoring import Scored, ScoredSession, Scoring, parse_scoring, score_passages
from rag.estimation import budget_of
from rag.readers.base import Coalitions
from rag.scores import Scores, logit

PAIR_METHODS = ("interactions", "interactions:likelihood")
OTHER_METHODS = ("lasso", "retriever", "random", *PAIR_METHODS)
DEFAULT_METHODS = (
    *("shapley", "shapley:likelihood", "banzhaf", "banzhaf:likelihood", "banzhaf@0.1", "banzhaf@0.1:likelihood"),
    *("leave-one-out", "leave-one-out:likelihood", "first-in:likelihood"),
    *("lasso", "attention", "relevance", "retriever", "random", *PAIR_METHODS),
)

_LASSO = re.compile(r"lasso(?:@([1-9]\d*))?")


class Costed(NamedTuple):
    """Scores of passages `(n_passages,)` or of pairs `(n_passages, n_passages)`, and what they cost alone.

    Seconds: of encoding, of the evaluations (each at this question's mean of its utility), and of the arithmetic.
    """

    scores: Scores
    evaluations: int
    seconds: float


def parse_method(name: str) -> Scoring | None:
    """The scoring of a name; None for one of `OTHER_METHODS` or "lasso@…"; raises `ValueError` for anything else."""
    if name in OTHER_METHODS or _LASSO.fullmatch(name):
        return None
    try:
        scoring = parse_scoring(name)
    except ValueError:
        scoring = None
    if scoring is None or scoring.fused:
        raise ValueError(
            f"methods: {name!r} is unknown; write {', '.join(OTHER_METHODS)}, lasso@64, or a score of "
            "`evaluate retrieval` without +rrf, such as shapley, banzhaf@0.1:likelihood or relevance"
        )
    return scoring


def is_sampled(name: str) -> bool:
    """Whether scores depend on a seed."""
    scoring = parse_method(name)
    if scoring is None:
        return name == "random" or _LASSO.fullmatch(name) is not None
    return scoring.semivalue in ("shapley", "banzhaf")


class QuestionMethods:
    """The methods for one question.

    Args:
        session: the question with its passages; its settings say the estimator and the budget.
        name: the question's id.
        ranks: the retriever's rank of each passage, from 0.
        lasso_alpha: weight of the penalty of "lasso".
    """

    def __init__(self, session: ScoredSession, name: str, ranks: Sequence[int], lasso_alpha: float):
        self.session = session
        self._number = zlib.crc32(name.encode())
        self._ranks, self._alpha = ranks, lasso_alpha
        self._sign = 1.0 if session.answer else -1.0  # "no answer": what is taken from it counts

    def __call__(self, name: str, seed: int) -> Callable[[], Costed]:
        """Score now; the cost is known when all methods are through."""
        seconds = self.session.seconds
        before, started = sum(seconds.values()), time.perf_counter()
        scored = self._score(name, seed)
        arithmetic = time.perf_counter() - started - (sum(seconds.values()) - before)

        def costed() -> Costed:
            if name in ("retriever", "random"):
                return Costed(scored.scores, 0, arithmetic)
            votes = _utility(name) == "votes"
            stage, read = ("generate", self.session.decodes) if votes else ("score", self.session.scored)
            reading = seconds.get(stage, 0.0) * scored.evaluations / max(1, read)
            return Costed(scored.scores, scored.evaluations, seconds["encode"] + reading + arithmetic)

        return costed

    def _score(self, name: str, seed: int) -> Scored:
        n = self.session.n_read
        budget = budget_of(self.session.sampling, self.session.reader, n)
        scoring = parse_method(name)
        if scoring is not None:
            return score_passages(self.session, scoring, seed)
        if name == "retriever":
            return Scored(1 / (1 + np.asarray(self._ranks, dtype=np.float64)), 0)
        if name == "random":
            return Scored(np.random.default_rng([seed, self._number]).standard_normal(n), 0)
        game = self.session.game(_utility(name))
        if own := _LASSO.fullmatch(name):
            scored = lasso(game, n, int(own[1] or budget), self._alpha, seed)
            return Scored(self._sign * scored.scores, scored.evaluations)
        found = interactions(game, n, budget=budget, seed=seed)
        return Scored(self._sign * found.values[0], found.evaluations)


def _utility(name: str) -> str:
    return "likelihood" if name.endswith(":likelihood") or _LASSO.fullmatch(name) else "votes"


def lasso(game: Game, n_players: int, budget: int, alpha: float, seed: int) -> Scored:
    """Coefficients of a sparse linear model of the logit of the answer's probability (Cohen-Wang et al. 2024).

    It is fitted to as many different coalitions as the budget admits; each player is in with probability 1/2. Players
    are standardised before the penalty.

    Args:
        game: the answer's log-probability, output 0.
        n_players: number of players.
        budget: most coalitions.
        alpha: weight of the penalty against half the mean squared error.
        seed: of the draws.
    """
    from sklearn.linear_model import Lasso

    rows = random_coalitions(n_players, min(budget, 2**n_players), np.random.default_rng(seed))
    targets = logit(np.asarray(game(rows))[:, 0])
    deviation = rows.std(axis=0)
    scale = np.where(deviation > 0, deviation, 1.0)
    model = Lasso(alpha=alpha).fit((rows - rows.mean(axis=0)) / scale, targets)
    return Scored(model.coef_ / scale, len(rows))


def random_coalitions(n_players: int, count: int, rng: np.random.Generator) -> Coalitions:
    """Different coalitions, uniformly drawn, bool `(count, n_players)`."""
    if 2**n_players <= 4 * count:
        numbers = rng.permutation(2**n_players)[:count]
        return (numbers[:, None] >> np.arange(n_players) & 1).astype(bool)
    drawn = rng.random((2 * count, n_players)) < 0.5
    _, first = np.unique(drawn, axis=0, return_index=True)
    return drawn[np.sort(first)[:count]]
