"""What Elasticsearch and OpenSearch have in common: fields, answers and errors."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from retrievers.dense.encoder import DEFAULT, Encoder
from retrievers.errors import EngineError, EngineUnavailableError
from retrievers.passage import Hit, Passage
from retrievers.search_engines.base import FUSED, SearchEngine, check_address, check_timeout, engine_encoder, secret

_UNAVAILABLE = (408, 429, 502, 503, 504)  # the server, or what stands before it, is busy or cannot be reached
_LARGEST_REASON = 500  # characters of a server's explanation that are shown


class RestEngine(SearchEngine):
    """Searches an index by one request; the query is only ever the value of a ``match``, which has no syntax.

    Args:
        url: The server, such as ``"https://localhost:9200"``.
        index: The index, an alias or a pattern.
        mode: ``"bm25"``, ``"dense"`` (k nearest vectors), or ``"hybrid"``, which fuses both by reciprocal rank in the
            server.
        encoder: What made the vectors: as in :class:`retrievers.dense.retriever.DenseRetriever`.
        id: Field with the passage's id; ``"_id"`` is the document's own.
        title: Field with the title, or None if there is none.
        text: Field with the text. In all these names dots lead into objects.
        vector: Field with the vectors.
        user: Whose password ``token_env`` names.
        token_env: Environment variable with the password or, without a user, an API key (Elasticsearch).
        ca_certs: File with the certificates of the authority that signed the server's.
        timeout: Seconds until a request is given up.

    Raises:
        ValueError: A setting is out of range.
        EngineError: A setting cannot be used; the server is not asked yet.
        ImportError: The client is not installed.
    """

    def __init__(
        self,
        url: str,
        index: str,
        *,
        mode: str = "bm25",
        encoder: str | Encoder = DEFAULT,
        id: str = "_id",
        title: str | None = "title",
        text: str = "text",
        vector: str = "vector",
        user: str | None = None,
        token_env: str | None = None,
        ca_certs: str | None = None,
        timeout: float = 30.0,
    ) -> None:
        """See the class."""
        check_address(url)
        check_timeout(timeout)
        if user is not None and token_env is None:
            raise EngineError("user is given without token_env, the environment variable that holds the password")
        made = engine_encoder(mode, encoder)
        fields = {"id": id, "title": title, "text": text, "vector": vector}
        access = {"user": user, "token_env": token_env, "ca_certs": ca_certs, "timeout": timeout}
        name = DEFAULT if made is None else made.name
        super().__init__({"url": url, "index": index, "mode": mode, "encoder": name, **fields, **access}, made)
        self._url, self._index, self._mode = url, index, mode
        self._id, self._title, self._text, self._vector_field = id, title, text, vector
        self._client = self._connect(url, user, secret(token_env), ca_certs, timeout)

    @abstractmethod
    def _connect(self, url: str, user: str | None, password: str | None, ca_certs: str | None, timeout: float) -> Any:
        """The client."""

    @abstractmethod
    def _body(self, query: str, k: int, window: int) -> dict[str, Any]:
        """The request's part that says what is sought; in mode hybrid, ``window`` hits of each ranking are fused."""

    @abstractmethod
    def _search(self, body: dict[str, Any]) -> Mapping[str, Any]:
        """The server's answer to a request; ``EngineError`` if there is none."""

    @abstractmethod
    def _explained(self) -> AbstractContextManager[None]:
        """The client's exceptions as one line."""

    @abstractmethod
    def _scan(self, body: dict[str, Any]) -> Iterable[Mapping[str, Any]]:
        """All hits of a request."""

    @property
    def passages(self) -> Sequence[Passage]:
        """All passages, read from the server at every call, in its order."""
        with self._understood():
            return [self._passage(row) for row in self._scan({"query": {"match_all": {}}, "_source": self._source()})]

    def __len__(self) -> int:
        """Number of documents in the index."""
        with self._understood(), self._explained():
            return int(self._client.count(index=self._index)["count"])

    def __str__(self) -> str:
        return f"the index {self._index!r} at {self._url}"

    def _find(self, query: str, k: int) -> list[Hit]:
        query = query.encode("utf-8", "replace").decode("utf-8")  # a half of a surrogate pair cannot be sent
        body = {**self._body(query, k, max(k, FUSED)), "size": k, "_source": self._source()}
        with self._understood():
            return self._hits(self._search(body))

    @contextmanager
    def _understood(self) -> Iterator[None]:
        """An answer that is none of a search engine as one line."""
        try:
            yield
        except EngineError:
            raise
        except (LookupError, TypeError, AttributeError, ValueError, RecursionError) as error:
            raise EngineError(
                f"{self} answered with something that is no search result ({type(error).__name__}: "
                f"{str(error)[:_LARGEST_REASON]})"
            ) from error

    def _hits(self, answer: Mapping[str, Any]) -> list[Hit]:
        shards = answer.get("_shards") or {}
        if answer.get("timed_out") or shards.get("failed"):
            failed = f"{shards.get('failed', 0)} of {shards.get('total', '?')} shards failed"
            raise EngineUnavailableError(
                f"{self} answered in part only: {'it timed out' if answer.get('timed_out') else failed}"
            )
        hits = [Hit(self._passage(row), float(row["_score"])) for row in answer["hits"]["hits"]]
        if any(not math.isfinite(hit.score) for hit in hits):
            raise ValueError("a score is no finite number")
        return hits

    def _match(self, query: str) -> dict[str, Any]:
        fields = [self._text] if self._title is None else [self._title, self._text]
        return {"multi_match": {"query": query, "fields": fields}}

    def _source(self) -> list[str]:
        names = [self._id, self._title, self._text]
        return [name for name in names if name is not None and name != "_id"]

    def _passage(self, row: Mapping[str, Any]) -> Passage:
        source = row.get("_source") or {}
        name = row["_id"] if self._id == "_id" else _value(source, self._id)
        text = _value(source, self._text)
        if name is None or text is None:
            setting = "id" if name is None else "text"
            field = self._id if name is None else self._text
            raise EngineError(
                f"document {row['_id']!r} of {self} has nothing in the field {field!r}; name the right field with "
                f"{setting} (retriever.{self.kind}.{setting})"
            )
        title = None if self._title is None else _value(source, self._title)
        passage = Passage(str(name), text, title or "")
        for part in (passage.id, passage.text, passage.title):
            part.encode()  # half of a surrogate pair can be read by nothing that follows
        return passage

    def _refusal(self, status: int | str | None, body: Any) -> EngineError:
        """What to tell of an answer that is an error."""
        reason = " ".join(_reason(body).split())[:_LARGEST_REASON]
        if status == 404:
            return EngineError(f"{self} is not there: {reason}")
        if status == 401:
            return EngineError(f"{self}: the server asks who you are ({reason}); set user and token_env")
        if status == 403 and "license" in reason:
            return EngineError(
                f"{self}: {reason}; mode=bm25 and mode=dense work without that licence, and HybridRetriever fuses them"
            )
        if status == 403:
            return EngineError(f"{self}: this user may not do that: {reason}")
        kind = EngineUnavailableError if status in _UNAVAILABLE else EngineError
        return kind(f"{self} refused the request (status {status}): {reason}")


def _value(source: Mapping[str, Any], field: str) -> str | None:
    """The text of a field, found by its whole name or along its dots; several values are joined."""
    value: Any = source.get(field)
    if value is None:
        value = source
        for part in field.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
    if isinstance(value, list):
        return " ".join(map(str, value))
    return None if value is None or isinstance(value, Mapping) else str(value)


def _reason(body: Any) -> str:
    """The deepest reason of an error in the form that both servers give it."""
    error = body.get("error", body) if isinstance(body, Mapping) else body
    if not isinstance(error, Mapping):
        return str(error)
    causes = error.get("failed_shards") or error.get("root_cause")
    cause = causes[0] if isinstance(causes, list) and causes else None
    if not isinstance(cause, Mapping):
        return str(error.get("reason", error))
    inner = cause.get("reason")
    inner = inner if isinstance(inner, Mapping) else cause
    deepest = inner.get("caused_by")
    return str((deepest if isinstance(deepest, Mapping) and deepest else inner).get("reason", inner))
