"""LangChain: a retriever and a document compressor of ours, and any LangChain retriever as ours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any

from pydantic import ConfigDict, Field

from rag.adapters.documents import (
    DEFAULT_PASSAGES,
    METADATA_KEY,
    ONE_AT_A_TIME,
    ForeignSearcher,
    Text,
    attribute,
    cite,
    titled,
)
from rag.pipeline import Pipeline
from rag.rerank import Reranker
from retrievers import Searcher

try:
    from langchain_core.callbacks import CallbackManagerForRetrieverRun, Callbacks
    from langchain_core.documents import BaseDocumentCompressor, Document
    from langchain_core.messages import AIMessage
    from langchain_core.messages.content import create_citation, create_text_block
    from langchain_core.retrievers import BaseRetriever
except ImportError as error:
    raise ImportError("the LangChain adapter needs langchain-core: pip install 'ragshap[langchain]'") from error

SCORE_KEY = "relevance_score"
"""Where LangChain's rerankers put a document's score in its metadata."""


class RagshapRetriever(BaseRetriever):
    """One of our retrievers, such as `retrievers.load_index(folder)`, in LangChain.

    Attributes:
        searcher: the retriever.
        k: how many documents it returns at most.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)
    searcher: Searcher
    k: int = Field(default=DEFAULT_PASSAGES, ge=1)

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        with ONE_AT_A_TIME:
            hits = self.searcher.search(query, self.k)
        return [
            Document(
                id=hit.passage.id,
                page_content=hit.passage.text,
                metadata={**titled(hit.passage), SCORE_KEY: hit.score},
            )
            for hit in hits
        ]


class RagshapCompressor(BaseDocumentCompressor):
    """Orders documents by what they contributed to the answer, and keeps the first ones.

    The documents returned are copies, with `relevance_score` and `ragshap` (answer, value,
    contribution and so on) in their metadata. A string under "title" in a document's metadata is read with its text.

    Attributes:
        reranker: attributes the reader's answer, for instance `Reranker.from_config()`.
        top_n: how many documents are kept; None is all.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)
    reranker: Reranker
    top_n: int | None = Field(default=None, ge=1)

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """The first `top_n` documents in attributed order; `ValueError` for a blank query."""
        texts = [Text(document.page_content, document.metadata) for document in documents]
        return [
            documents[item.place].model_copy(update={"metadata": {**item.metadata, SCORE_KEY: item.score}})
            for item in attribute(self.reranker, query, texts, self.top_n)
        ]


def cited_message(pipeline: Pipeline, question: str, answer: str, documents: Sequence[Document]) -> AIMessage:
    """An answer of any chain as a message with LangChain's own citations.

    Each sentence is cited once for each document that carries it, with the characters of the sentence, the document's
    title (or id), its text, and, as an extra, its place among the documents (`document`). `response_metadata` holds
    under `ragshap` the characters of the sentences that no document supports (`unsupported`).

    Args:
        pipeline: explains the answer, for instance `Pipeline()`, which brings the embedded reader.
        question: what was asked.
        answer: what was answered; blank raises `ValueError`.
        documents: what the answer was made from.
    """
    answer = answer.strip()
    spans = cite(pipeline, question, answer, [Text(one.page_content, one.metadata) for one in documents])
    titles = [Text(one.page_content, one.metadata).title or one.id for one in documents]
    citations = [
        create_citation(
            title=titles[place],
            start_index=span.start,
            end_index=span.end,
            cited_text=documents[place].page_content,
            document=place,
        )
        for span in spans
        if span.supported is not False
        for place in span.documents
    ]
    unsupported = [[span.start, span.end] for span in spans if span.supported is False]
    return AIMessage(
        content_blocks=[create_text_block(answer, annotations=[*citations])],
        response_metadata={METADATA_KEY: {"unsupported": unsupported}},
    )


class LangChainSearcher(ForeignSearcher):
    """Any LangChain retriever as ours; the number of documents that it finds is set there."""

    def __init__(self, retriever: BaseRetriever):
        self.retriever = retriever

    def find(self, query: str, k: int) -> Iterable[Text]:
        """The documents that the retriever returns."""
        for document in self.retriever.invoke(query):
            yield Text(document.page_content, document.metadata, document.id, _score(document.metadata))


def _score(metadata: dict[str, Any]) -> float | None:
    score = metadata.get(SCORE_KEY)
    return float(score) if isinstance(score, Real) else None
