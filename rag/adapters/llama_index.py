"""LlamaIndex: a retriever, a node postprocessor and citations of ours, and any LlamaIndex retriever as ours."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from pydantic import Field

from rag.adapters.documents import (
    DEFAULT_PASSAGES,
    METADATA_KEY,
    ONE_AT_A_TIME,
    ForeignSearcher,
    Text,
    attribute,
    cite,
    marked,
    numbered,
    sentences,
    titled,
)
from rag.pipeline import Pipeline
from rag.rerank import Reranker
from retrievers import Searcher

try:
    from llama_index.core.base.response.schema import Response
    from llama_index.core.postprocessor.types import BaseNodePostprocessor
    from llama_index.core.retrievers import BaseRetriever
    from llama_index.core.schema import BaseNode, MetadataMode, NodeWithScore, QueryBundle, TextNode
except ImportError as error:
    raise ImportError("the LlamaIndex adapter needs llama-index-core: pip install 'ragshap[llama-index]'") from error


class RagshapRetriever(BaseRetriever):
    """One of our retrievers, such as `retrievers.load_index(folder)`, in LlamaIndex.

    Args:
        searcher: the retriever.
        k: how many nodes it returns at most.
    """

    def __init__(self, searcher: Searcher, k: int = DEFAULT_PASSAGES):
        super().__init__()
        self.searcher = searcher
        self.k = k

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        with ONE_AT_A_TIME:
            hits = self.searcher.search(query_bundle.query_str, self.k)
        return [
            NodeWithScore(
                node=TextNode(id_=hit.passage.id, text=hit.passage.text, metadata=titled(hit.passage)), score=hit.score
            )
            for hit in hits
        ]

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return await asyncio.to_thread(self._retrieve, query_bundle)


class RagshapPostprocessor(BaseNodePostprocessor):
    """Orders nodes by what they contributed to the answer, and keeps the first ones.

    The nodes returned are copies, with the score as their score and `ragshap` (answer, value,
    contribution and so on) in their metadata, hidden from language models and embeddings. A string under "title" in a
    node's metadata is read with its text.

    Attributes:
        reranker: attributes the reader's answer, for instance `Reranker.from_config()`.
        top_n: how many nodes are kept; None is all.
    """

    reranker: Reranker = Field(exclude=True)
    top_n: int | None = Field(default=None, ge=1)

    @classmethod
    def class_name(cls) -> str:
        """The name that LlamaIndex knows it by."""
        return "RagshapPostprocessor"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if query_bundle is None:
            raise ValueError("the postprocessor attributes the answer to a question: give query_str or query_bundle")
        texts = [_text(item) for item in nodes]
        return [
            NodeWithScore(node=_with_metadata(nodes[item.place].node, item.metadata), score=item.score)
            for item in attribute(self.reranker, query_bundle.query_str, texts, self.top_n)
        ]


def cited_response(pipeline: Pipeline, question: str, answer: str, nodes: Sequence[NodeWithScore]) -> Response:
    """An answer of any engine with citations as `CitationQueryEngine` writes them.

    Marks such as [1] stand behind each sentence, and `source_nodes` are copies of the nodes that are cited, in the
    order of their numbers, whose text begins with "Source 1:" and so on. `metadata` holds under `ragshap` the `answer`
    without marks and its `sentences`: their characters, their sources, and whether these support them.

    Args:
        pipeline: explains the answer, for instance `Pipeline()`, which brings the embedded reader.
        question: what was asked.
        answer: what was answered; blank raises `ValueError`.
        nodes: what the answer was made from, such as `source_nodes` of a response.
    """
    answer = answer.strip()
    spans = cite(pipeline, question, answer, [_text(item) for item in nodes])
    numbers = numbered(spans)
    sources = []
    for place, number in numbers.items():
        node = nodes[place].node
        text = f"Source {number}:\n{node.get_content(metadata_mode=MetadataMode.NONE)}\n"
        copied = TextNode(
            id_=node.node_id,
            text=text,
            metadata=node.metadata,
            excluded_embed_metadata_keys=node.excluded_embed_metadata_keys,
            excluded_llm_metadata_keys=node.excluded_llm_metadata_keys,
            relationships=node.relationships,
        )
        sources.append(NodeWithScore(node=copied, score=nodes[place].score))
    found = {"answer": answer, "sentences": sentences(spans, numbers)}
    return Response(marked(answer, spans, numbers), sources, {METADATA_KEY: found})


class LlamaIndexSearcher(ForeignSearcher):
    """Any LlamaIndex retriever as ours; the number of nodes that it finds is set there."""

    def __init__(self, retriever: BaseRetriever):
        self.retriever = retriever

    def find(self, query: str, k: int) -> Iterable[Text]:
        """The nodes that the retriever returns."""
        return map(_text, self.retriever.retrieve(query))


def _text(item: NodeWithScore) -> Text:
    content = item.node.get_content(metadata_mode=MetadataMode.NONE)
    return Text(content, item.node.metadata, item.node.node_id, item.score)


def _with_metadata(node: BaseNode, metadata: dict[str, object]) -> BaseNode:
    """A copy whose attribution neither prompts nor embeddings show."""
    hidden = {
        name: [*getattr(node, name), METADATA_KEY]
        for name in ("excluded_llm_metadata_keys", "excluded_embed_metadata_keys")
        if METADATA_KEY not in getattr(node, name)
    }
    return node.model_copy(update={"metadata": metadata, **hidden})
