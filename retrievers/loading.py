"""Open a saved index without knowing which retriever wrote it."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any

from retrievers.base import Retriever
from retrievers.errors import IndexFormatError
from retrievers.storage.index_folder import read_manifest

_CLASSES = {
    "bm25": ("retrievers.bm25.retriever", "BM25Retriever"),
    "dense": ("retrievers.dense.retriever", "DenseRetriever"),
    "hybrid": ("retrievers.hybrid", "HybridRetriever"),
    "lucene": ("retrievers.search_engines.lucene", "LuceneRetriever"),
    "milvus": ("retrievers.search_engines.milvus", "MilvusRetriever"),
    "elasticsearch": ("retrievers.search_engines.elastic", "ElasticsearchRetriever"),
    "opensearch": ("retrievers.search_engines.opensearch", "OpenSearchRetriever"),
}


def retriever_class(kind: str) -> Any:
    """The class of a kind of retriever, imported when asked for."""
    module, name = _CLASSES[kind]
    return getattr(import_module(module), name)


def load_index(folder: str | Path, *, verify: bool = True) -> Retriever:
    """Open an index folder of any kind.

    Raises:
        FileNotFoundError: There is no such folder.
        IndexFormatError: It is not an index that this version can use; the message says why.
    """
    while True:
        before = _identity(folder)
        try:
            retriever = _load(Path(folder), verify)
        except (OSError, ValueError):
            if _identity(folder) == before:
                raise
        else:
            if _identity(folder) == before:
                return retriever


def _load(folder: Path, verify: bool) -> Retriever:
    kind = read_manifest(folder).kind
    if kind not in _CLASSES:
        raise IndexFormatError(f"{folder}: unknown kind of index {kind!r}; known are {', '.join(_CLASSES)}")
    retriever: Retriever = retriever_class(kind).load(folder, verify=verify)
    return retriever


def _identity(folder: str | Path) -> tuple[int, int, int] | None:
    """Tells an index from one that a writer puts in its place while it is read; None if there is none."""
    try:
        found = os.stat(folder)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns
