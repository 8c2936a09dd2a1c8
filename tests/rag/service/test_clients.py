"""Real clients against the service on a real port; each needs nothing but its address changed."""

from __future__ import annotations

import httpx2
import pytest

from rag import Reranker
from retrievers import Hit, Passage

from .conftest import FERRY, FERRY_TEXTS

BEST = 2


def test_cohere_v2(live):
    cohere = pytest.importorskip("cohere", reason="pip install cohere")
    client = cohere.ClientV2("no-key", base_url=live.url)
    answer = client.rerank(model="ragshap", query=FERRY, documents=FERRY_TEXTS, top_n=3)
    direct = Reranker(live.pipeline.reader).rerank(
        FERRY, [Hit(Passage(str(i), t), 0.0) for i, t in enumerate(FERRY_TEXTS)]
    )
    assert [(result.index, result.relevance_score) for result in answer.results] == [
        (int(hit.passage.id), pytest.approx(hit.score)) for hit in direct[:3]
    ]
    assert answer.results[0].index == BEST
    assert answer.id
    assert answer.meta.api_version.version == "2"


def test_cohere_v2_async_and_its_errors(live):
    import asyncio

    cohere = pytest.importorskip("cohere", reason="pip install cohere")

    async def ask():
        async with cohere.AsyncClientV2("no-key", base_url=live.url) as client:
            return await client.rerank(model="ragshap", query=FERRY, documents=FERRY_TEXTS)

    assert asyncio.run(ask()).results[0].index == BEST
    client = cohere.ClientV2("no-key", base_url=live.url)
    with pytest.raises(cohere.errors.UnprocessableEntityError) as error:
        client.rerank(model="ragshap", query=" ", documents=FERRY_TEXTS)
    assert error.value.status_code == 422
    assert "question is empty" in str(error.value.body)


def test_cohere_v1(live):
    cohere = pytest.importorskip("cohere", reason="pip install cohere")
    client = cohere.Client("no-key", base_url=live.url)
    answer = client.rerank(query=FERRY, documents=[{"text": text} for text in FERRY_TEXTS], return_documents=True)
    assert answer.results[0].index == BEST
    assert answer.results[0].document.text == FERRY_TEXTS[BEST]
    plain = client.rerank(query=FERRY, documents=FERRY_TEXTS, top_n=1, model="rerank-english-v3.0")
    assert [(result.index, result.document) for result in plain.results] == [(BEST, None)]


def test_langchain_cohere_in_a_compression_chain(live):
    rerank = pytest.importorskip("langchain_cohere", reason="pip install langchain-cohere").CohereRerank
    from langchain_core.documents import Document

    compressor = rerank(base_url=live.url, cohere_api_key="no-key", model="ragshap", top_n=2)
    documents = [Document(page_content=text, metadata={"n": n}) for n, text in enumerate(FERRY_TEXTS)]
    found = compressor.compress_documents(documents, FERRY)
    assert found[0].metadata["n"] == BEST
    assert len(found) == 2
    assert 0.5 < found[0].metadata["relevance_score"] <= 1


def test_langchain_jina(live, monkeypatch):
    module = pytest.importorskip(
        "langchain_community.document_compressors.jina_rerank", reason="pip install langchain-community"
    )
    from langchain_core.documents import Document

    monkeypatch.setattr(module, "JINA_API_URL", f"{live.url}/v1/rerank")  # it has no setting for its address
    compressor = module.JinaRerank(jina_api_key="no-key", model="jina-reranker-v2-base-multilingual", top_n=2)
    found = compressor.compress_documents([Document(page_content=text) for text in FERRY_TEXTS], FERRY)
    assert found[0].page_content == FERRY_TEXTS[BEST]
    assert len(found) == 2


def nodes():
    from llama_index.core.schema import NodeWithScore, TextNode

    return [NodeWithScore(node=TextNode(text=text), score=0.1) for text in FERRY_TEXTS]


@pytest.mark.parametrize("protocol", ["cohere_rerank", "jinaai_rerank", "tei_rerank"])
def test_llama_index(live, protocol):
    package = f"llama-index-postprocessor-{protocol.replace('_', '-')}"
    module = pytest.importorskip(f"llama_index.postprocessor.{protocol}", reason=f"pip install {package}")
    postprocessor = {
        "cohere_rerank": lambda: module.CohereRerank(api_key="no-key", base_url=live.url, top_n=2, model="ragshap"),
        "jinaai_rerank": lambda: module.JinaRerank(api_key="no-key", base_url=f"{live.url}/v1", top_n=2),
        "tei_rerank": lambda: module.TextEmbeddingInference(base_url=live.url, top_n=2),
    }[protocol]()
    found = postprocessor.postprocess_nodes(nodes(), query_str=FERRY)
    assert found[0].node.get_content() == FERRY_TEXTS[BEST]
    assert len(found) == 2
    assert 0.5 < found[0].score <= 1


def test_plain_http_with_events(live):
    sent = {"question": "According to modern measurement, how high is Hvannadalshnjúkur?", "stream": True}
    with httpx2.stream("POST", f"{live.url}/ask", json=sent, timeout=60) as answer:
        lines = [line for line in answer.iter_lines() if line.startswith("event: ")]
    assert lines[-1] == "event: answer"
    assert len(lines) >= 3
