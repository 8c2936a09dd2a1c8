from __future__ import annotations

import asyncio
import copy

import pytest

pytest.importorskip("rerankers", reason="needs rerankers: pip install 'ragshap[rerankers]'")

from rerankers import Document, Reranker

from rag import SettingsError
from rag.adapters.rerankers import RagshapRanker

from .conftest import OVERRIDES
from .heartbeat import beats_during


@pytest.fixture(scope="module")
def ranker():
    return Reranker("default", model_type="ragshap", verbose=0, overrides=OVERRIDES)


@pytest.fixture
def documents(hits):
    return [Document(h.passage.text, doc_id=h.passage.id, metadata={"title": h.passage.title}) for h in hits]


def test_the_library_makes_ours_by_name(ranker):
    assert isinstance(ranker, RagshapRanker)
    with pytest.raises(SettingsError, match="did you mean 'budget'"):
        Reranker("default", model_type="ragshap", verbose=0, overrides=["attribution.bugdet=3"])


def test_documents_are_ranked_by_value(ranker, documents, question, expected):
    before = copy.deepcopy([vars(document) for document in documents])
    ranked = ranker.rank(question, documents)
    assert {r.doc_id: r.metadata["ragshap"] for r in ranked} == expected
    assert [(r.doc_id, r.rank) for r in ranked] == [(name, n) for n, name in enumerate(expected, 1)]
    assert [r.doc_id for r in ranked.top_k(3)] == list(expected)[:3]
    assert len(ranked.top_k(99)) == 4
    best = next(iter(expected))
    assert ranked.get_score_by_docid(best) == expected[best]["score"]
    assert [vars(document) for document in documents] == before


def test_texts_with_ids_and_metadata(ranker, documents, question, expected):
    texts = [document.text for document in documents]
    titles = [dict(document.metadata) for document in documents]
    ranked = ranker.rank(question, texts, doc_ids=[d.doc_id for d in documents], metadata=titles)
    assert {r.doc_id: r.metadata["ragshap"] for r in ranked} == expected
    assert all("ragshap" not in title for title in titles)
    assert sorted(r.doc_id for r in ranker.rank(question, texts, metadata=titles)) == [0, 1, 2, 3]


def test_one_text_no_texts_and_blank_ones(ranker, documents, question):
    text = documents[-1].text
    (alone,) = ranker.rank(question, text, doc_ids="only")
    assert (alone.doc_id, alone.rank) == ("only", 1)
    assert 0.75 < alone.score == ranker.score(question, text) <= 1.0, "all of the answer is owed to it"
    assert ranker.rank(question, []).results == []
    picture = Document(document_type="image", image_path="peak.png")
    ranked = ranker.rank(question, ["", picture, text])
    assert [r.doc_id for r in ranked] == [2, 0, 1]
    assert ranked[2].document.image_path == "peak.png"


def test_ids_must_fit_the_documents(ranker, question):
    with pytest.raises(ValueError, match="doc_ids must be one per document: got 1 for 2 documents"):
        ranker.rank(question, ["a", "b"], doc_ids=[1])


def test_the_loop_goes_on_while_we_compute(ranker, documents, question, expected):
    async def run():
        return await beats_during(ranker.rank_async(question, documents))

    ranked, beats = asyncio.run(run())
    assert [r.doc_id for r in ranked] == list(expected)
    assert beats > 2
