"""Retrieval by words: BM25."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from retrievers.base import LocalRetriever, Progress, check_queries, top_positive
from retrievers.bm25.scorers import ENGINES
from retrievers.bm25.tokens import BY_LANGUAGE, Tokens
from retrievers.errors import IndexFormatError, OldIndexError
from retrievers.passage import Hit, Passage
from retrievers.storage.index_folder import check_count, new_index, open_index
from retrievers.storage.passage_store import PassageStore
from retrievers.text import WORDS

_RULE = "words"  # in the manifest: the rule by which text was cut into words


class BM25Retriever(LocalRetriever):
    """Ranks passages by BM25 in Lucene's form, over title and text.

    A search returns only passages that share a word with the query, so there may be fewer than ``k``; a query
    of nothing but stop words and unknown words finds none.

    Args:
        passages: Passages or texts to index at once; :meth:`add` adds more.
        engine: ``"bm25s"`` (fast, mapped from disk) or ``"rank-bm25"`` (for comparison; an addition
            rebuilds it).
        k1: Saturation of term frequency, above 0.
        b: Strength of length normalisation, 0 to 1.
        language: Of the stop words and the stemmer: one that PyStemmer or bm25s knows (``"german"``), or None to take
            all words as they are. Words of other languages and scripts are found too, as they are.
        stopwords: Words to leave out: ``"language"``, another language that bm25s knows, a list of words, or None.
        stemmer: ``"language"``, another language of PyStemmer, or None.

    Raises:
        ValueError: A setting is out of range, or two passages have one id.
        ImportError: The package for the engine or the stemmer is missing.
    """

    kind = "bm25"

    def __init__(
        self,
        passages: Iterable[Passage | str] = (),
        *,
        engine: str = "bm25s",
        k1: float = 1.5,
        b: float = 0.75,
        language: str | None = "english",
        stopwords: str | Sequence[str] | None = BY_LANGUAGE,
        stemmer: str | None = BY_LANGUAGE,
    ) -> None:
        """See the class."""
        if engine not in ENGINES:
            raise ValueError(f"engine must be one of {', '.join(map(repr, ENGINES))}, got {engine!r}")
        if not 0 < k1 < float("inf"):
            raise ValueError(f"k1 must be above 0 and finite, got {k1}")
        if not 0 <= b <= 1:
            raise ValueError(f"b must be between 0 and 1, got {b}")
        words = stopwords if stopwords is None or isinstance(stopwords, str) else list(stopwords)
        if isinstance(words, list) and not all(isinstance(word, str) for word in words):
            raise ValueError(f"stopwords must be words, got {words[:5]!r}")
        self._settings: dict[str, Any] = {
            "engine": engine,
            "k1": k1,
            "b": b,
            "language": language,
            "stopwords": words,
            "stemmer": stemmer,
        }
        self._attach(PassageStore())
        self.add(passages)

    def _attach(self, store: PassageStore) -> None:
        engine, k1, b, *of_words = self._settings.values()
        self._store = store
        self._engine = ENGINES[engine](Tokens(*of_words), k1, b)

    @property
    def passages(self) -> Sequence[Passage]:
        """All passages, in the order in which they were added."""
        return self._store

    def search_many(self, queries: Sequence[str], k: int = 10) -> list[list[Hit]]:
        """For each query the at most ``k`` passages of the highest BM25 above 0, best first.

        Raises:
            ValueError: A query is blank, or ``k`` is not a whole number from 1 on.
        """
        check_queries(queries, k)
        return [self._best(query, k) for query in queries]

    def _best(self, query: str, k: int) -> list[Hit]:
        scores = self._engine.scores(query)
        scores[self._store.removed] = 0
        best = top_positive(scores, k)
        return [
            Hit(self._store.at(position), score)
            for position, score in zip(best.tolist(), scores[best].tolist(), strict=True)
        ]

    def add(self, passages: Iterable[Passage | str], *, progress: Progress | None = None) -> None:
        """Add passages; earlier ones are indexed again only in batches no larger than the new one.

        Scores are afterwards those of an index made from all passages at once.

        Raises:
            ValueError: An id is there already or occurs twice.
        """
        new = self._store.check_new(passages)
        with self.all_or_nothing():
            self._engine.update(new, progress)
            self._store.extend(new)

    def remove(self, ids: Iterable[str]) -> int:
        """Remove passages, and say how many; their ids may be added again.

        How rare their words are is still counted with them, as in Lucene, until an index is saved in which they are
        the greater part of a segment.

        Raises:
            ValueError: An id is not there.
        """
        return len(self._store.remove(ids))

    @contextmanager
    def saving(self, folder: str | Path) -> Iterator[None]:
        """Write an index folder, and what is added meanwhile as it comes, so that memory is bounded.

        Segments of which more than half of the passages have been removed are written without these.
        """
        settings = {**self._settings, _RULE: WORDS}
        with self.all_or_nothing(), new_index(folder, self.kind, settings, self.__len__) as building:
            drop = self._engine.crowded(self._store.alive)
            with self._store.writing(building, drop), self._engine.writing(building, drop):
                yield

    @classmethod
    def load(cls, folder: str | Path, *, verify: bool = True) -> BM25Retriever:
        """Open an index folder, its arrays mapped from disk.

        Raises:
            FileNotFoundError: There is no such folder.
            IndexFormatError: The index cannot be used; ``verify=False`` skips the checksums.
            OldIndexError: The index was made when text was cut into words by another rule.
        """
        manifest = open_index(folder, cls.kind, verify=verify)
        settings = dict(manifest.settings)
        if (rule := settings.pop(_RULE, 1)) != WORDS:
            raise OldIndexError(
                f"{folder} holds words that were cut from the text by rule {rule}; this installation cuts questions by "
                f"rule {WORDS}, so they would miss passages; run `ragshap index` again"
            )
        try:
            retriever = cls(**settings)
        except (TypeError, ValueError) as error:
            raise IndexFormatError(f"{folder}: the settings in the manifest cannot be used: {error}") from error
        store = PassageStore.open(Path(folder), manifest.passages)
        retriever._attach(store)
        check_count(folder, "the BM25 segments", retriever._engine.load(Path(folder), store), store.n_positions)
        return retriever

    def __len__(self) -> int:
        """Number of passages."""
        return len(self._store)
