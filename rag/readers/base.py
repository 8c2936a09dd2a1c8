"""What the attribution engine and the pipeline know about a reader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from retrievers import Passage

Coalitions = NDArray[np.bool_]
Self = TypeVar("Self", bound="Closable")


@dataclass(frozen=True)
class EncodedQuestion:
    """A question with its passages, encoded once.

    Attributes:
        question: the question.
        passages: the passages in the order of the coalitions' columns.
        cut_tokens: number of tokens of each passage that were left out because they exceed the encoder's limit.
        question_cut_tokens: the same for the question.
        state: what the reader that encoded the question needs; it is private to that reader.
        tokens: number of tokens that were read, of the question as often as it was read with a passage.
    """

    question: str
    passages: tuple[Passage, ...]
    cut_tokens: tuple[int, ...]
    question_cut_tokens: int
    state: Any
    tokens: int = 0


@runtime_checkable
class Reader(Protocol):
    """Reads a question with its passages once, then answers for any subsets of them.

    The answer for a coalition is the answer that the reader would give if the passages outside the coalition had
    never been retrieved; the empty coalition is the question alone.
    """

    name: str

    def encode(self, question: str, passages: Sequence[Passage]) -> EncodedQuestion:
        """Encode a question and its passages (possibly none)."""
        ...

    def generate(self, encoded: EncodedQuestion, coalitions: Coalitions) -> list[str]:
        """Greedy answers, one per row of `coalitions` `(n_coalitions, n_passages)`; "" is "no answer"."""
        ...

    def score(self, encoded: EncodedQuestion, coalitions: Coalitions, answers: Sequence[str]) -> NDArray[np.float64]:
        """Log-probabilities of given answers, `(n_coalitions, n_answers)`."""
        ...


@runtime_checkable
class CostlyReader(Reader, Protocol):
    """A reader for which each coalition costs money or seconds.

    Attributes:
        batch_size: number of coalitions after which progress is reported.
    """

    batch_size: int

    def announce(self, encoded: EncodedQuestion, calls: int, words: int = 0, scored: str = "") -> None:
        """Announce what at most `calls` coalitions will cost, before the first of them.

        `words` is that of `write`; `scored` is the answer that is scored and not written, if one is.
        """
        ...


@runtime_checkable
class WritingReader(Reader, Protocol):
    """A reader that can also answer at length, as one that is asked by prompts can."""

    def write(self, encoded: EncodedQuestion, coalitions: Coalitions, words: int) -> list[str]:
        """Greedy answers in sentences, one per coalition, with room for about so many words; "" is "no answer"."""
        ...


class TokenScores(NamedTuple):
    """How likely the tokens of a given answer are, each after those before it.

    Attributes:
        log_probs: `(n_coalitions, n_tokens)`; minus infinity where a token is impossible.
        offsets: each token's characters [start, end) in the answer; white space before a token may be part of it.
    """

    log_probs: NDArray[np.float64]
    offsets: tuple[tuple[int, int], ...]


@runtime_checkable
class TokenReader(Reader, Protocol):
    """A reader that can score a given answer token by token, in one pass over the answer for each coalition.

    Attributes:
        least_support: the log-probability per token that passages must give a sentence to support it, as measured
            for readers of its kind; None where it has not been measured.
    """

    least_support: float | None

    def scores_tokens(self) -> bool:
        """Whether it can after all: a reader of prompts can if its model can, and may have to ask an endpoint."""
        ...

    def score_tokens(self, encoded: EncodedQuestion, coalitions: Coalitions, answer: str) -> TokenScores:
        """Score the tokens of one answer; the end of the answer is not scored.

        Raises:
            ValueError: the answer is longer than the reader can score, or has no token.
        """
        ...


@runtime_checkable
class AttentiveReader(Reader, Protocol):
    """A reader that can say which passages its decoder attended to."""

    def attention(self, encoded: EncodedQuestion, answer: str) -> NDArray[np.float64]:
        """Cross-attention that falls on each passage while an answer is given from all of them, `(n_passages,)`.

        It is the mean over layers, heads and the answer's tokens, the end token included, and sums to 1 over the
        passages. Izacard and Grave (2021, "Distilling knowledge from reader to retriever") train retrievers on a
        similar score, taken before the softmax and averaged over the tokens of each passage.
        """
        ...

    def attention_by_head(self, encoded: EncodedQuestion, answer: str) -> NDArray[np.float64]:
        """The same of each head of each layer, `(n_passages, n_heads)`; each column sums to 1."""
        ...


@runtime_checkable
class DecliningReader(Reader, Protocol):
    """A reader that knows how likely the passages are not to hold the answer, as the embedded one does."""

    def no_answer_probability(self, encoded: EncodedQuestion, coalitions: Coalitions) -> NDArray[np.float64]:
        """Calibrated probabilities of "no answer", `(n_coalitions,)`, between 0 and 1."""
        ...


@runtime_checkable
class Screener(Reader, Protocol):
    """A reader that also says how relevant each passage is, as the embedded one does."""

    def relevance(self, encoded: EncodedQuestion) -> NDArray[np.float64]:
        """`(n_passages,)`, higher is better."""
        ...


@runtime_checkable
class EnglishReader(Reader, Protocol):
    """A reader that reads English alone, as the embedded one does."""

    def reads(self, text: str) -> bool:
        """Whether a question, or an answer, may be English."""
        ...


class Notice(NamedTuple):
    """A sentence that people must be told about the reading of a question.

    Attributes:
        sentence: without a stop, and with a format field such as "{:,}" for each count.
        counts: what was counted; the counts of several questions can be added up.
    """

    sentence: str
    counts: tuple[int, ...] = ()

    def __str__(self) -> str:
        """The sentence with its counts."""
        return self.sentence.format(*self.counts)


@runtime_checkable
class RemarkingReader(Reader, Protocol):
    """A reader that may have to say something about the answers that it gave, as one that is asked by prompts does."""

    def remarks(self, encoded: EncodedQuestion) -> list[Notice]:
        """What a user should know of the answers given to this question so far."""
        ...


class Closable:
    """Holds something open, which `close` or the end of a `with` block releases."""

    def close(self) -> None:
        """Release what is held open; to close twice does no harm."""
        raise NotImplementedError

    def __enter__(self: Self) -> Self:
        """The object itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it, also after an error."""
        self.close()


def close(holder: object) -> None:
    """Release what a reader or model holds open, such as connections; one that holds nothing needs no `close`."""
    release = getattr(holder, "close", None)
    if release is not None:
        release()


def check_question(question: str) -> str:
    """The question without surrounding white space; raises `ValueError` if nothing is left or it is not UTF-8."""
    stripped = question.strip()
    if not stripped:
        raise ValueError("the question is empty; ask something")
    try:
        stripped.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"the question is not UTF-8 at character {error.start}; give it as UTF-8") from None
    return stripped


def check_length(reader: str, n_tokens: int, limit: int | None) -> None:
    """Raise `ValueError` for an answer of no token, or of more tokens than a reader can score; None is no limit."""
    if not n_tokens:
        raise ValueError(f"the reader {reader!r} finds no token in the answer; give an answer of words")
    if limit is not None and n_tokens > limit:
        raise ValueError(
            f"the answer has {n_tokens} tokens, and the reader {reader!r} scores at most {limit}; "
            "explain it in parts, or use a reader with a longer window"
        )


def check_coalitions(coalitions: Coalitions, n_passages: int) -> Coalitions:
    """The coalitions as `bool (n_coalitions, n_passages)`; raises `ValueError` on any other shape."""
    rows = np.asarray(coalitions, dtype=bool)
    if rows.ndim != 2 or rows.shape[1] != n_passages:
        raise ValueError(
            f"coalitions have shape {rows.shape}, expected (n_coalitions, {n_passages}): one column per encoded passage"
        )
    return rows
