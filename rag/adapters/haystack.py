"""Haystack: a retriever, a ranker and citations of ours as components, and any Haystack text retriever as ours."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from rag.adapters.documents import (
    METADATA_KEY,
    ONE_AT_A_TIME,
    ForeignSearcher,
    Text,
    attribute,
    check_top,
    cite,
    marked,
    numbered,
    sentences,
    titled,
)
from rag.pipeline import Pipeline
from rag.rerank import Reranker
from rag.retrieval import open_retriever
from rag.settings import load_settings
from rag.threads import set_threads
from retrievers import Searcher

try:
    from haystack import Document, GeneratedAnswer, component, default_from_dict, default_to_dict
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


@component
class RagshapCiter:
    """Says of each sentence of answers, such as `AnswerBuilder` makes, which of their documents carry it.

    The answers returned are copies. Their documents are copies with `source_index`, their place from 1, and
    `referenced`, whether a sentence is carried by them, as `AnswerBuilder` writes them. The meta holds under `ragshap`
    the `text` with marks such as [1] for these places, and the `sentences`: their characters in the answer without the
    white space around it, their sources, and whether these support them. The reader is loaded on first use, or by
    `warm_up`.

    Args:
        config: settings, as for `rag.load_settings`; `reader`, `attribution` and `threads` matter.
        overrides: changes to them, such as `["attribution.budget=64"]`.
    """

    def __init__(self, config: str | None = None, overrides: Sequence[str] = ()):
        self.config = config
        self.overrides = list(overrides)
        self._settings = load_settings(config, overrides)
        self._pipeline: Pipeline | None = None

    def warm_up(self) -> None:
        """Load the reader."""
        if self._pipeline is None:
            set_threads(self._settings.threads)
            self._pipeline = Pipeline(settings=self._settings)

    def close(self) -> None:
        """Release the reader, as Haystack's `Pipeline.close` asks; `warm_up` loads it again."""
        if self._pipeline is not None:
            self._pipeline.close()
            self._pipeline = None

    def to_dict(self) -> dict[str, Any]:
        """The arguments, for YAML."""
        return default_to_dict(self, config=self.config, overrides=self.overrides)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> RagshapCiter:
        """Inverse of `to_dict`."""
        return default_from_dict(cls, data)

    @component.output_types(answers=list[GeneratedAnswer])
    def run(self, answers: list[GeneratedAnswer]) -> dict[str, list[GeneratedAnswer]]:
        """The answers with their citations; `ValueError` for a blank query or answer."""
        self.warm_up()
        return {"answers": [self._cited(answer) for answer in answers]}

    @component.output_types(answers=list[GeneratedAnswer])
    async def run_async(self, answers: list[GeneratedAnswer]) -> dict[str, list[GeneratedAnswer]]:
        """`run` in a thread."""
        return await asyncio.to_thread(self.run, answers)

    def _cited(self, answer: GeneratedAnswer) -> GeneratedAnswer:
        assert self._pipeline is not None
        said, documents = answer.data.strip(), answer.documents
        spans = cite(self._pipeline, answer.query, said, [Text(one.content or "", one.meta) for one in documents])
        referenced, places = numbered(spans), {place: place + 1 for place in range(len(documents))}
        marks = [
            replace(one, meta={**one.meta, "source_index": place + 1, "referenced": place in referenced})
            for place, one in enumerate(documents)
        ]
        found = {"text": marked(said, spans, places), "sentences": sentences(spans, places)}
        return replace(answer, documents=marks, meta={**answer.meta, METADATA_KEY: found})


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
