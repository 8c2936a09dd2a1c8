"""Retrieval by words: BM25."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import Any

from retrievers.base import Progress, check_query, top_positive
from retrievers.bm25.scorers import ENGINES
from retrievers.bm25.tokens import Tokens
from retrievers.errors import IndexFormatError
from retrievers.passage import Hit, Passage
from retrievers.storage.index_folder import check_count, new_index, open_index
from retrievers.storage.passage_store import PassageStore


class BM25Retriever:
    """Ranks passages by BM25 in Lucene's form, over title and text.

    A search returns only passages that share a word with the query, so there may be fewer than ``k``; a query
    of nothing but stop words and unknown words finds none.

    Args:
        passages: What to index at once; :meth:`add` adds more.
        engine: ``"bm25s"`` (fast, mapped from disk) or ``"rank-bm25"`` (for comparison; an addition
            rebuilds it).
        k1: Saturation of term frequency, above 0.
        b: Strength of length normalisation, 0 to 1.
        stopwords: Words to leave out: a language that bm25s knows (``"en"``), a list of words, or None.
        stemmer: A language of PyStemmer (``"english"``), or None to take words as they are.

    Raises:
        ValueError: A setting is out of range, or two passages have one id.
        ImportError: The package for the engine or the stemmer is missing.
    """

    kind = "bm25"

    def __init__(
        self,
        passages: Iterable[Passage] = (),
        *,
        engine: str = "bm25s",
        k1: float = 1.5,
        b: float = 0.75,
        stopwords: str | Sequence[str] | None = "en",
        stemmer: str | None = "english",
    ) -> None:
        """See the class."""
        if engine not in ENGINES:
            raise ValueError(f"engine must be one of {', '.join(map(repr, ENGINES))}, got {engine!r}")
        if not k1 > 0:
            raise ValueError(f"k1 must be above 0, got {k1}")
        if not 0 <= b <= 1:
            raise ValueError(f"b must be between 0 and 1, got {b}")
        words = stopwords if stopwords is None or isinstance(stopwords, str) else list(stopwords)
        if isinstance(words, list) and not all(isinstance(word, str) for word in words):
            raise ValueError(f"stopwords must be words, got {words[:5]!r}")
        self._settings: dict[str, Any] = {
            "engine": engine,
            "k1": k1,
            "b": b,
            "stopwords": words,
            "stemmer": stemmer,
        }
        self._attach(PassageStore())
        self.add(passages)

    def _attach(self, store: PassageStore) -> None:
        engine, k1, b, stopwords, stemmer = self._settings.values()
        self._store = store
        self._engine = ENGINES[engine](Tokens(stopwords, stemmer), k1, b)

    @property
    def passages(self) -> Sequence[Passage]:
        """All passages, in the order in which they were added."""
        return self._store

    def search(self, query: str, k: int = 10) -> list[Hit]:
        """The at most ``k`` passages of the highest BM25 above 0, best first.

        Raises:
            ValueError: The query is blank or ``k`` is below 1.
        """
        check_query(query, k)
        scores = self._engine.scores(query)
        scores[self._store.removed] = 0
        return [Hit(self._store.at(int(i)), float(scores[i])) for i in top_positive(scores, k)]

    def search_many(self, queries: Sequence[str], k: int = 10) -> list[list[Hit]]:
        """:meth:`search` for each query."""
        # bm25s' own batch call loops over the queries too, and leaves the order of ties to chance.
        return [self.search(query, k) for query in queries]

    def add(self, passages: Iterable[Passage], *, progress: Progress | None = None) -> None:
        """Add passages; earlier ones are indexed again only in batches no larger than the new one.

        Scores are afterwards those of an index made from all passages at once.

        Raises:
            ValueError: An id is there already or occurs twice; nothing is added then.
        """
        new = self._store.check_new(passages)
        self._engine.update(new, progress)
        self._store.extend(new)

    def remove(self, ids: Iterable[str]) -> int:
        """Remove passages, and say how many; their ids may be added again.

        How rare their words are is still counted with them, as in Lucene, until an index is saved in which they are
        the greater part of a segment.

        Raises:
            ValueError: An id is not there; nothing is removed then.
        """
        return len(self._store.remove(ids))

    def save(self, folder: str | Path) -> None:
        """Write an index folder; see :func:`retrievers.storage.index_folder.new_index` for what it may replace."""
        with self.saving(folder):
            pass

    @contextmanager
    def saving(self, folder: str | Path) -> Iterator[None]:
        """Write an index folder, and what is added meanwhile as it comes, so that memory is bounded.

        Where more than half of a segment's passages have been removed, it is written without them. When anything
        fails, the retriever and the folder are as before.
        """
        before = copy(self._store), copy(self._engine)
        try:
            with new_index(folder, self.kind, self._settings, self.__len__) as building:
                drop = self._engine.crowded(self._store.alive)
                with self._store.writing(building, drop), self._engine.writing(building, drop):
                    yield
        except BaseException:
            self._store, self._engine = before
            raise

    @classmethod
    def load(cls, folder: str | Path, *, verify: bool = True) -> BM25Retriever:
        """Open an index folder, its arrays mapped from disk.

        Raises:
            FileNotFoundError: There is no such folder.
            IndexFormatError: The index cannot be used; ``verify=False`` skips the checksums.
        """
        manifest = open_index(folder, cls.kind, verify=verify)
        try:
            retriever = cls(**manifest.settings)
        except (TypeError, ValueError) as error:
            raise IndexFormatError(f"{folder}: the settings in the manifest cannot be used: {error}") from error
        store = PassageStore.open(Path(folder), manifest.passages)
        retriever._attach(store)
        check_count(folder, "the BM25 segments", retriever._engine.load(Path(folder), store), store.n_positions)
        return retriever

    def __len__(self) -> int:
        """Number of passages."""
        return len(self._store)
