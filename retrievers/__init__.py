"""Text and indexes: read corpora, cut them into passages, and find the passages that a question needs.

What is not needed to open and search a BM25 index is imported when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from retrievers.base import Retriever, Searcher
from retrievers.errors import CorpusError, CorpusWarning, EngineError, IndexFormatError
from retrievers.loading import load_index
from retrievers.passage import Hit, Passage, as_passages

if TYPE_CHECKING:
    from retrievers.bm25.retriever import BM25Retriever
    from retrievers.corpora.chunking import sentence_spans, split_document, split_text
    from retrievers.corpora.corpus import load_corpus
    from retrievers.dense.retriever import DenseRetriever
    from retrievers.hybrid import HybridRetriever

__all__ = [
    "BM25Retriever",
    "CorpusError",
    "CorpusWarning",
    "DenseRetriever",
    "EngineError",
    "Hit",
    "HybridRetriever",
    "IndexFormatError",
    "Passage",
    "Retriever",
    "Searcher",
    "as_passages",
    "load_corpus",
    "load_index",
    "sentence_spans",
    "split_document",
    "split_text",
]

_LATER = {
    "BM25Retriever": "retrievers.bm25.retriever",
    "DenseRetriever": "retrievers.dense.retriever",
    "HybridRetriever": "retrievers.hybrid",
    "load_corpus": "retrievers.corpora.corpus",
    "sentence_spans": "retrievers.corpora.chunking",
    "split_document": "retrievers.corpora.chunking",
    "split_text": "retrievers.corpora.chunking",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_LATER[name]), name)
    return value
