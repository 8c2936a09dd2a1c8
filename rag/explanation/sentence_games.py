"""Games over the passages whose outputs are sentences, or other spans, of one answer."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from rag.readers.base import Coalitions, EncodedQuestion, TokenReader
from rag.readers.interruption import checkpoint
from rag.scores import logit

LEAST_LOG_PROB = -100.0
"""What a token counts that the reader thinks impossible; float32 knows no smaller probability than e^-104."""


class TokenLogProb(NamedTuple):
    """How likely a token of an answer is after those before it.

    Attributes:
        start: its first character in the answer.
        end: the character after its last.
        full: its log-probability from all passages.
        empty: that from no passage.
    """

    start: int
    end: int
    full: float
    empty: float


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
        """Worth of all sentences together `(n_coalitions,)`, from that of each."""
        ...

    def token_log_probs(self) -> list[tuple[TokenLogProb, ...]]:
        """For each sentence its tokens, if worth is made of log-probabilities."""
        ...

    def warnings(self) -> list[str]:
        """What the user should know of the evaluations so far."""
        ...


class LikelihoodOfSentences:
    """The log-probability of each sentence after the sentences before it; one pass over the answer scores them all.

    By the chain rule, the sentences' log-probabilities sum to the log-probability that an answer begins so. Its end is
    not scored. White space before a sentence counts with it. Tokens outside the spans are read but not scored.

    As "logit", worth is log(p / (1 - p)) with p the (geometric) mean probability of a sentence's tokens. ContextCite
    (Cohen-Wang et al. 2024) takes the logit of the whole sentence's probability, which soon is its log-probability.

    Args:
        reader: scores tokens.
        encoded: the question with the passages.
        answer: the answer; raises `ValueError` if it is longer than the reader can score.
        spans: characters [start, end) of each sentence, in order; raises `ValueError` once scored if one of them has no
            token of its own.
        utility: "likelihood" or "logit".
    """

    def __init__(
        self,
        reader: TokenReader,
        encoded: EncodedQuestion,
        answer: str,
        spans: Sequence[tuple[int, int]],
        utility: str = "likelihood",
    ):
        self._reader, self._encoded, self._answer, self._spans = reader, encoded, answer, list(spans)
        self.outputs, self.utility = tuple(answer[start:end] for start, end in spans), utility
        self._offsets: tuple[tuple[int, int], ...] = ()
        self._of_all: dict[bool, list[float]] = {}  # log-probabilities of all tokens, from all passages and from none
        self._impossible: set[int] = set()  # tokens, by their place
        self.tokens: tuple[int, ...] | None = None  # until the first coalition is scored

    def __call__(self, coalitions: Coalitions, /) -> NDArray[np.float64]:
        """Log-probabilities, `(n_coalitions, n_sentences)`; raises `ValueError` where the reader gives nan."""
        checkpoint()
        found, offsets = self._reader.score_tokens(self._encoded, coalitions, self._answer)
        if np.isnan(found).any():
            raise ValueError(f"the reader {self._reader.name!r} gave nan as the log-probability of a token")
        self._offsets, owned = offsets, self._owned(offsets)
        self._impossible |= set(np.flatnonzero((found < LEAST_LOG_PROB).any(axis=0) & owned.any(axis=1)).tolist())
        found = np.maximum(found, LEAST_LOG_PROB)
        self.tokens = tuple(owned.sum(axis=0).tolist())
        for all_of_them in (True, False):
            rows = np.flatnonzero((coalitions == all_of_them).all(axis=1))
            if len(rows):
                self._of_all[all_of_them] = found[rows[0]].tolist()
        worth: NDArray[np.float64] = found @ owned
        return worth if self.utility == "likelihood" else logit(worth / self.tokens)

    def whole(self, worth: NDArray[np.float64]) -> NDArray[np.float64]:
        """The log-probability of all tokens in spans; as "logit", the logit of their mean probability."""
        counts = np.array(self.tokens)
        if self.utility == "likelihood":
            total: NDArray[np.float64] = worth.sum(axis=1)
            return total
        return logit(self.per_token(worth) @ counts / counts.sum())

    def per_token(self, worth: NDArray[np.float64]) -> NDArray[np.float64]:
        """The mean log-probability of a token of each sentence, from worth `(…, n_sentences)`."""
        assert self.tokens is not None, "worth is known only once a coalition is scored"
        mean: NDArray[np.float64] = worth / self.tokens if self.utility == "likelihood" else -np.logaddexp(0.0, -worth)
        return mean

    def token_log_probs(self) -> list[tuple[TokenLogProb, ...]]:
        """The tokens of each sentence; none before all passages and none have been scored."""
        if len(self._of_all) < 2:
            return [() for _ in self.outputs]
        rows = zip(self._offsets, self._of_all[True], self._of_all[False], strict=True)
        tokens = [TokenLogProb(*place, full, empty) for place, full, empty in rows]
        owned = self._owned(self._offsets)
        return [tuple(tokens[token] for token in np.flatnonzero(column)) for column in owned.T]

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

    def _owned(self, offsets: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
        """Which sentence owns which token, `(n_tokens, n_sentences)`."""
        owners = np.array([self._owner(token) for token in offsets])
        owned: NDArray[np.bool_] = owners[:, None] == np.arange(len(self.outputs))
        for missed in np.flatnonzero(owned.sum(axis=0) == 0):
            raise ValueError(
                f"the reader {self._reader.name!r} has no token for {self.outputs[missed]!r} alone; choose a longer "
                "span"
            )
        return owned

    def _owner(self, token: tuple[int, int]) -> int:
        """The first sentence that holds a character of a token, white space before it apart; -1 if none does."""
        start, end = token
        piece, last = self._answer[start:end], self._spans[-1][1]
        first = start + len(piece) - len(piece.lstrip())
        after = bisect_right(self._spans, first, key=lambda span: span[1])  # the first sentence that ends behind it
        if after == len(self._spans):
            return -1 if self._answer[last:].strip() else after - 1  # white space at the end counts with the last
        return after if self._spans[after][0] < max(end, first + 1) else -1
