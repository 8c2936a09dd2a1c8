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


LITELLM = ["hosted_vllm/ragshap", "infinity/ragshap", "cohere/ragshap", "jina_ai/jina-reranker", "huggingface/ragshap"]


@pytest.mark.parametrize("model", LITELLM)
def test_litellm(live, model, monkeypatch):
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else it asks the network for prices
    litellm = pytest.importorskip("litellm", reason="pip install litellm")
    texts = not model.startswith("infinity")  # which sends what hosted_vllm sends, and reads texts in another form
    sent = {"query": FERRY, "documents": FERRY_TEXTS, "top_n": 2, "return_documents": texts}
    found = litellm.rerank(model=model, api_base=live.url, api_key="no-key", **sent).results
    assert found[0]["index"] == BEST
    assert 0.5 < found[0]["relevance_score"] <= 1
    if texts:
        assert found[0]["document"]["text"] == FERRY_TEXTS[BEST]


HAYSTACK = {
    "cohere": ("cohere-haystack", "CohereRanker", {"api_base_url": "", "api_key": True, "model": "ragshap"}),
    "jina": ("jina-haystack", "JinaRanker", {"base_url": "/v1/rerank", "api_key": True}),
    "huggingface_api": ("huggingface-api-haystack", "HuggingFaceTEIRanker", {"url": ""}),
    "vllm": ("vllm-haystack", "VLLMRanker", {"api_base_url": "/v1", "model": "ragshap"}),
}


@pytest.mark.parametrize("name", HAYSTACK)
def test_haystack(live, name, monkeypatch):
    monkeypatch.setenv("HAYSTACK_TELEMETRY_ENABLED", "False")
    package, ranker, options = HAYSTACK[name]
    module = pytest.importorskip(f"haystack_integrations.components.rankers.{name}", reason=f"pip install {package}")
    from haystack import Document
    from haystack.utils import Secret

    if "api_key" in options:
        options = {**options, "api_key": Secret.from_token("no-key")}
    options = {key: f"{live.url}{value}" if key.endswith("url") else value for key, value in options.items()}
    documents = [Document(content=text) for text in FERRY_TEXTS]
    found = getattr(module, ranker)(**options).run(query=FERRY, documents=documents, top_k=2)["documents"]
    assert found[0].content == FERRY_TEXTS[BEST]
    assert len(found) == 2
    assert 0.5 < found[0].score <= 1


def test_infinity(live):
    infinity = pytest.importorskip("infinity_client", reason="pip install infinity_client")
    from infinity_client.api.default import rerank
    from infinity_client.models import RerankInput

    sent = RerankInput(query=FERRY, documents=FERRY_TEXTS, model="ragshap", return_documents=True)
    found = rerank.sync(client=infinity.Client(base_url=live.url), body=sent).results
    assert found[0].document == FERRY_TEXTS[BEST]


def test_plain_http_with_events(live):
    sent = {"question": "How high is Hvannadalshnjúkur?", "stream": True}
    with httpx2.stream("POST", f"{live.url}/ask", json=sent, timeout=60) as answer:
        lines = [line for line in answer.iter_lines() if line.startswith("event: ")]
    assert lines[-1] == "event: answer"
    assert len(lines) >= 3
