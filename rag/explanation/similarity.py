"""How well what a reader answers still says given sentences, for readers without log-probabilities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.explanation.sentence_games import TokenLogProb
from rag.readers.base import Coalitions
from retrievers.corpora.chunking import sentence_spans
from retrievers.dense.encoder import Encoder, default_encoder
from retrievers.text import words

SIMILARITIES = ("similarity", "rouge-l")
"""The utilities of this kind."""

Measure = Callable[[str], NDArray[np.float64]]
"""From an answer that is not blank to one number for each sentence, `(n_sentences,)`."""


class SimilarityToSentences:
    """How well each of an answer's sentences is still said, in numbers between -1 and 1.

    MExGen (Monteiro Paes et al. 2025) calls such measures text scalarizers. "No answer" is similar to itself by 1, to
    all else by 0.

    Args:
        answers: gives what the reader answers from each coalition.
        sentences: the sentences of the explained answer.
        utility: "similarity" (see `cosines`) or "rouge-l" (see `rouge_l`).
    """

    tokens: tuple[int, ...] | None = None

    def __init__(self, answers: Callable[[Coalitions], list[str]], sentences: Sequence[str], utility: str):
        self._answers, self.outputs, self.utility = answers, tuple(sentences), utility
        self._blank = np.array([not sentence for sentence in sentences])
        self._measure = cosines(sentences) if utility == "similarity" else rouge_l(sentences)
        self._known = {"": self._blank.astype(float)}

    def __call__(self, coalitions: Coalitions, /) -> NDArray[np.float64]:
        """Similarities, `(n_coalitions, n_sentences)`."""
        answers = self._answers(coalitions)
        for answer in dict.fromkeys(answers):
            if answer not in self._known:
                self._known[answer] = np.where(self._blank, 0.0, self._measure(answer))
        return np.stack([self._known[answer] for answer in answers])

    def whole(self, worth: NDArray[np.float64]) -> NDArray[np.float64]:
        """The mean."""
        mean: NDArray[np.float64] = worth.mean(axis=1)
        return mean

    def token_log_probs(self) -> list[tuple[TokenLogProb, ...]]:
        """None."""
        return [() for _ in self.outputs]

    def warnings(self) -> list[str]:
        """None."""
        return []


def cosines(sentences: Sequence[str], encoder: Encoder | None = None) -> Measure:
    """The largest cosine of a sentence's embedding with that of any sentence of the answer.

    Args:
        sentences: the sentences of the explained answer.
        encoder: makes the embeddings; by default the encoder that ships, which reads English.
    """
    encoder = encoder or default_encoder()
    wanted = encoder.encode_documents(list(sentences), 32)

    def measure(answer: str) -> NDArray[np.float64]:
        said = [answer[start:end] for start, end in sentence_spans(answer)]
        largest: NDArray[np.float64] = (encoder.encode_documents(said, 32) @ wanted.T).max(axis=0).astype(float)
        return largest

    return measure


def rouge_l(sentences: Sequence[str]) -> Measure:
    """The recall of ROUGE-L (Lin 2004): the share of a sentence's words that the answer holds in their order.

    The library is rouge-score; words are cut as in BM25, in any language. Raises `ImportError` without the library.
    """
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError as error:
        raise ImportError("attribution.utility=rouge-l needs rouge-score: pip install 'ragshap[rouge]'") from error
    scorer: Any = RougeScorer(["rougeL"], tokenizer=_Words())

    def measure(answer: str) -> NDArray[np.float64]:
        return np.array([scorer.score(sentence, answer)["rougeL"].recall for sentence in sentences])

    return measure


class _Words:
    """Cuts text into words, as rouge-score asks."""

    def tokenize(self, text: str) -> list[str]:
        return words(text)
