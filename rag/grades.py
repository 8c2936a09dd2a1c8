"""Graded scores: one number in [0, 1] for every document, the same in the service, the adapters and the pipeline.

A document's score says first what it contributed to the answer, compared with the document that contributed most, and
then, within each range, how relevant the reader finds it:

| score | the document |
|---|---|
| above 0.75, up to 1 | contributed more than three quarters of the largest contribution |
| above 0.5, up to 0.75 | contributed between a quarter and three quarters of it |
| above 0.1, up to 0.5 | contributed less, or nothing, or was not attributed |
| above 0, up to 0.1 | pulls away from the answer (only `rerank.score=value` tells) |
| 0 | is blank |

Contributions within one range count as equal, because estimates from some hundred coalitions do not tell them apart.
Scores descend strictly, and only equal texts have equal scores. Where the reader answers "no answer", relevance alone
decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from rag.readers.base import AttentiveReader, Screener
from rag.scores import Scores, passage_scores
from retrievers import Passage

if TYPE_CHECKING:
    from attribution import Attribution
    from rag.session import Session

DIGITS = 6
"""Decimal places of a score."""

_LEVEL = 0.5  # of the largest contribution: those that round to the same multiple of this count as equal
_LEAST = 1e-6  # a largest contribution below this is rounding error
_BEGINS = np.array([0.01, 0.055, 0.1, 0.5, 0.75, 1.0])  # where the scores of levels -2 to 2 begin, and the end


def answer_grades(answer: str, passages: Sequence[Passage], contributions: Scores, relevance: Scores | None) -> Scores:
    """`grades` of the documents to which an answer is attributed.

    Relevance alone decides where there is no answer. Where the reader does not say how relevant documents are (None),
    those that contributed equally stay in the order given.
    """
    if relevance is None:
        return grades(passages, contributions, np.full(len(passages), 0.5))
    return grades(passages, contributions if answer else np.zeros(len(passages)), relevance)


def grades(passages: Sequence[Passage], contributions: Scores, relevance: Scores) -> Scores:
    """Graded scores of documents, `(n,)`.

    Args:
        passages: the documents, in the order given.
        contributions: `(n,)`; 0 for a document that was not attributed.
        relevance: `(n,)` in [0, 1].
    """
    texts = [passage.full_text for passage in passages]
    contributions, relevance = _shared(texts, contributions), _shared(texts, relevance)
    largest = max(float(np.abs(contributions).max(initial=0.0)), _LEAST)
    level = np.round(contributions / largest / _LEVEL).astype(int) + 2
    begin, end = _BEGINS[level], _BEGINS[level + 1]
    return _descending(passages, texts, begin + (end - begin) * relevance)


def order_of(scores: Scores) -> list[int]:
    """Documents from the best grade to the worst; equal ones stay in the order given."""
    order: list[int] = np.argsort(-scores, kind="stable").tolist()
    return order


def relevance_of(session: Session) -> Scores | None:
    """How relevant the session's own reader finds the passages that it read, `(n_read,)` in [0, 1].

    The embedded reader's is a probability. That of a Fusion-in-Decoder reader is the share of cross-attention that a
    passage gets while the answer is given. None for readers that do not say, and where nothing was read.
    """
    reader = session.reader
    if not session.n_read:
        return None
    if isinstance(reader, Screener):
        return probability(reader.relevance(session.encoded))
    if isinstance(reader, AttentiveReader):
        return np.clip(reader.attention(session.encoded, session.answer), 0.0, 1.0)
    return None


def session_grades(session: Session, attribution: Attribution) -> Scores:
    """Graded scores of the passages that a session's reader read, `(n_read,)`."""
    contributions = passage_scores(attribution, session.settings.rerank.score)
    return answer_grades(session.answer, session.encoded.passages, contributions, relevance_of(session))


def probability(relevance: Scores) -> Scores:
    """Log-odds of being relevant, as the embedded reader gives them, as probabilities."""
    found: Scores = 0.5 * (1 + np.tanh(0.5 * relevance))  # the logistic function, without overflow
    return found


def _shared(texts: Sequence[str], numbers: Scores) -> Scores:
    """The numbers, of which equal texts get their mean."""
    if len(set(texts)) == len(texts):
        return numbers
    of_text: dict[str, list[float]] = {}
    for text, number in zip(texts, numbers.tolist(), strict=True):
        of_text.setdefault(text, []).append(number)
    return np.array([float(np.mean(of_text[text])) for text in texts])


def _descending(passages: Sequence[Passage], texts: Sequence[str], wanted: Scores) -> Scores:
    """The scores wanted, rounded, and lowered where another text has the same; 0 for blank passages."""
    unit = 10.0**-DIGITS
    scores = np.zeros(len(texts))
    known: dict[str, float] = {}
    last = 1.0 + unit
    for place in np.argsort(-wanted, kind="stable").tolist():
        if not passages[place].text.strip():
            continue
        if texts[place] not in known:
            last = known[texts[place]] = round(min(float(wanted[place]), last - unit), DIGITS)
        scores[place] = known[texts[place]]
    return scores
