"""The scores by which a question's passages are reranked, all from one session.

A scoring is written SEMIVALUE, SEMIVALUE:positive, SEMIVALUE:graded, SEMIVALUE:pivots or SEMIVALUE:likelihood, the
semivalue being "shapley", "banzhaf" ("banzhaf@0.1" with that inclusion probability), "leave-one-out" or "first-in"; or
a score of the reader's own: "relevance", the embedded reader's, which costs nothing, or "attention", the
cross-attention that a passage gets while the answer is given; or "learned-attention:FILE", the same with a learned
weight for each head; or "cross-encoder:NAME", the score of a model of the hub or of a folder. Alone, a semivalue is
that for the answer in votes; "graded" is the score of `rag.Reranker`, in which relevance counts too; "likelihood" is
that in log-probability ("first-in:likelihood": of the answer from each passage alone). With "+rrf" at its end, a score
is fused with the order that it reranks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from attribution import Attribution
from attribution.attribution import descending
from attribution.estimator import SEMIVALUES
from eval.named_models import CROSS_ENCODER, LEARNED_ATTENTION, NAMED
from eval.retrieval.cross_encoder import score_by_cross_encoder
from eval.retrieval.learned_attention import score_by_learned_attention
from rag.estimation import budget_of
from rag.grades import session_grades
from rag.readers.base import AttentiveReader, Reader
from rag.readers.embedded import EmbeddedReader
from rag.scores import DEFAULT_SCORE, OF_VALUES, Scores, passage_scores
from rag.session import Session
from rag.settings import AttributionSettings, Settings
from rag.settings_base import SettingsError
from retrievers import Passage

_MODES = (*OF_VALUES, "graded", "pivots", "likelihood")
_OWN = ("relevance", "attention")
_PER_PASSAGE = 10  # evaluations that are enough for any estimator


class Scoring(NamedTuple):
    """A parsed scoring.

    Attributes:
        semivalue: or the name of a score that is none, such as "relevance".
        mode: one of `_MODES`; of a cross-encoder, its name or folder; of learned attention, the file.
        fused: whether the score is fused with the order that it reranks.
        p: Banzhaf's probability.
    """

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
    kind, named, rest = name.partition(":")
    if named and kind in NAMED:
        model = rest.removesuffix("+rrf")
        if not model:
            raise ValueError(f"rerank: {kind}: needs {NAMED[kind]} behind it")
        return Scoring(kind, model, name.endswith("+rrf"))
    base, plus, fusion = name.partition("+")
    semivalue, colon, mode = base.partition(":")
    semivalue, at, given = semivalue.partition("@")
    p = _probability(given) if at and semivalue == "banzhaf" else None
    own = semivalue in _OWN and not colon
    known = (own or semivalue in SEMIVALUES) and (p is not None or not at)
    if not known or (colon and mode not in _MODES) or (plus and fusion != "rrf"):
        raise ValueError(
            f"rerank: {name!r} is unknown; write {', '.join(_OWN)}, learned-attention:FILE, cross-encoder:NAME, or "
            f"{', '.join(SEMIVALUES)} or banzhaf@0.1, then perhaps one of {', '.join(f':{m}' for m in _MODES)}, "
            "then perhaps +rrf"
        )
    return Scoring(semivalue, mode or "value", bool(plus), p)


def _probability(text: str) -> float | None:
    """A number between 0 and 1, both excluded; None for anything else."""
    try:
        p = float(text)
    except ValueError:
        return None
    return p if 0 < p < 1 else None


class ScoredSession(Session):
    """A session that is attributed in several ways, of which none is the one that its settings describe.

    Args:
        reader: the reader.
        question: the question.
        passages: the candidates.
        sampling: estimator, budget, stopping and seed of each attribution.
        n_scores: how many attributions a costly reader should expect.
    """

    def __init__(
        self,
        reader: Reader,
        question: str,
        passages: Sequence[Passage],
        sampling: AttributionSettings,
        n_scores: int = 1,
    ):
        self.sampling = sampling
        most = min(2 ** len(passages), n_scores * budget_of(sampling, reader, len(passages)))
        unlimited = AttributionSettings(budget=_PER_PASSAGE * len(passages) + _PER_PASSAGE)
        super().__init__(reader, question, passages, Settings(attribution=unlimited), most_decodes=most)


def score_passages(session: ScoredSession, scoring: Scoring, seed: int | None = None) -> Scored:
    """Score a session's passages; raises `SettingsError` where reader or estimator cannot."""
    reader, encoded = session.reader, session.encoded
    if scoring.semivalue == CROSS_ENCODER:
        return Scored(score_by_cross_encoder(scoring.mode, session.encoded.question, session.passages), 0)
    if scoring.semivalue == LEARNED_ATTENTION:
        return Scored(score_by_learned_attention(scoring.mode, reader, encoded, session.answer), 1)
    if scoring.semivalue == "relevance":
        if not isinstance(reader, EmbeddedReader):
            raise SettingsError("rerank: relevance is the embedded reader's score; another reader has none")
        return Scored(reader.relevance(encoded), 0)
    if scoring.semivalue == "attention":
        if not isinstance(reader, AttentiveReader):
            raise SettingsError("rerank: attention is for readers with cross-attention; leave it out")
        return Scored(reader.attention(encoded, session.answer), 1)
    attribution = attribute(session, scoring, seed=seed)
    if scoring.mode == "graded":
        return Scored(session_grades(session, attribution), attribution.evaluations)
    return Scored(passage_scores(attribution, _score_of(scoring)), attribution.evaluations)


def attribute(
    session: ScoredSession, scoring: Scoring, *, seed: int | None = None, budget: int | None = None
) -> Attribution:
    """The attribution that a score is read from; seed and budget are by default those of the session's sampling."""
    own = session.sampling
    shapley, sampled = scoring.semivalue == "shapley", scoring.semivalue in ("shapley", "banzhaf")
    changes = {
        "utility": "likelihood" if scoring.mode == "likelihood" else "votes",
        "estimator": own.estimator if shapley else "auto",
        "semivalue": scoring.semivalue,
        "p": scoring.p or own.p if scoring.semivalue == "banzhaf" else 0.5,
        "budget": budget or own.budget,
        "permutations": own.permutations if shapley else None,
        "seed": own.seed if seed is None else seed,
        "until": own.until if sampled else "none",
    }
    return session.attribute(own.model_copy(update=changes), score=_score_of(scoring))


def _score_of(scoring: Scoring) -> str:
    return {"likelihood": "value", "graded": DEFAULT_SCORE}.get(scoring.mode, scoring.mode)


def rerank(scored: Scored, fused: bool, rrf_k: float) -> tuple[list[int], Scores]:
    """Candidates from best to worst, equal ones in their given order, and the scores that say so, in that order."""
    scores = fuse_with_given_order(scored.scores, rrf_k) if fused else scored.scores
    order = descending(scores)
    return order.tolist(), scores[order]


def fuse_with_given_order(scores: Scores, rrf_k: float) -> Scores:
    """1 / (rrf_k + rank) in the order given plus the same by score (Cormack, Clarke and Büttcher 2009), `(n,)`."""
    ranks = np.empty(len(scores))
    ranks[descending(scores)] = np.arange(1, len(scores) + 1)
    fused: Scores = 1 / (rrf_k + np.arange(1, len(scores) + 1)) + 1 / (rrf_k + ranks)
    return fused
