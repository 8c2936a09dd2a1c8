"""Open and build what finds passages: a saved index, a corpus indexed in memory, or a search engine.

Nothing here imports torch or transformers, so that `ragshap search` starts quickly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.engine_settings import EngineSections
from rag.settings import RetrieverSettings, Settings
from rag.settings_base import SettingsError
from retrievers import BM25Retriever, DenseRetriever, HybridRetriever, Passage, Retriever, load_corpus, load_index
from retrievers.dense.encoder import Encoder
from retrievers.loading import retriever_class

if TYPE_CHECKING:
    from retrievers.search_engines.base import SearchEngine


def open_retriever(
    settings: Settings, *, corpus: str | Path | None = None, index: str | Path | None = None
) -> Retriever:
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
        passages = load_corpus(corpus, passage_words=settings.passage_words)
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
