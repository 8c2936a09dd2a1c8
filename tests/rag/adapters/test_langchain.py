from __future__ import annotations

import asyncio
import copy

import numpy as np
import pytest

pytest.importorskip("langchain_core", reason="needs langchain-core: pip install 'ragshap[langchain]'")

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from langchain_core.vectorstores import InMemoryVectorStore

from rag import Pipeline, load_settings
from rag.adapters.langchain import LangChainSearcher, RagshapCompressor, RagshapRetriever, cited_message
from retrievers import Searcher

from ..conftest import WordReader
from .conftest import OVERRIDES
from .heartbeat import beats_during


@pytest.fixture
def documents(hits):
    return [
        Document(id=h.passage.id, page_content=h.passage.text, metadata={"title": h.passage.title, "tags": ["a"]})
        for h in hits
    ]


def test_a_message_cites_the_documents_that_carry_each_sentence():
    texts = ["Sheep graze here.", " ", "Rowe built a tower.", "Smith made a bridge."]
    documents = [Document(id=f"d{i}", page_content=text) for i, text in enumerate(texts)]
    documents[3].metadata["title"] = "Bridges"
    answer = "Smith made a bridge. Jones dug tunnels. Rowe built a tower."
    message = cited_message(Pipeline(None, WordReader()), "who?", f" {answer}\n", documents)
    assert message.text == answer
    [block] = message.content_blocks
    found = {}
    for one in block["annotations"]:
        assert one["type"] == "citation"
        assert answer[one["start_index"] : one["end_index"]] != "Jones dug tunnels."
        found.setdefault(answer[one["start_index"] : one["end_index"]], (one["title"], one["cited_text"]))
    assert found == {
        "Smith made a bridge.": ("Bridges", "Smith made a bridge."),
        "Rowe built a tower.": ("d2", "Rowe built a tower."),
    }
    assert [answer[start:end] for start, end in message.response_metadata["ragshap"]["unsupported"]] == [
        "Jones dug tunnels."
    ]


def test_the_compressor_orders_copies_by_value(reranker, documents, question, expected):
    before = copy.deepcopy(documents)
    kept = RagshapCompressor(reranker=reranker).compress_documents(documents, question)
    assert {d.id: d.metadata["ragshap"] for d in kept} == expected
    assert [d.id for d in kept] == list(expected)
    assert [d.metadata["relevance_score"] for d in kept] == [e["score"] for e in expected.values()]
    assert kept[0].metadata["tags"] == ["a"]
    assert documents == before


@pytest.mark.parametrize(("top_n", "left"), [(2, 2), (99, 4)])
def test_the_first_are_kept(reranker, documents, question, expected, top_n, left):
    kept = RagshapCompressor(reranker=reranker, top_n=top_n).compress_documents(documents, question)
    assert [d.id for d in kept] == list(expected)[:left]


def test_documents_without_id_or_text(reranker, documents, question):
    texts = ["", documents[-1].page_content, documents[-1].page_content]
    kept = RagshapCompressor(reranker=reranker).compress_documents([Document(t) for t in texts], question)
    assert [d.page_content for d in kept] == [*texts[1:], ""]
    assert [d.metadata["ragshap"]["value"] for d in kept[:2]] == pytest.approx([0.5, 0.5])
    assert kept[2].metadata["ragshap"]["value"] is None
    assert RagshapCompressor(reranker=reranker).compress_documents([], question) == []


def test_a_count_below_one_is_refused(reranker, retriever):
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        RagshapCompressor(reranker=reranker, top_n=0)
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        RagshapRetriever(searcher=retriever, k=0)


def test_a_chain_retrieves_attributes_and_answers(retriever, reranker, question):
    compressor = RagshapCompressor(reranker=reranker, top_n=1)
    evidence = RagshapRetriever(searcher=retriever, k=4)
    compress = RunnableLambda(lambda given: compressor.compress_documents(given["documents"], given["question"]))
    prompt = ChatPromptTemplate.from_template("{context}\n\n{question}")
    heard = []
    chain = (
        {"documents": evidence, "question": RunnablePassthrough()}
        | RunnablePassthrough.assign(context=compress | (lambda kept: kept[0].page_content))
        | prompt
        | RunnableLambda(lambda value: heard.append(value.to_string()) or value)
        | FakeListChatModel(responses=["2,110 metres"])
        | StrOutputParser()
    )
    assert chain.invoke(question) == "2,110 metres"
    assert "its height is now stated as 2,110 metres" in heard[0]


def test_the_retriever_returns_what_ours_finds(retriever, question):
    found = RagshapRetriever(searcher=retriever, k=3).invoke(question)
    hits = retriever.search(question, 3)
    assert [(d.id, d.page_content, d.metadata["relevance_score"]) for d in found] == [
        (h.passage.id, h.passage.text, h.score) for h in hits
    ]
    assert found[0].metadata["title"] == hits[0].passage.title


def test_the_loop_goes_on_while_we_compute(retriever, reranker, documents, question, expected):
    async def both():
        found = await RagshapRetriever(searcher=retriever, k=4).ainvoke(question)
        kept, beats = await beats_during(RagshapCompressor(reranker=reranker).acompress_documents(documents, question))
        return found, kept, beats

    found, kept, beats = asyncio.run(both())
    assert len(found) == 4
    assert [d.id for d in kept] == list(expected)
    assert beats > 2


class Letters(Embeddings):
    """How often each letter occurs."""

    def embed_documents(self, texts):
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text):
        return [text.lower().count(letter) / len(text) for letter in "abcdefghijklmnopqrstuvwxyz0123456789"]


def test_a_vector_store_serves_our_pipeline(documents, reranker, question):
    store = InMemoryVectorStore(Letters())
    store.add_documents(documents)
    searcher = LangChainSearcher(store.as_retriever(search_kwargs={"k": 4}))
    assert isinstance(searcher, Searcher)
    answer = Pipeline(searcher, reranker.reader, load_settings(overrides=OVERRIDES)).ask(question)
    assert answer.text == "2,110 metres"
    assert {e.passage.id for e in answer.evidence} == {d.id for d in documents}
    assert all(e.passage.metadata == {"tags": ["a"]} for e in answer.evidence)
    assert {e.passage.title for e in answer.evidence} == {d.metadata["title"] for d in documents}


def test_ours_in_theirs_in_ours_finds_the_same(retriever, question):
    searcher = LangChainSearcher(RagshapRetriever(searcher=retriever, k=5))
    there = [(h.passage.id, h.passage.title, h.passage.text, h.score) for h in searcher.search(question, 5)]
    assert there == [(h.passage.id, h.passage.title, h.passage.text, h.score) for h in retriever.search(question, 5)]
    around = RagshapRetriever(searcher=searcher, k=5)  # ours again, which holds the lock while theirs asks ours
    assert [document.id for document in around.invoke(question)] == [name for name, *_ in there]


def test_scores_of_numpy_are_numbers():
    class Scored(BaseRetriever):
        def _get_relevant_documents(self, query: str, *, run_manager) -> list[Document]:
            pairs = (("Oslo", 0.75), ("Rome", 0.5))
            return [Document(page_content=text, metadata={"relevance_score": np.float32(s)}) for text, s in pairs]

    hits = LangChainSearcher(Scored()).search("where?")
    assert [(hit.score, hit.passage.metadata["relevance_score"]) for hit in hits] == [(0.75, 0.75), (0.5, 0.5)]
