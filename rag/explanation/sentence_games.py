"""Games over the passages whose outputs are the sentences of one answer."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rag.readers.base import Coalitions, EncodedQuestion, TokenReader
from rag.readers.interruption import checkpoint

LEAST_LOG_PROB = -100.0
"""What a token counts that the reader thinks impossible; float32 knows no smaller probability than e^-104."""


class SentenceGame(Protocol):
    """Worth of the sentences of an answer from coalitions of the passages.

    Attributes:
        utility: what worth is.
        outputs: the sentences.
        tokens: number of tokens of each sentence; None where worth is no log-probability.
    """

    utility: str
    outputs: tuple[str, ...]
    tokens: tuple[int, ...] | None

    def __call__(self, coalitions: Coalitions, /) -> NDArray[np.float64]:
        """Worth of each sentence, `(n_coalitions, n_sentences)`."""
        ...

    def whole(self, worth: NDArray[np.float64]) -> NDArray[np.float64]:
        """Worth of the whole answer `(n_coalitions,)`, from that of its sentences."""
        ...

    def warnings(self) -> list[str]:
        """What the user should know of the evaluations so far."""
        ...


class LikelihoodOfSentences:
    """The log-probability of each sentence after the sentences before it; one pass over the answer scores them all.

    By the chain rule, the sentences' log-probabilities sum to the log-probability that an answer begins so. Its end is
    not scored. White space between sentences counts with the sentence after it.

    Args:
        reader: scores tokens.
        encoded: the question with the passages.
        answer: the answer; raises `ValueError` if it is longer than the reader can score.
        spans: characters [start, end) of each sentence, in order.
    """

    utility = "likelihood"

    def __init__(self, reader: TokenReader, encoded: EncodedQuestion, answer: str, spans: Sequence[tuple[int, int]]):
        self._reader, self._encoded, self._answer = reader, encoded, answer
        self.outputs = tuple(answer[start:end] for start, end in spans)
        self._ends = [end for _, end in spans]
        self._impossible: set[int] = set()  # tokens, by their place
        self.tokens: tuple[int, ...] | None = None  # until the first coalition is scored

    def __call__(self, coalitions: Coalitions, /) -> NDArray[np.float64]:
        """Log-probabilities, `(n_coalitions, n_sentences)`; raises `ValueError` where the reader gives nan."""
        checkpoint()
        found, offsets = self._reader.score_tokens(self._encoded, coalitions, self._answer)
        if np.isnan(found).any():
            raise ValueError(f"the reader {self._reader.name!r} gave nan as the log-probability of a token")
        self._impossible |= set(np.flatnonzero((found < LEAST_LOG_PROB).any(axis=0)).tolist())
        found = np.maximum(found, LEAST_LOG_PROB)
        owned = np.array([self._owner(token) for token in offsets])[:, None] == np.arange(len(self.outputs))
        self.tokens = tuple(owned.sum(axis=0).tolist())
        worth: NDArray[np.float64] = found @ owned
        return worth

    def whole(self, worth: NDArray[np.float64]) -> NDArray[np.float64]:
        """The sum."""
        total: NDArray[np.float64] = worth.sum(axis=1)
        return total

    def warnings(self) -> list[str]:
        """Whether there are tokens that the reader thinks impossible."""
        count = len(self._impossible)
        if not count:
            return []
        tokens = "1 token" if count == 1 else f"{count} tokens"
        return [
            f"the reader thinks {tokens} of the answer impossible, from some passages at least; there, each counts as "
            f"a log-probability of {LEAST_LOG_PROB:g}"
        ]

    def _owner(self, token: tuple[int, int]) -> int:
        """The sentence in which a token's first character that is no white space stands."""
        start, end = token
        piece = self._answer[start:end]
        first = start + len(piece) - len(piece.lstrip())
        return min(bisect_right(self._ends, first), len(self._ends) - 1)
