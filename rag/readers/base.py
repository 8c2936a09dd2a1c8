"""What the attribution engine and the pipeline know of a reader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from retrievers import Passage

Coalitions = NDArray[np.bool_]


@dataclass(frozen=True)
class EncodedQuestion:
    """A question with its passages, encoded once.

    Attributes:
        question: the question.
        passages: the passages in the order of the coalitions' columns.
        cut_tokens: tokens of each passage that were left out because they exceed the encoder's limit.
        question_cut_tokens: the same for the question.
        state: whatever the reader that made this needs; no one else looks inside.
    """

    question: str
    passages: tuple[Passage, ...]
    cut_tokens: tuple[int, ...]
    question_cut_tokens: int
    state: Any


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
    """A reader whose every coalition costs, in money or in seconds.

    Attributes:
        batch_size: coalitions after which progress is told.
    """

    batch_size: int

    def announce(self, encoded: EncodedQuestion, calls: int) -> None:
        """Say what so many coalitions will cost at most, before the first."""
        ...


@runtime_checkable
class AttentiveReader(Reader, Protocol):
    """A reader that can say where its decoder looked."""

    def attention(self, encoded: EncodedQuestion, answer: str) -> NDArray[np.float64]:
        """Cross-attention that falls on each passage while an answer is given from all of them, `(n_passages,)`.

        Mean over layers, heads and the answer's tokens, the end among them; it sums to 1 over the passages. The score
        by which Fusion-in-Decoder readers teach retrievers (Izacard and Grave 2021, "Distilling knowledge from reader
        to retriever") is its like, there before the softmax and per token of the passage.
        """
        ...


@runtime_checkable
class Screener(Reader, Protocol):
    """A reader that also says how relevant each passage is, as the embedded one does."""

    def relevance(self, encoded: EncodedQuestion) -> NDArray[np.float64]:
        """`(n_passages,)`, higher is better."""
        ...


def close(holder: object) -> None:
    """Release what a reader holds open, such as connections and files; readers that hold nothing have no `close`."""
    release = getattr(holder, "close", None)
    if release is not None:
        release()


def check_question(question: str) -> str:
    """The question without surrounding white space; raises `ValueError` if nothing is left."""
    stripped = question.strip()
    if not stripped:
        raise ValueError("the question is empty; ask something")
    return stripped


def check_coalitions(coalitions: Coalitions, n_passages: int) -> Coalitions:
    """The coalitions as `bool (n_coalitions, n_passages)`; raises `ValueError` on any other shape."""
    rows = np.asarray(coalitions, dtype=bool)
    if rows.ndim != 2 or rows.shape[1] != n_passages:
        raise ValueError(
            f"coalitions have shape {rows.shape}, expected (n_coalitions, {n_passages}): one column per encoded passage"
        )
    return rows
