"""Haystack: a retriever and a ranker of ours as components, and any Haystack text retriever as ours."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from rag.adapters.documents import ONE_AT_A_TIME, ForeignSearcher, Text, attribute, check_top, titled
from rag.rerank import Reranker
from rag.retrieval import open_retriever
from rag.settings import load_settings
from retrievers import Searcher

try:
    from haystack import Document, component, default_from_dict, default_to_dict
except ImportError as error:
    raise ImportError("the Haystack adapter needs haystack-ai: pip install 'ragshap[haystack]'") from error


@component
class RagshapRetriever:
    """One of our retrievers as a component; it is opened on first use, or by `warm_up`.

    Args:
        index: index folder made by `ragshap index`; or give `corpus`.
        corpus: corpus that is indexed in memory.
        config: settings, as for `rag.load_settings`.
        overrides: changes to them, such as `["retriever.kind=hybrid"]`.
        top_k: how many documents it returns at most; None is `retriever.passages` of the settings.
    """

    def __init__(
        self,
        index: str | None = None,
        corpus: str | None = None,
        config: str | None = None,
        overrides: Sequence[str] = (),
        top_k: int | None = None,
    ):
        self.index = index
        self.corpus = corpus
        self.config = config
        self.overrides = list(overrides)
        self.top_k = check_top(top_k, "top_k")
        self._settings = load_settings(config, overrides)
        self._searcher: Searcher | None = None

    def warm_up(self) -> None:
        """Open the index, or index the corpus."""
        if self._searcher is None:
            self._searcher = open_retriever(self._settings, corpus=self.corpus, index=self.index)

    def to_dict(self) -> dict[str, Any]:
        """The arguments, for YAML."""
        return default_to_dict(
            self,
            index=self.index,
            corpus=self.corpus,
            config=self.config,
            overrides=self.overrides,
            top_k=self.top_k,
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> RagshapRetriever:
        """Inverse of `to_dict`."""
        return default_from_dict(cls, data)

    @component.output_types(documents=list[Document])
    def run(self, query: str, top_k: int | None = None) -> dict[str, list[Document]]:
        """The documents found, best first; `ValueError` for a blank query."""
        k = check_top(top_k, "top_k") or self.top_k or self._settings.retriever.passages
        with ONE_AT_A_TIME:
            self.warm_up()
            assert self._searcher is not None
            hits = self._searcher.search(query, k)
        return {
            "documents": [
                Document(id=hit.passage.id, content=hit.passage.text, meta=titled(hit.passage), score=hit.score)
                for hit in hits
            ]
        }

    @component.output_types(documents=list[Document])
    async def run_async(self, query: str, top_k: int | None = None) -> dict[str, list[Document]]:
        """`run` in a thread."""
        return await asyncio.to_thread(self.run, query, top_k)


@component
class RagshapRanker:
    """Orders documents by what they contributed to the answer, and keeps the first ones.

    The documents returned are copies, with the score as their score and `ragshap` (answer, value,
    contribution and so on) in their meta. A string under "title" in a document's meta is read with its text. The
    reader is loaded on first use, or by `warm_up`.

    Args:
        config: settings, as for `rag.load_settings`; `reader`, `attribution`, `rerank.score` and `threads` matter.
        overrides: changes to them, such as `["attribution.budget=500"]`.
        top_k: how many documents are kept; None is all.
    """

    def __init__(self, config: str | None = None, overrides: Sequence[str] = (), top_k: int | None = None):
        self.config = config
        self.overrides = list(overrides)
        self.top_k = check_top(top_k, "top_k")
        load_settings(config, overrides)  # a wrong setting should fail here, not when the pipeline runs
        self._reranker: Reranker | None = None

    def warm_up(self) -> None:
        """Load the reader."""
        if self._reranker is None:
            self._reranker = Reranker.from_config(self.config, overrides=self.overrides)

    def close(self) -> None:
        """Release the reader, as Haystack's `Pipeline.close` asks; `warm_up` loads it again."""
        if self._reranker is not None:
            self._reranker.close()
            self._reranker = None

    def to_dict(self) -> dict[str, Any]:
        """The arguments, for YAML."""
        return default_to_dict(self, config=self.config, overrides=self.overrides, top_k=self.top_k)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> RagshapRanker:
        """Inverse of `to_dict`."""
        return default_from_dict(cls, data)

    @component.output_types(documents=list[Document])
    def run(self, query: str, documents: list[Document], top_k: int | None = None) -> dict[str, list[Document]]:
        """The first `top_k` documents in attributed order; `ValueError` for a blank query."""
        top = check_top(top_k, "top_k") or self.top_k
        self.warm_up()
        assert self._reranker is not None
        texts = [Text(document.content or "", document.meta) for document in documents]
        return {
            "documents": [
                replace(documents[item.place], meta=item.metadata, score=item.score)
                for item in attribute(self._reranker, query, texts, top)
            ]
        }

    @component.output_types(documents=list[Document])
    async def run_async(
        self, query: str, documents: list[Document], top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """`run` in a thread."""
        return await asyncio.to_thread(self.run, query, documents, top_k)


class TextRetriever(Protocol):
    """A Haystack component that finds documents by text, as its text retrievers do."""

    def run(self, query: str, *, top_k: int | None = None) -> dict[str, Any]:
        """A dictionary with "documents"."""
        ...


class HaystackSearcher(ForeignSearcher):
    """Any Haystack retriever that takes the query as text as ours.

    To search by embeddings, join embedder and retriever first, with Haystack's `TextEmbeddingRetriever`.
    """

    def __init__(self, retriever: TextRetriever):
        self.retriever = retriever

    def find(self, query: str, k: int) -> Iterable[Text]:
        """The documents that the component returns."""
        for document in self.retriever.run(query=query, top_k=k)["documents"]:
            yield Text(document.content or "", document.meta, document.id, document.score)
