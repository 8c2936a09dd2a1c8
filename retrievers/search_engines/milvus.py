"""Milvus collections, in a cluster or in a local file."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from retrievers.base import Progress, fuse
from retrievers.dense.encoder import DEFAULT, Encoder
from retrievers.errors import EngineError, EngineUnavailableError
from retrievers.passage import Hit, Passage
from retrievers.search_engines.base import FUSED, SearchEngine, check_address, check_timeout, engine_encoder, secret
from retrievers.search_engines.milvus_collection import BLOCK, METADATA, Layout
from retrievers.storage.passage_store import check_known, check_new, distinct_ids

_FIRST = f"{BLOCK} == 0"  # of the entities of a passage, the one that holds the passage
_SLAB = 512  # passages in one request
# No connection (2), rate limit (8), and the codes of calls.
_UNAVAILABLE = (2, 8, "UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "RATE_LIMIT")
_PAGE = 1000  # passages in one answer when all are listed
_MOST = 16384  # entities in one answer: Milvus's limit


class MilvusRetriever(SearchEngine):
    """Ranks the passages of a Milvus collection by their vectors, by BM25 (Milvus's full-text search), or by both.

    :meth:`add` makes the collection if it is not there, and adds to one made here without rebuilding. A passage that is
    longer than what the encoder reads at once is there as several entities, one for each block with its vector, and is
    found by the best of them. In a collection made elsewhere, an entity is a passage.

    Args:
        uri: A server, such as ``"http://localhost:19530"``, or a local file, ``"islands.db"`` (Milvus Lite).
        collection: Its name.
        mode: ``"dense"``, ``"bm25"``, or ``"hybrid"``, which fuses both by reciprocal rank.
        encoder: What made the vectors: as in :class:`retrievers.dense.retriever.DenseRetriever`.
        id: Field with the passage's id; of a collection made elsewhere, its primary key.
        title: Field with the title, or None if there is none.
        text: Field with the text.
        vector: Field with the dense vectors.
        sparse: Field that the collection's BM25 function fills.
        analyzer: Of a new collection's words: ``"standard"``, or of a cluster also ``"english"`` and others.
        token_env: Environment variable with ``user:password`` or an API key.
        timeout: Seconds until a request is given up.
        batch_size: Passages per step of the encoder.

    Raises:
        ValueError: A setting is out of range.
        EngineError: Milvus cannot be reached, or the collection lacks a field.
        ImportError: pymilvus is not installed.
    """

    kind = "milvus"

    def __init__(
        self,
        uri: str,
        collection: str = "ragshap",
        *,
        mode: str = "dense",
        encoder: str | Encoder = DEFAULT,
        id: str = "id",
        title: str | None = "title",
        text: str = "text",
        vector: str = "vector",
        sparse: str = "sparse",
        analyzer: str = "standard",
        token_env: str | None = None,
        timeout: float = 30.0,
        batch_size: int = 64,
    ) -> None:
        """See the class."""
        self._local = uri.endswith(".db")
        if self._local:
            uri = str(Path(uri).expanduser().resolve())
        else:
            check_address(uri)
        check_timeout(timeout)
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        made = engine_encoder(mode, encoder)
        named = {"id": id, "title": title, "text": text, "vector": vector, "sparse": sparse}
        asked = {"analyzer": analyzer, "token_env": token_env, "timeout": timeout, "batch_size": batch_size}
        name = DEFAULT if made is None else made.name
        super().__init__({"uri": uri, "collection": collection, "mode": mode, "encoder": name, **named, **asked}, made)
        self._uri, self._collection, self._mode = uri, collection, mode
        self._names, self._batch_size = named, batch_size
        self._fields: dict[str, dict[str, Any]] = {}
        self._milvus = _pymilvus()
        self._layout = Layout(self._milvus, named, made, None if mode == "dense" else analyzer)
        self._client: Any = None
        if not self._local or Path(uri).exists():  # the client would make the file
            self._connect()

    @property
    def passages(self) -> Sequence[Passage]:
        """All passages, read from the collection at every call, in its order."""
        self._require()
        rows: list[Passage] = []
        with self._explained():
            pages = self._client.query_iterator(
                self._collection, batch_size=_PAGE, filter=self._filter(), output_fields=self._wanted()
            )
            while page := pages.next():
                rows += [self._passage(row) for row in page]
                if len(page) < _PAGE:
                    break
                if not self._filter() and {'"', "\\"} & set(
                    rows[-1].id
                ):  # pymilvus puts it, unquoted, into the next page's filter
                    raise EngineError(f"{self} cannot be listed beyond the id {rows[-1].id!r}")
            pages.close()
        return rows

    def __len__(self) -> int:
        """Number of passages; 0 if there is no collection."""
        if not self._fields:
            return 0
        with self._explained():
            counted = self._client.query(self._collection, filter=self._filter(), output_fields=["count(*)"])
            return int(counted[0]["count(*)"])

    def add(self, passages: Iterable[Passage | str], *, progress: Progress | None = None) -> None:
        """Add passages, in batches; earlier ones are not touched.

        Raises:
            ValueError: An id is there already or occurs twice; nothing is added then.
            EngineError: Milvus refuses, or the collection has other fields than those that are made here.
        """
        new = check_new(passages, len(self), self._known)
        if not new:
            return
        if self._client is None:
            self._connect()
        if not self._fields:
            self._create()
        ours = {field.get("name") for field in self._layout.schema().to_dict()["fields"]}
        if ours != self._fields.keys():
            raise EngineError(
                f"{self} has the fields {', '.join(self._fields)}, not those of a collection made here "
                f"({', '.join(sorted(ours))}); add to it with your own tools"
            )
        done: list[str] = []
        try:
            for start in range(0, len(new), _SLAB):
                slab = new[start : start + _SLAB]
                with self._explained():
                    self._client.insert(self._collection, self._layout.entities(slab, self._batch_size))
                done += [passage.id for passage in slab]
                if progress:
                    progress(len(done))
        except BaseException:
            with suppress(EngineError):  # Milvus may be what failed
                self._delete(done)
            raise

    def remove(self, ids: Iterable[str]) -> int:
        """Delete passages, and say how many; their ids may be added again.

        Raises:
            TypeError: ``ids`` is a single string.
            ValueError: An id is not there; nothing is deleted then.
            EngineError: Milvus refuses.
        """
        names = distinct_ids(ids)
        self._require()
        check_known(names, self._known(names))
        self._delete(names)
        return len(names)

    def _delete(self, ids: Sequence[str]) -> None:
        for start in range(0, len(ids), _SLAB):
            with self._explained():
                self._client.delete(self._collection, filter=self._filter(ids[start : start + _SLAB], every=True))

    def __str__(self) -> str:
        return f"the Milvus collection {self._collection!r} at {self._uri}"

    def _connect(self) -> None:
        settings = self._settings
        if self._local and not Path(self._uri).parent.is_dir():
            raise FileNotFoundError(f"no folder {Path(self._uri).parent} for the Milvus file {self._uri}")
        token = secret(settings["token_env"])
        with self._explained():
            self._client = self._milvus.MilvusClient(self._uri, token=token or "", timeout=settings["timeout"])
            if self._client.has_collection(self._collection):
                self._client.load_collection(self._collection)
                self._describe()

    def _describe(self) -> None:
        with self._explained():
            described = self._client.describe_collection(self._collection)["fields"]
            self._fields = {field["name"]: field for field in described}
            searched = [self._names[name] for name in self._searched()]
            wanted = [self._names["id"], self._names["title"], self._names["text"], *searched]
            missing = [name for name in wanted if name is not None and name not in self._fields]
            if missing:
                raise EngineError(
                    f"{self} has no field {', '.join(map(repr, missing))}; there are {', '.join(self._fields)}; "
                    "name the right ones (retriever.milvus.id, title, text, vector, sparse)"
                )
            self._metrics = {name: self._metric(str(name)) for name in searched}
        if self._encoder is not None:
            dimension = int(self._fields[str(self._names["vector"])]["params"]["dim"])
            if dimension != self._encoder.dimension:
                raise EngineError(
                    f"the vectors of {self} have {dimension} dimensions, those of the encoder "
                    f"{self._encoder.name!r} {self._encoder.dimension}; give the encoder that made them"
                )

    def _metric(self, field: str) -> str:
        indexes = self._client.list_indexes(self._collection, field_name=field)
        return str(self._client.describe_index(self._collection, indexes[0])["metric_type"]) if indexes else ""

    def _searched(self) -> list[str]:
        return {"dense": ["vector"], "bm25": ["sparse"], "hybrid": ["vector", "sparse"]}[self._mode]

    def _require(self) -> None:
        if not self._fields:
            raise EngineError(f"{self} is not there; `ragshap index CORPUS --kind milvus` makes it")

    def _wanted(self) -> list[str]:
        names = [self._names["id"], self._names["title"], self._names["text"], METADATA]
        return [name for name in names if name in self._fields]

    def _find(self, query: str, k: int) -> list[Hit]:
        self._require()
        query = query.encode("utf-8", "replace").decode("utf-8")  # a half of a surrogate pair cannot be sent
        with self._explained():
            if self._mode != "hybrid":
                [name] = self._searched()
                return self._ranking(name, query, k)
            return fuse([self._ranking(name, query, max(k, FUSED)) for name in self._searched()])[:k]

    def _ranking(self, name: str, query: str, k: int) -> list[Hit]:
        """The passages of the entities whose field `name` is nearest, each with the best score of its entities."""
        dense, field = name == "vector", str(self._names[name])
        data, limit = self._vector(query) if dense else query, k
        blocks = [BLOCK] if self._filter() else []
        while True:
            found = self._client.search(
                self._collection,
                data=[data],
                anns_field=field,
                limit=limit,
                filter="" if dense else self._filter(),  # only a first entity has the text
                output_fields=[*self._wanted(), *blocks],
            )[0]
            best: dict[str, Any] = {}
            for hit in found:
                best.setdefault(str(hit["entity"][str(self._names["id"])]), hit)
            if len(best) >= k or len(found) < limit or limit == _MOST:
                break
            limit = min(2 * limit, _MOST)
        rows = {name: hit["entity"] for name, hit in list(best.items())[:k]}
        if later := [name for name, row in rows.items() if row.get(BLOCK)]:
            first = self._client.query(self._collection, filter=self._filter(later), output_fields=self._wanted())
            rows.update((row[str(self._names["id"])], row) for row in first)
        return [Hit(self._passage(row), self._score(field, best[name]["distance"])) for name, row in rows.items()]

    def _filter(self, ids: Sequence[str] | None = None, *, every: bool = False) -> str:
        """What chooses passages, all or those with some ids: by their first entities, or by every one of them."""
        parts = [_FIRST] if BLOCK in self._fields and not every else []
        if ids is not None:
            parts.append(f"{self._names['id']} in {json.dumps(list(ids), ensure_ascii=False)}")
        return " and ".join(parts)

    def _score(self, field: str, distance: float) -> float:
        metric = self._metrics[field]
        if metric == "BM25":
            return abs(distance)  # Milvus Lite gives them below zero
        return -distance if metric in ("L2", "HAMMING", "JACCARD") else distance

    def _passage(self, row: dict[str, Any]) -> Passage:
        title = row.get(self._names["title"] or "") or ""
        return Passage(str(row[str(self._names["id"])]), row[str(self._names["text"])], title, row.get(METADATA) or {})

    def _create(self) -> None:
        with self._explained():
            self._client.create_collection(
                self._collection,
                schema=self._layout.schema(),
                index_params=self._layout.indexes(self._client.prepare_index_params()),
                consistency_level="Strong",
            )
        self._describe()

    def _known(self, ids: Sequence[str]) -> set[str]:
        """Those of some ids that are there."""
        known: set[str] = set()
        field = str(self._names["id"])
        for start in range(0, len(ids) if self._fields else 0, _SLAB):
            chosen = self._filter(ids[start : start + _SLAB])
            with self._explained():
                found = self._client.query(self._collection, filter=chosen, output_fields=[field])
            known |= {row[field] for row in found}
        return known

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Milvus's exceptions as one line."""
        from grpc import RpcError

        try:
            yield
        except self._milvus.MilvusException as error:
            reason = " ".join((error.message or str(error)).split())
            if "Open local milvus failed" in reason:
                reason += "; is it open in another process? A file serves one at a time, a server many"
            raise _kind(error.code)(f"{self}: {reason}") from None
        except RpcError as error:  # the client passes on bare what it does not try again, such as a time-out
            raise _kind(error.code())(f"{self}: {' '.join(str(error.details()).split())}") from None


def _kind(code: Any) -> type[EngineError]:
    """What an error code is: Milvus's own, a number, or that of a call, whose name says it."""
    return EngineUnavailableError if getattr(code, "name", code) in _UNAVAILABLE else EngineError


def _pymilvus() -> Any:
    try:
        import pymilvus
    except ImportError as error:
        raise ImportError("Milvus needs its client: pip install 'ragshap[milvus]'") from error
    for name in ("pymilvus", "milvus_lite"):  # they log, with a traceback, what they raise as well
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return pymilvus
