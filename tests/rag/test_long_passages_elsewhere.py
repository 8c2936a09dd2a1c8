"""As `test_long_passages`, asked through the service, the adapters, files, and evaluations."""

from __future__ import annotations

import json
import os

import pytest

from rag import Pipeline, Reranker
from rag.cli import run

from .test_long_passages import ANSWER, LONG, PASSAGES, QUESTION

TEXTS = [passage.text for passage in PASSAGES]
FEW = ["--set", "attribution.budget=20", "--quiet"]


@pytest.fixture(scope="module")
def reranker() -> Reranker:
    return Reranker()


def test_langchain_puts_it_first(reranker):
    pytest.importorskip("langchain_core", reason="needs langchain-core: pip install 'ragshap[langchain]'")
    from langchain_core.documents import Document

    from rag.adapters.langchain import RagshapCompressor

    documents = [Document(text) for text in TEXTS]
    best = RagshapCompressor(reranker=reranker).compress_documents(documents, QUESTION)[0]
    assert best.page_content == LONG.text
    assert best.metadata["ragshap"]["answer"] == ANSWER


def test_llama_index_puts_it_first(reranker):
    pytest.importorskip("llama_index.core", reason="needs llama-index-core: pip install 'ragshap[llama-index]'")
    from llama_index.core.schema import NodeWithScore, TextNode

    from rag.adapters.llama_index import RagshapPostprocessor

    nodes = [NodeWithScore(node=TextNode(text=text)) for text in TEXTS]
    best = RagshapPostprocessor(reranker=reranker).postprocess_nodes(nodes, query_str=QUESTION)[0]
    assert best.node.get_content() == LONG.text
    assert best.node.metadata["ragshap"]["answer"] == ANSWER


def test_haystack_puts_it_first(reranker):
    os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"
    pytest.importorskip("haystack", reason="needs haystack-ai: pip install 'ragshap[haystack]'")
    from haystack import Document

    from rag.adapters.haystack import RagshapRanker

    ranker = RagshapRanker()
    ranker._reranker = reranker  # the reader is loaded once for all tests
    best = ranker.run(QUESTION, [Document(content=text) for text in TEXTS])["documents"][0]
    assert best.content == LONG.text
    assert best.meta["ragshap"]["answer"] == ANSWER


def test_rerankers_puts_it_first(reranker):
    pytest.importorskip("rerankers", reason="needs rerankers: pip install 'ragshap[rerankers]'")
    from rag.adapters.rerankers import RagshapRanker

    ranker = RagshapRanker(verbose=0)
    ranker.reranker = reranker
    best = ranker.rank(QUESTION, TEXTS).top_k(1)[0]
    assert best.text == LONG.text
    assert best.metadata["ragshap"]["answer"] == ANSWER


def test_the_service_puts_it_first(reranker):
    pytest.importorskip("fastapi", reason="the service needs pip install 'ragshap[serve]'")
    from starlette.testclient import TestClient

    from rag.service import create_app

    with TestClient(create_app(Pipeline(None, reranker.reader)), base_url="http://localhost") as client:
        response = client.post("/v2/rerank", json={"model": "m", "query": QUESTION, "documents": TEXTS})
    assert response.json()["results"][0]["index"] == TEXTS.index(LONG.text)


def test_a_reranked_file_has_it_first(tmp_path, capfd):
    contexts = [{"id": passage.id, "title": passage.title, "text": passage.text} for passage in PASSAGES]
    path, out = tmp_path / "in.json", tmp_path / "out.json"
    path.write_text(json.dumps([{"question": QUESTION, "answers": [ANSWER], "ctxs": contexts}]), encoding="utf-8")
    assert run(["rerank", str(path), "--out", str(out), *FEW]) == 0
    [entry] = json.loads(out.read_text(encoding="utf-8"))
    assert entry["ctxs"][0]["id"] == LONG.id
    assert "longer than" not in capfd.readouterr().out
    assert run(["rerank", str(path), "--out", str(out), *FEW, "--set", "reader.max_passage_tokens=256"]) == 0
    assert "in 1 of 1 questions: passages longer than reader.max_passage_tokens: 1; " in capfd.readouterr().out


def test_evaluations_count_it_as_right(tmp_path, capfd):
    path = tmp_path / "questions.json"
    contexts = [{"id": passage.id, "title": passage.title, "text": passage.text} for passage in PASSAGES]
    path.write_text(json.dumps([{"question": QUESTION, "answers": [ANSWER], "ctxs": contexts}]), encoding="utf-8")
    evaluate = ["evaluate", "qa", str(path), "--passages", "own", "--json", "--quiet"]
    assert run(evaluate) == 0
    result = json.loads(capfd.readouterr().out)
    assert result["rows"][0]["exact_match"] == 100
    assert run([*evaluate, "--set", "reader.max_passage_tokens=256"]) == 0
    result = json.loads(capfd.readouterr().out)
    assert result["rows"][0]["exact_match"] == 0
    assert any("in 1 of 1 questions: passages longer than" in note for note in result["warnings"])
