"""Text and indexes: read corpora, cut them into passages, and find the passages that a question needs."""

from retrievers.base import Retriever, Searcher
from retrievers.bm25.retriever import BM25Retriever
from retrievers.corpora.chunking import sentence_spans, split_document, split_text
from retrievers.corpora.corpus import load_corpus
from retrievers.dense.retriever import DenseRetriever
from retrievers.errors import CorpusError, EngineError, IndexFormatError
from retrievers.hybrid import HybridRetriever
from retrievers.loading import load_index
from retrievers.passage import Hit, Passage

__all__ = [
    "BM25Retriever",
    "CorpusError",
    "DenseRetriever",
    "EngineError",
    "Hit",
    "HybridRetriever",
    "IndexFormatError",
    "Passage",
    "Retriever",
    "Searcher",
    "load_corpus",
    "load_index",
    "sentence_spans",
    "split_document",
    "split_text",
]
