from __future__ import annotations

import asyncio
import copy
import os

import pytest

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"
pytest.importorskip("haystack", reason="needs haystack-ai: pip install 'ragshap[haystack]'")

from haystack import Document
from haystack import Pipeline as HaystackPipeline
from haystack.components.builders import AnswerBuilder, PromptBuilder
from haystack.components.retrievers.in_memory import InMemoryBM25Retriever
from haystack.document_stores.in_memory import InMemoryDocumentStore

from rag import Pipeline, SettingsError, load_settings
from rag.adapters.haystack import HaystackSearcher, RagshapCiter, RagshapRanker, RagshapRetriever
from retrievers import Searcher

from ..conftest import WordReader
from .conftest import CORPUS, OVERRIDES
from .heartbeat import beats_during


@pytest.fixture
def documents(hits):
    return [
        Document(id=h.passage.id, content=h.passage.text, meta={"title": h.passage.title, "page": 7}, score=h.score)
        for h in hits
    ]


@pytest.fixture(scope="module")
def ranker():
    return RagshapRanker(overrides=OVERRIDES)


def test_the_ranker_orders_copies_by_value(ranker, documents, question, expected):
    before = copy.deepcopy(documents)
    kept = ranker.run(question, documents)["documents"]
    assert {d.id: d.meta["ragshap"] for d in kept} == expected
    assert [d.id for d in kept] == list(expected)
    assert [d.score for d in kept] == [e["score"] for e in expected.values()]
    assert documents == before


@pytest.mark.parametrize(("top_k", "left"), [(None, 4), (2, 2), (99, 4)])
def test_the_first_are_kept(ranker, documents, question, expected, top_k, left):
    assert [d.id for d in ranker.run(question, documents, top_k)["documents"]] == list(expected)[:left]


def test_no_documents_and_documents_without_text(ranker, documents, question):
    assert ranker.run(question, []) == {"documents": []}
    given = [Document(content=None, meta={"n": 1}), documents[-1]]
    kept = ranker.run(question, given)["documents"]
    assert [d.id for d in kept] == [given[1].id, given[0].id]
    assert kept[1].meta["ragshap"]["value"] is None


def test_wrong_settings_are_met_at_once():
    with pytest.raises(SettingsError, match="did you mean 'budget'"):
        RagshapRanker(overrides=["attribution.bugdet=3"])
    with pytest.raises(ValueError, match="top_k must be at least 1"):
        RagshapRetriever(corpus=CORPUS, top_k=0)
    with pytest.raises(SettingsError, match="one of the two"):
        RagshapRetriever().run("what?")


@pytest.fixture(scope="module")
def pipeline():
    pipeline = HaystackPipeline()
    pipeline.add_component("retriever", RagshapRetriever(corpus=CORPUS, top_k=4))
    pipeline.add_component("ranker", RagshapRanker(overrides=OVERRIDES, top_k=1))
    pipeline.add_component(
        "prompt",
        PromptBuilder(
            "{% for d in documents %}{{ d.content }}{% endfor %} {{ question }}",
            required_variables=["documents", "question"],
        ),
    )
    pipeline.connect("retriever.documents", "ranker.documents")
    pipeline.connect("ranker.documents", "prompt.documents")
    return pipeline


def inputs(question):
    return {"retriever": {"query": question}, "ranker": {"query": question}, "prompt": {"question": question}}


def test_a_pipeline_retrieves_ranks_and_prompts(pipeline, question):
    outputs = pipeline.run(inputs(question), include_outputs_from={"ranker"})
    (document,) = outputs["ranker"]["documents"]
    assert document.id == "hvannadalshnjukur-2"
    assert document.meta["ragshap"]["answer"] == "2,110 metres"
    assert "its height is now stated as 2,110 metres" in outputs["prompt"]["prompt"]


def test_a_pipeline_survives_yaml(pipeline, question):
    again = HaystackPipeline.loads(pipeline.dumps(), allowed_modules=["rag.adapters.haystack"])
    assert _unordered(again.to_dict()) == _unordered(pipeline.to_dict())
    assert again.run(inputs(question)) == pipeline.run(inputs(question))


def _unordered(data):
    return {**data, "connections": sorted(data["connections"], key=str)}


def test_closing_a_pipeline_closes_the_reader_until_it_runs_again(pipeline, question, monkeypatch):
    before = pipeline.run(inputs(question))
    reader, closed = pipeline.get_component("ranker")._reranker.reader, []
    monkeypatch.setattr(reader, "close", lambda: closed.append(reader), raising=False)
    for _ in range(2):
        pipeline.close()
    assert closed == [reader]
    assert pipeline.run(inputs(question)) == before


def test_components_survive_dictionaries(tmp_path):
    ranker = RagshapRanker("quality", ["attribution.budget=9"], 3)
    data = ranker.to_dict()
    assert data == {
        "type": "rag.adapters.haystack.RagshapRanker",
        "init_parameters": {"config": "quality", "overrides": ["attribution.budget=9"], "top_k": 3},
    }
    assert RagshapRanker.from_dict(copy.deepcopy(data)).to_dict() == data
    retriever = RagshapRetriever(index=str(tmp_path), overrides=["retriever.passages=7"])
    assert RagshapRetriever.from_dict(retriever.to_dict()).to_dict() == retriever.to_dict()


def test_the_retriever_returns_what_ours_finds(retriever, question, tmp_path):
    retriever.save(tmp_path / "islands.index")
    component = RagshapRetriever(index=str(tmp_path / "islands.index"), overrides=["retriever.passages=4"])
    for top_k, k in [(None, 4), (2, 2)]:
        found = component.run(question, top_k)["documents"]
        assert [(d.id, d.content, d.score) for d in found] == [
            (h.passage.id, h.passage.text, h.score) for h in retriever.search(question, k)
        ]


def test_the_loop_goes_on_while_we_compute(pipeline, ranker, documents, question, expected):
    kept, beats = asyncio.run(_beats(ranker.run_async(question, documents)))
    assert [d.id for d in kept["documents"]] == list(expected)
    assert beats > 2
    assert asyncio.run(pipeline.run_async(inputs(question))) == pipeline.run(inputs(question))


async def _beats(work):
    return await beats_during(work)


def test_a_document_store_serves_our_pipeline(documents, reranker, question):
    store = InMemoryDocumentStore()
    store.write_documents(documents)
    searcher = HaystackSearcher(InMemoryBM25Retriever(store))
    assert isinstance(searcher, Searcher)
    settings = load_settings(overrides=[*OVERRIDES, "retriever.passages=3"])
    answer = Pipeline(searcher, reranker.reader, settings).ask(question)
    assert answer.text == "2,110 metres"
    found = store.bm25_retrieval(question, top_k=3)
    assert {(e.passage.id, e.score) for e in answer.evidence} == {(d.id, d.score) for d in found}
    assert all(e.passage.metadata == {"page": 7} for e in answer.evidence)


def test_ours_in_theirs_in_ours_finds_the_same(retriever, question):
    hits = HaystackSearcher(RagshapRetriever(corpus=CORPUS)).search(question, 5)
    there = [(h.passage.id, h.passage.title, h.passage.text, h.score) for h in hits]
    assert there == [(h.passage.id, h.passage.title, h.passage.text, h.score) for h in retriever.search(question, 5)]


def test_answers_of_a_pipeline_get_citations_in_their_meta():
    documents = [Document(content=text) for text in ("Sheep graze here.", "Rowe built a tower.", "", "Smith met Rowe.")]
    pipeline = HaystackPipeline()
    pipeline.add_component("builder", AnswerBuilder())
    pipeline.add_component("citer", RagshapCiter(overrides=["attribution.budget=16"]))
    pipeline.connect("builder.answers", "citer.answers")
    pipeline = HaystackPipeline.loads(pipeline.dumps(), allowed_modules=["rag.adapters.haystack"])
    citer = pipeline.get_component("citer")
    assert citer.overrides == ["attribution.budget=16"]
    citer._pipeline = Pipeline(None, WordReader())
    said = "Rowe built a tower. Jones dug tunnels."
    [answer] = pipeline.run({"builder": {"query": "who?", "replies": [f"{said} "], "documents": documents}})["citer"][
        "answers"
    ]
    assert answer.data.strip() == said
    assert [one.meta["source_index"] for one in answer.documents] == [1, 2, 3, 4]
    assert [one.meta["referenced"] for one in answer.documents][:3] == [False, True, False]
    found = answer.meta["ragshap"]
    assert found["text"].startswith("Rowe built a tower. [2]")
    assert found["text"].endswith(" Jones dug tunnels.")
    assert [one["supported"] for one in found["sentences"]] == [True, False]
    assert all("ragshap" not in one.meta and "referenced" not in one.meta for one in documents)
    citer.close()
    assert citer._pipeline is None
