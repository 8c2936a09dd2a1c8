"""Elasticsearch indexes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from retrievers.base import RRF_K
from retrievers.errors import EngineError, EngineUnavailableError
from retrievers.search_engines.rest import RestEngine

_MOST_CANDIDATES = 10_000  # Elasticsearch's limit


class ElasticsearchRetriever(RestEngine):
    """Ranks the documents of an Elasticsearch index; for arguments see `retrievers.search_engines.rest`.

    The request bodies are those of Elasticsearch's reference: ``multi_match``, ``knn``, and for ``"hybrid"`` the
    ``rrf`` retriever (from 8.14 on, and only with an Enterprise licence).
    """

    kind = "elasticsearch"

    def _connect(self, url: str, user: str | None, password: str | None, ca_certs: str | None, timeout: float) -> Any:
        try:
            import elasticsearch
        except ImportError as error:
            raise ImportError("Elasticsearch needs its client: pip install 'ragshap[elasticsearch]'") from error
        self._library = elasticsearch
        access: dict[str, Any] = {"api_key": password} if user is None else {"basic_auth": (user, password)}
        if ca_certs is not None:
            access["ca_certs"] = ca_certs
        try:
            return elasticsearch.Elasticsearch(url, request_timeout=timeout, **access)
        except (ValueError, OSError) as error:
            raise EngineError(f"{url}: {error}") from None

    def _body(self, query: str, k: int, window: int) -> dict[str, Any]:
        if self._mode == "bm25":
            return {"query": self._match(query)}
        if self._mode == "dense":
            return {"knn": self._knn(query, k)}
        retrievers = [{"standard": {"query": self._match(query)}}, {"knn": self._knn(query, window)}]
        fused = {"retrievers": retrievers, "rank_constant": RRF_K, "rank_window_size": window}
        return {"retriever": {"rrf": fused}}

    def _knn(self, query: str, k: int) -> dict[str, Any]:
        candidates = max(k, min(2 * k + 100, _MOST_CANDIDATES))
        return {
            "field": self._vector_field,
            "query_vector": self._vector(query),
            "k": k,
            "num_candidates": candidates,
        }

    def _search(self, body: dict[str, Any]) -> Mapping[str, Any]:
        with self._explained():
            answer: Mapping[str, Any] = self._client.search(index=self._index, body=body).body
            return answer

    def _scan(self, body: dict[str, Any]) -> Iterable[Mapping[str, Any]]:
        from elasticsearch.helpers import scan

        with self._explained():
            return list(scan(self._client, index=self._index, query=body))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """The client's exceptions as one line."""
        try:
            yield
        except self._library.UnsupportedProductError:
            raise EngineError(
                f"{self._url} is not Elasticsearch; for OpenSearch, set retriever.kind=opensearch"
            ) from None
        except self._library.ApiError as error:
            raise self._refusal(error.meta.status, error.body) from None
        except self._library.TransportError as error:
            raise EngineUnavailableError(f"{self._url} does not answer: {error.message}") from None
