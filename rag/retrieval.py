"""Open and build what finds passages: a saved index, a corpus indexed in memory, or a search engine.

Nothing here imports torch or transformers, so that `ragshap search` starts quickly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.engine_settings import EngineSections
from rag.settings import RetrieverSettings, Settings
from rag.settings_base import SettingsError
from retrievers import (
    BM25Retriever,
    DenseRetriever,
    Hit,
    HybridRetriever,
    Passage,
    Retriever,
    Searcher,
    as_passages,
    load_corpus,
    load_index,
)
from retrievers.base import check_query
from retrievers.dense.encoder import Encoder
from retrievers.loading import retriever_class

if TYPE_CHECKING:
    from retrievers.search_engines.base import SearchEngine


SearchFunction = Callable[[str, int], Iterable[Passage | Hit | str]]
"""Called as search(question, k); gives at most k passages, best first."""


class FunctionRetriever:
    """A function of yours as a retriever; what it gives beyond k is left out."""

    def __init__(self, search: SearchFunction):
        self._search = search

    def search(self, query: str, k: int = 10) -> list[Hit]:
        """The first k passages that the function gives; `ValueError` for a blank query or k < 1."""
        check_query(query, k)
        return as_hits(self._search(query, k))[:k]

    def search_many(self, queries: Sequence[str], k: int = 10) -> list[list[Hit]]:
        """`search` for each query."""
        return [self.search(query, k) for query in queries]


def as_hits(passages: Iterable[Passage | Hit | str]) -> list[Hit]:
    """Passages as hits, in their order; strings are numbered by `retrievers.as_passages`, passages get the score 0.

    Raises:
        TypeError: `passages` is a single string, or something in it is neither a passage, a hit nor a string.
        ValueError: a string is blank, or JSON cannot hold a passage's metadata.
    """
    if isinstance(passages, str):
        as_passages(passages)  # says what is wrong with a single string
    given = list(passages)
    plain = as_passages(item.passage if isinstance(item, Hit) else item for item in given)
    return [item if isinstance(item, Hit) else Hit(own, 0.0) for item, own in zip(given, plain, strict=True)]


def as_searcher(retriever: Searcher | SearchFunction) -> Searcher:
    """A retriever as it is, or a function that searches as a retriever."""
    return retriever if isinstance(retriever, Searcher) else FunctionRetriever(retriever)


Corpus = str | Path | Iterable[Passage | str]
"""Where a corpus is, or its passages themselves."""


def open_retriever(settings: Settings, *, corpus: Corpus | None = None, index: str | Path | None = None) -> Retriever:
    """A saved index, a corpus indexed in memory, or the search engine that the settings name.

    Raises:
        SettingsError: not exactly one of `corpus` and `index` is given, or one of them beside a search engine.
    """
    if settings.retriever.is_engine:
        if corpus is not None or index is not None:
            raise SettingsError(
                f"retriever.kind={settings.retriever.kind} searches what the engine holds; "
                "leave out --corpus and --index"
            )
        return open_engine(settings.retriever.kind, settings.retriever, settings.retriever.dense.encoder)
    if index is not None and corpus is None:
        return load_index(index)
    if corpus is not None and index is None:
        if isinstance(corpus, str | Path):
            passages: Iterable[Passage] = load_corpus(corpus, **settings.reading)
        else:
            passages = as_passages(corpus)
        return build_retriever(passages, settings.retriever)
    raise SettingsError("give either an index (--index) or a corpus (--corpus), one of the two")


def build_retriever(
    passages: Iterable[Passage],
    settings: RetrieverSettings,
    progress: Callable[[int], None] | None = None,
) -> Retriever:
    """An index over passages, in memory or in the search engine that the settings name.

    Raises `ValueError` if there are none, `EngineError` if the engine is only read.
    """
    retriever = new_retriever(settings)
    retriever.add(passages, progress=progress)
    return retriever


def new_retriever(settings: RetrieverSettings, encoder: Encoder | None = None) -> Retriever:
    """An empty index, or the search engine that the settings name; `encoder` stands in for the one that they name."""
    if settings.is_engine:
        return open_engine(settings.kind, settings, settings.dense.encoder)
    dense = settings.dense.model_dump() | ({} if encoder is None else {"encoder": encoder})
    if settings.kind == "bm25":
        return BM25Retriever(**settings.bm25.model_dump())
    if settings.kind == "dense":
        return DenseRetriever(**dense)
    parts: list[Retriever] = [BM25Retriever(**settings.bm25.model_dump()), DenseRetriever(**dense)]
    return HybridRetriever(parts)


def open_engine(kind: str, sections: EngineSections, encoder: str) -> SearchEngine:
    """Connect to an engine; `EngineError`, `FileNotFoundError` or `ImportError` if that is not possible."""
    settings: dict[str, Any] = getattr(sections, kind).model_dump()
    if kind != "lucene":
        settings["encoder"] = encoder
    engine: SearchEngine = retriever_class(kind)(**settings)
    return engine
