"""OpenSearch indexes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from retrievers.base import RRF_K
from retrievers.errors import EngineError, EngineUnavailableError
from retrievers.search_engines.rest import RestEngine


class OpenSearchRetriever(RestEngine):
    """Ranks the documents of an OpenSearch index; for arguments see `retrievers.search_engines.rest`.

    The request bodies are those of OpenSearch's reference: ``multi_match``, the ``knn`` query, and for ``"hybrid"``
    the ``hybrid`` query with a search pipeline of one request that ranks by ``score-ranker-processor`` (from 2.19 on).
    """

    kind = "opensearch"

    def _connect(self, url: str, user: str | None, password: str | None, ca_certs: str | None, timeout: float) -> Any:
        try:
            import opensearchpy
        except ImportError as error:
            raise ImportError("OpenSearch needs its client: pip install 'ragshap[opensearch]'") from error
        if password is not None and user is None:
            raise EngineError("token_env names a password here; give its user too (retriever.opensearch.user)")
        self._library = opensearchpy
        access = None if user is None else (user, password)
        try:
            return opensearchpy.OpenSearch([url], http_auth=access, ca_certs=ca_certs, timeout=timeout)
        except (ValueError, OSError, opensearchpy.ImproperlyConfigured) as error:
            raise EngineError(f"{url}: {error}") from None

    def _body(self, query: str, k: int, window: int) -> dict[str, Any]:
        if self._mode == "bm25":
            return {"query": self._match(query)}
        if self._mode == "dense":
            return {"query": self._knn(query, k)}
        ranked = {"score-ranker-processor": {"combination": {"technique": "rrf", "rank_constant": RRF_K}}}
        return {
            "query": {"hybrid": {"queries": [self._match(query), self._knn(query, window)]}},
            "search_pipeline": {"phase_results_processors": [ranked]},
        }

    def _knn(self, query: str, k: int) -> dict[str, Any]:
        return {"knn": {self._vector_field: {"vector": self._vector(query), "k": k}}}

    def _search(self, body: dict[str, Any]) -> Mapping[str, Any]:
        with self._explained():
            answer: Mapping[str, Any] = self._client.search(index=self._index, body=body)
            return answer

    def _scan(self, body: dict[str, Any]) -> Iterable[Mapping[str, Any]]:
        from opensearchpy.helpers import scan

        with self._explained():
            return list(scan(self._client, index=self._index, query=body))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """The client's exceptions as one line."""
        try:
            yield
        except self._library.ConnectionError as error:
            raise EngineUnavailableError(f"{self._url} does not answer: {error.error}") from None
        except self._library.TransportError as error:
            raise self._refusal(error.status_code, error.info) from None
