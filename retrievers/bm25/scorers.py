"""Two BM25 scorers behind one small interface: bm25s's index in segments, and rank-bm25 to hold it against.

Both score a word as idf * tf / (tf + k1 (1 - b + b len / avglen)), idf = ln(1 + (N - df + 0.5) / (df + 0.5)),
which is "Lucene (accurate)" in Kamphuis et al. 2020, "Which BM25 Do You Mean?".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from retrievers.base import Progress
from retrievers.bm25.segment import Weighting, WordSegment, idf
from retrievers.bm25.tokens import Tokens
from retrievers.passage import Passage
from retrievers.storage.passage_store import PassageStore
from retrievers.storage.segments import SourceFolder, first_to_merge
from retrievers.storage.undo import Undoable, keep_only

_FULL = 2**22  # postings of a segment that is not kept in memory while an index is written


class Engine(Protocol):
    """Scores passages by their positions, those of removed passages included."""

    def update(self, passages: Sequence[Passage], progress: Progress | None) -> None:
        """Index passages, which come behind those that are indexed already."""

    def scores(self, query: str) -> NDArray[np.floating]:
        """BM25 of every passage, ``(n_positions,)``; 0 where no word of the query occurs."""

    def crowded(self, alive: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which removed passages should be left out when the index is written, ``(n_positions,)``."""

    def writing(self, folder: Path, drop: NDArray[np.bool_]) -> Any:
        """A context in which what :meth:`load` needs is written, without the passages to drop."""

    def load(self, folder: Path, store: PassageStore) -> int:
        """Take over what was saved, and return the number of passages in it."""


class Bm25sEngine(Undoable):
    """bm25s's index in segments, like Lucene's: what is added becomes a new segment.

    bm25s stores finished weights, idf * tf / (tf + K) with K = k1 (1 - b + b len / avglen), in which idf and
    avglen are those of the segment. Both divide out again, so that a search over several segments scores with
    the statistics of all passages, as one index over all of them would. Segments are built and merged here, because
    bm25s does so over Python lists of the whole corpus.
    """

    def __init__(self, tokens: Tokens, k1: float, b: float) -> None:
        """Index nothing yet; :meth:`update` does."""
        self._tokens, self._weighting = tokens, Weighting(k1, b)
        self._segments: list[WordSegment] = []
        self._ratios: list[NDArray[np.float32]] | None = None
        self._target: tuple[SourceFolder, Path] | None = None
        self._n_parts = 0

    def update(self, passages: Sequence[Passage], progress: Progress | None) -> None:
        """Index passages; earlier ones are indexed again only in segments no larger than what is new."""
        if not passages:
            return
        words, lengths = self._tokens.of_passages(passages, progress)
        segments = [*self._segments, WordSegment.build(words, lengths, len(self._tokens), self._weighting)]
        limit = float("inf") if self._target is None else _FULL
        first = first_to_merge([len(segment.indices) for segment in segments], limit)
        if first < len(segments) - 1:
            segments[first:] = [WordSegment.merge(_whole(segments[first:]))]
        if self._target is not None and len(segments[-1].indices) > _FULL // 2:
            source, folder = self._target
            segments[-1] = segments[-1].hand_on(source, folder, self._new_part())
        self._segments, self._ratios = segments, None

    def scores(self, query: str) -> NDArray[np.floating]:
        """BM25 of every passage, ``(n_positions,)``."""
        scores = np.zeros(sum(len(segment.lengths) for segment in self._segments), dtype=np.float32)
        counts = Counter(self._tokens.of_query(query))
        if len(self._segments) == 1:
            for word, count in counts.items():
                where, weights = self._segments[0].postings(word)
                scores[where] += count * weights
            return scores
        if self._ratios is None:
            self._ratios = self._norm_ratios()
        for word, count in counts.items():
            found = [segment.postings(word) for segment in self._segments]
            weight = np.float32(count * idf(sum(len(where) for where, _ in found), len(scores)))
            start = 0
            for segment, (where, weights), ratios in zip(self._segments, found, self._ratios, strict=True):
                saturation = weights / np.float32(idf(len(where), len(segment.lengths)))  # tf / (tf + K here)
                here = scores[start : start + len(segment.lengths)]
                here[where] += weight * saturation / (saturation + (1 - saturation) * ratios[where])
                start += len(segment.lengths)
        return scores

    def _norm_ratios(self) -> list[NDArray[np.float32]]:
        """K by the statistics of all passages over K by those of the segment, for each segment's passages."""
        n_words = sum(int(segment.lengths.sum()) for segment in self._segments)
        mean = n_words / max(1, sum(len(segment.lengths) for segment in self._segments))
        with np.errstate(invalid="ignore"):
            return [
                (self._weighting.norms(segment.lengths, mean) / segment.norms()).astype(np.float32)
                for segment in self._segments
            ]

    def crowded(self, alive: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The removed passages of segments that hold more of them than living ones, ``(n_positions,)``."""
        drop = np.zeros(len(alive), dtype=bool)
        for here, dropped in zip(self._split(alive), self._split(drop), strict=True):
            if 2 * here.sum() < len(here):
                dropped[:] = ~here
        return drop

    @contextmanager
    def writing(self, folder: Path, drop: NDArray[np.bool_]) -> Iterator[None]:
        """Write the vocabulary, and each segment in the format of bm25s; what is added meanwhile as it becomes much."""
        source, self._n_parts, self._ratios = SourceFolder(folder), 0, None
        kept = [(segment, ~dropped) for segment, dropped in zip(self._segments, self._split(drop), strict=True)]
        self._segments = [
            segment if keep.all() else WordSegment.merge([(segment, keep)], (source, folder, self._new_part()))
            for segment, keep in kept
            if keep.any()
        ]
        self._target = source, folder
        try:
            yield
            self._settle(source, folder)
        finally:
            self._target = None

    def _settle(self, source: SourceFolder, folder: Path) -> None:
        segments = list(self._segments)
        first = first_to_merge([len(segment.indices) for segment in segments])
        if len(segments) - first > 1:
            segments[first:] = [WordSegment.merge(_whole(segments[first:]), (source, folder, self._new_part()))]
            self._ratios = None
        keep_only(folder, "part-*", {segment.name for segment in segments if segment.source is source})
        for number, segment in enumerate(segments):
            if segment.source is source:
                segment.rename(folder, f"segment-{number}")
            else:
                segments[number] = segment.hand_on(source, folder, f"segment-{number}")
        self._segments = segments
        self._tokens.save(folder)

    def snapshot(self) -> Callable[[], None]:
        """See :class:`Undoable`; inside of :meth:`writing`, segments that were written meanwhile are removed too."""
        undo = super().snapshot()

        def undo_and_remove() -> None:
            undo()
            if self._target is not None:
                keep_only(self._target[1], "part-*", {segment.name for segment in self._segments})

        return undo_and_remove

    def load(self, folder: Path, store: PassageStore) -> int:
        """Map the segments; return the number of passages in them."""
        self._tokens.load(folder)
        source = SourceFolder(folder)
        self._segments = [
            WordSegment.open(source, folder, f"segment-{number}", self._weighting)
            for number in range(len(list(folder.glob("segment-*"))))
        ]
        return sum(len(segment.lengths) for segment in self._segments)

    def _split(self, positions: NDArray[Any]) -> list[NDArray[Any]]:
        """Views of an array ``(n_positions,)``, one for each segment."""
        ends = np.cumsum([len(segment.lengths) for segment in self._segments])
        return np.split(positions, ends[:-1]) if self._segments else []

    def _new_part(self) -> str:
        self._n_parts += 1
        return f"part-{self._n_parts}"


class RankBm25Engine(Undoable):
    """rank-bm25 with Lucene's idf: slow and in memory, there to hold the other engine against.

    It saves nothing; a loaded index tokenises its passages again.
    """

    def __init__(self, tokens: Tokens, k1: float, b: float) -> None:
        """Index nothing yet; :meth:`update` does."""
        try:
            import rank_bm25
        except ImportError as error:
            raise ImportError('engine="rank-bm25" needs its package: pip install rank-bm25') from error

        class LuceneOkapi(rank_bm25.BM25Okapi):
            def _calc_idf(self, nd: dict[int, int]) -> None:
                self.idf = {word: float(idf(df, self.corpus_size)) for word, df in nd.items()}

        self._model_class: Callable[..., Any] = LuceneOkapi
        self._tokens, self._weighting = tokens, Weighting(k1, b)
        self._words: list[list[int]] = []
        self._model: Any = None

    def update(self, passages: Sequence[Passage], progress: Progress | None) -> None:
        """Index passages, and all earlier ones again."""
        words, lengths = self._tokens.of_passages(passages, progress)
        new = [part.tolist() for part in np.split(words, np.cumsum(lengths)[:-1])] if passages else []
        self._words = [*self._words, *new]
        self._rebuild()

    def _rebuild(self) -> None:
        self._model = self._model_class(self._words, **self._weighting._asdict()) if any(self._words) else None

    def scores(self, query: str) -> NDArray[np.floating]:
        """BM25 of every passage, ``(n_positions,)``."""
        words = self._tokens.of_query(query)
        if not words or self._model is None:
            return np.zeros(len(self._words))
        return self._model.get_scores(words) / (self._weighting.k1 + 1)  # a constant factor that Lucene leaves out

    def crowded(self, alive: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """All removed passages, if there are more of them than living ones, ``(n_positions,)``."""
        return ~alive if 2 * alive.sum() < len(alive) else np.zeros_like(alive)

    @contextmanager
    def writing(self, folder: Path, drop: NDArray[np.bool_]) -> Iterator[None]:
        """Write nothing, but drop what is to be dropped."""
        if drop.any():
            self._words = [words for words, out in zip(self._words, drop, strict=True) if not out]
            self._rebuild()
        yield

    def load(self, folder: Path, store: PassageStore) -> int:
        """Tokenise the passages again; return their number."""
        self.update([store.at(position) for position in range(store.n_positions)], None)
        return len(self._words)


ENGINES: dict[str, Callable[[Tokens, float, float], Engine]] = {
    "bm25s": Bm25sEngine,
    "rank-bm25": RankBm25Engine,
}


def _whole(segments: Sequence[WordSegment]) -> list[tuple[WordSegment, NDArray[np.bool_]]]:
    return [(segment, np.ones(len(segment.lengths), dtype=bool)) for segment in segments]
