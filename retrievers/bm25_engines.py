"""Two BM25 scorers behind one small interface: bm25s in segments, and rank-bm25 to hold it against.

Both score a word as idf * tf / (tf + k1 (1 - b + b len / avglen)), idf = ln(1 + (N - df + 0.5) / (df + 0.5)),
which is "Lucene (accurate)" in Kamphuis et al. 2020, "Which BM25 Do You Mean?".
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from retrievers.base import Progress
from retrievers.passage_store import PassageStore
from retrievers.tokens import Tokens, import_bm25s


class Engine(Protocol):
    """Scores the passages of the sequence that it was made with."""

    def update(self, progress: Progress | None) -> None:
        """Index the passages that have been appended since the last call."""

    def scores(self, query: str) -> NDArray[np.floating]:
        """BM25 of every passage, ``(n_passages,)``; 0 where no word of the query occurs."""

    def save(self, folder: Path) -> None:
        """Write what :meth:`load` needs."""

    def load(self, folder: Path) -> int:
        """Take over what was saved, and return the number of passages in it."""


@dataclass(frozen=True, slots=True)
class _Segment:
    """Consecutive passages in one bm25s index, weighted by the statistics of this segment alone."""

    index: Any
    lengths: NDArray[np.int32]  # words per passage

    def postings(self, word: int) -> tuple[NDArray[np.integer], NDArray[np.floating]]:
        """Passages of the segment with the word, ``(df,)``, and their weights, ``(df,)``."""
        indptr = self.index.scores["indptr"]
        if word + 1 >= len(indptr):
            return np.empty(0, np.int32), np.empty(0, np.float32)
        start, end = indptr[word], indptr[word + 1]
        return self.index.scores["indices"][start:end], self.index.scores["data"][start:end]


class Bm25sEngine:
    """bm25s indexes in segments, like Lucene's: what is added becomes a new segment.

    bm25s stores finished weights, idf * tf / (tf + K) with K = k1 (1 - b + b len / avglen), in which idf and
    avglen are those of the segment. Both divide out again, so that a search over several segments scores with
    the statistics of all passages, as one index over all of them would.
    """

    def __init__(self, passages: PassageStore, tokens: Tokens, k1: float, b: float) -> None:
        """Index nothing yet; :meth:`update` does."""
        self._passages, self._tokens, self._k1, self._b = passages, tokens, k1, b
        self._segments: list[_Segment] = []

    def update(self, progress: Progress | None) -> None:
        """Index the passages that have been appended since the last call."""
        n_indexed = start = sum(len(segment.lengths) for segment in self._segments)
        # Segments no larger than what is new are indexed again with it: n single additions leave about
        # log2(n) segments, and no passage is indexed more than about log2(n) times.
        while self._segments and len(self._segments[-1].lengths) <= self._passages.n_positions - start:
            start -= len(self._segments.pop().lengths)
        n_again = n_indexed - start
        report = (lambda done: progress(max(0, done - n_again))) if progress else None
        ids = self._tokens.of_passages([self._passages.at(i) for i in range(start, self._passages.n_positions)], report)
        if not ids:
            return
        index = self._new_index()
        with np.errstate(invalid="ignore"):  # a mean length of 0, when there are only stop words
            index.index((ids, self._tokens.vocabulary), create_empty_token=False, show_progress=False)
        index.vocab_dict = {}  # the vocabulary is kept once, in the tokenizer
        self._segments.append(_Segment(index, np.array([len(words) for words in ids], dtype=np.int32)))

    def scores(self, query: str) -> NDArray[np.floating]:
        """BM25 of every passage, ``(n_passages,)``."""
        words = self._tokens.of_query(query)
        if not words or not self._segments:
            return np.zeros(self._passages.n_positions, dtype=np.float32)
        if len(self._segments) == 1:
            return self._segments[0].index.get_scores_from_ids(words)
        return self._scores_over_segments(words)

    def _scores_over_segments(self, words: list[int]) -> NDArray[np.floating]:
        n_passages = sum(len(segment.lengths) for segment in self._segments)
        mean_length = sum(int(segment.lengths.sum()) for segment in self._segments) / n_passages
        counts = Counter(words)
        idf = {
            word: _idf(sum(len(segment.postings(word)[0]) for segment in self._segments), n_passages) for word in counts
        }
        parts = []
        for segment in self._segments:
            n_here, mean_here = len(segment.lengths), segment.lengths.mean()
            scores = np.zeros(n_here, dtype=np.float32)
            for word, count in counts.items():
                where, weights = segment.postings(word)
                saturation = weights.astype(np.float64) / _idf(len(where), n_here)  # tf / (tf + K)
                lengths = segment.lengths[where]
                change = self._norm(lengths, mean_here) / self._norm(lengths, mean_length)
                tf_by_norm = saturation / (1 - saturation) * change  # tf / K, K of all segments together
                scores[where] += count * idf[word] * tf_by_norm / (1 + tf_by_norm)
            parts.append(scores)
        return np.concatenate(parts)

    def _norm(self, lengths: NDArray[np.integer], mean_length: float) -> NDArray[np.floating]:
        return 1 - self._b + self._b * lengths / mean_length

    def _new_index(self) -> Any:
        return import_bm25s().BM25(k1=self._k1, b=self._b, method="lucene")

    def save(self, folder: Path) -> None:
        """Write the vocabulary, and each segment in the format of bm25s."""
        self._tokens.save(folder)
        for number, segment in enumerate(self._segments):
            place = folder / f"segment-{number}"
            segment.index.save(place, show_progress=False)
            np.save(place / "lengths.npy", segment.lengths, allow_pickle=False)

    def load(self, folder: Path) -> int:
        """Map the segments; return the number of passages in them."""
        self._tokens.load(folder)
        for number in range(len(list(folder.glob("segment-*")))):
            place = folder / f"segment-{number}"
            index = import_bm25s().BM25.load(place, mmap=True, load_vocab=False, show_progress=False)
            self._segments.append(_Segment(index, np.load(place / "lengths.npy", mmap_mode="r", allow_pickle=False)))
        return sum(len(segment.lengths) for segment in self._segments)


class RankBm25Engine:
    """rank-bm25 with Lucene's idf: slow and in memory, there to hold the other engine against.

    It saves nothing; a loaded index tokenises its passages again.
    """

    def __init__(self, passages: PassageStore, tokens: Tokens, k1: float, b: float) -> None:
        """Index nothing yet; :meth:`update` does."""
        try:
            import rank_bm25
        except ImportError as error:
            raise ImportError('engine="rank-bm25" needs its package: pip install rank-bm25') from error

        class LuceneOkapi(rank_bm25.BM25Okapi):
            def _calc_idf(self, nd: dict[int, int]) -> None:
                self.idf = {word: _idf(df, self.corpus_size) for word, df in nd.items()}

        self._model_class: Callable[..., Any] = LuceneOkapi
        self._passages, self._tokens, self._k1, self._b = passages, tokens, k1, b
        self._words: list[list[int]] = []
        self._model: Any = None

    def update(self, progress: Progress | None) -> None:
        """Index the passages that have been appended since the last call."""
        self._words += self._tokens.of_passages(
            [self._passages.at(i) for i in range(len(self._words), self._passages.n_positions)], progress
        )
        if any(self._words):
            self._model = self._model_class(self._words, k1=self._k1, b=self._b)

    def scores(self, query: str) -> NDArray[np.floating]:
        """BM25 of every passage, ``(n_passages,)``."""
        words = self._tokens.of_query(query)
        if not words:
            return np.zeros(self._passages.n_positions)
        return self._model.get_scores(words) / (self._k1 + 1)  # a constant factor that Lucene leaves out

    def save(self, folder: Path) -> None:
        """Write nothing."""

    def load(self, folder: Path) -> int:
        """Tokenise the passages again; return their number."""
        self.update(None)
        return len(self._words)


ENGINES: dict[str, Callable[[PassageStore, Tokens, float, float], Engine]] = {
    "bm25s": Bm25sEngine,
    "rank-bm25": RankBm25Engine,
}


def _idf(df: int, n_passages: int) -> float:
    return math.log(1 + (n_passages - df + 0.5) / (df + 0.5))
