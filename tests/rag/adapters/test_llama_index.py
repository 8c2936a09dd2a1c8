from __future__ import annotations

import asyncio
import copy
import time

import pytest

pytest.importorskip("llama_index.core", reason="needs llama-index-core: pip install 'ragshap[llama-index]'")

from llama_index.core import VectorStoreIndex
from llama_index.core.embeddings import BaseEmbedding
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers import get_response_synthesizer
from llama_index.core.schema import MetadataMode, NodeWithScore, TextNode

from rag import Pipeline, load_settings
from rag.adapters.llama_index import LlamaIndexSearcher, RagshapPostprocessor, RagshapRetriever, cited_response
from retrievers import Searcher

from ..conftest import WordReader
from .conftest import OVERRIDES
from .heartbeat import beats_during


class Letters(BaseEmbedding):
    """How often each letter occurs."""

    def _get_text_embedding(self, text):
        return [text.lower().count(letter) / len(text) for letter in "abcdefghijklmnopqrstuvwxyz0123456789"]

    def _get_query_embedding(self, query):
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query):
        return self._get_text_embedding(query)


@pytest.fixture
def nodes(hits):
    return [
        NodeWithScore(
            node=TextNode(id_=h.passage.id, text=h.passage.text, metadata={"title": h.passage.title, "page": 7}),
            score=h.score,
        )
        for h in hits
    ]


def test_the_postprocessor_orders_copies_by_value(reranker, nodes, question, expected):
    before = copy.deepcopy(nodes)
    kept = RagshapPostprocessor(reranker=reranker).postprocess_nodes(nodes, query_str=question)
    assert {n.node.node_id: n.node.metadata["ragshap"] for n in kept} == expected
    assert [n.node.node_id for n in kept] == list(expected)
    assert [n.score for n in kept] == [e["score"] for e in expected.values()]
    assert nodes == before
    assert all(n.node.excluded_llm_metadata_keys == [] for n in nodes)


def test_models_do_not_see_the_attribution(reranker, nodes, question):
    postprocessor = RagshapPostprocessor(reranker=reranker, top_n=3)
    twice = postprocessor.postprocess_nodes(postprocessor.postprocess_nodes(nodes, query_str=question), None, question)
    assert twice[0].node.excluded_llm_metadata_keys == ["ragshap"]
    for mode in (MetadataMode.LLM, MetadataMode.EMBED):
        text = twice[0].node.get_content(metadata_mode=mode)
        assert "page: 7" in text
        assert "ragshap" not in text


@pytest.mark.parametrize(("top_n", "left"), [(2, 2), (99, 4)])
def test_the_first_are_kept(reranker, nodes, question, expected, top_n, left):
    kept = RagshapPostprocessor(reranker=reranker, top_n=top_n).postprocess_nodes(nodes, query_str=question)
    assert [n.node.node_id for n in kept] == list(expected)[:left]


def test_no_nodes_blank_nodes_and_no_question(reranker, hits, question):
    postprocessor = RagshapPostprocessor(reranker=reranker)
    assert postprocessor.postprocess_nodes([], query_str=question) == []
    texts = ["", hits[-1].passage.text]
    kept = postprocessor.postprocess_nodes([NodeWithScore(node=TextNode(text=t)) for t in texts], query_str=question)
    assert [n.node.text for n in kept] == texts[::-1]
    assert kept[1].node.metadata["ragshap"]["value"] is None
    with pytest.raises(ValueError, match="give query_str or query_bundle"):
        postprocessor.postprocess_nodes(kept)


def test_a_query_engine_answers_from_what_carries_the_answer(retriever, reranker, question):
    engine = RetrieverQueryEngine(
        RagshapRetriever(retriever, k=4),
        get_response_synthesizer(llm=MockLLM(), response_mode="compact"),
        node_postprocessors=[RagshapPostprocessor(reranker=reranker, top_n=1)],
    )
    response = engine.query(question)  # the mock says its prompt
    assert "its height is now stated as 2,110 metres" in str(response)
    assert "ragshap" not in str(response)
    (source,) = response.source_nodes
    assert source.node.node_id == "hvannadalshnjukur-2"
    assert source.node.metadata["ragshap"]["answer"] == "2,110 metres"


def test_the_loop_goes_on_while_we_compute(retriever, reranker, nodes, question, expected):
    async def both():
        found, searching = await beats_during(RagshapRetriever(Slow(retriever), k=4).aretrieve(question))
        work = RagshapPostprocessor(reranker=reranker).apostprocess_nodes(nodes, query_str=question)
        return found, searching, *await beats_during(work)

    found, searching, kept, computing = asyncio.run(both())
    assert [n.node.node_id for n in found] == [hit.passage.id for hit in retriever.search(question, 4)]
    assert [n.node.node_id for n in kept] == list(expected)
    assert searching > 2
    assert computing > 2


class Slow:
    def __init__(self, searcher):
        self.searcher = searcher

    def search(self, query, k=10):
        time.sleep(0.1)
        return self.searcher.search(query, k)

    def search_many(self, queries, k=10):
        return [self.search(query, k) for query in queries]


def test_an_index_serves_our_pipeline(nodes, reranker, question):
    index = VectorStoreIndex([n.node for n in nodes], embed_model=Letters())
    searcher = LlamaIndexSearcher(index.as_retriever(similarity_top_k=4))
    assert isinstance(searcher, Searcher)
    answer = Pipeline(searcher, reranker.reader, load_settings(overrides=OVERRIDES)).ask(question)
    assert answer.text == "2,110 metres"
    assert {e.passage.id for e in answer.evidence} == {n.node.node_id for n in nodes}
    assert all(0 < e.score <= 1 and e.passage.metadata == {"page": 7} for e in answer.evidence)


def test_ours_in_theirs_in_ours_finds_the_same(retriever, question):
    searcher = LlamaIndexSearcher(RagshapRetriever(retriever, k=5))
    there = [(h.passage.id, h.passage.title, h.passage.text, h.score) for h in searcher.search(question, 5)]
    assert there == [(h.passage.id, h.passage.title, h.passage.text, h.score) for h in retriever.search(question, 5)]


def test_a_response_cites_sources_as_the_citation_query_engine_does():
    texts = ["Sheep graze here.", "Rowe built a tower.", "Smith made a bridge."]
    hidden = {"excluded_llm_metadata_keys": ["page"]}
    nodes = [
        NodeWithScore(node=TextNode(text=text, metadata={"page": i}, **hidden), score=0.5)
        for i, text in enumerate(texts)
    ]
    answer = "Smith made a bridge. Jones dug tunnels. Rowe built a tower."
    response = cited_response(Pipeline(None, WordReader()), "who?", f" {answer}\n", nodes)
    assert str(response).startswith("Smith made a bridge. [1]")
    assert "Jones dug tunnels. Rowe" in str(response)
    sources = [source.node.get_content(metadata_mode=MetadataMode.NONE) for source in response.source_nodes]
    assert sources[0] == "Source 1:\nSmith made a bridge.\n"
    first = response.source_nodes[0].node
    assert (first.node_id, first.metadata) == (nodes[2].node.node_id, {"page": 2})
    assert first.get_content(metadata_mode=MetadataMode.LLM) == sources[0]
    found = response.metadata["ragshap"]
    assert [answer[one["start"] : one["end"]] for one in found["sentences"] if not one["supported"]] == [
        "Jones dug tunnels."
    ]
    rowe = sources.index("Source 2:\nRowe built a tower.\n") + 1
    assert found["sentences"][2]["sources"][0] == rowe
    assert found["answer"] == answer
    assert nodes[2].node.text == "Smith made a bridge."
