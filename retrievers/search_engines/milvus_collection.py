"""The collection that ragshap makes in Milvus: its fields and indexes, and the entities that hold a passage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

from retrievers.dense.encoder import Encoder
from retrievers.passage import Passage

BLOCK, METADATA = "block", "metadata"
_KEY, _FULL_TEXT = "key", "full_text"
_LONGEST, _LONGEST_ID = 65535, 1024  # bytes; the first is Milvus's limit


class Layout(NamedTuple):
    """What a collection made here holds. An entity is one block of a passage, and the first one has the passage itself.

    Attributes:
        milvus: the module `pymilvus`.
        names: of the fields "id", "title", "text", "vector" and "sparse"; None for a title that is left out.
        encoder: makes the vectors; None if there are none.
        analyzer: of the words that BM25 ranks; None if it does not.
    """

    milvus: Any
    names: dict[str, Any]
    encoder: Encoder | None
    analyzer: str | None

    def schema(self) -> Any:
        """The fields, and the function that fills the sparse one."""
        types, names = self.milvus.DataType, self.names
        schema = self.milvus.MilvusClient.create_schema(auto_id=True, enable_dynamic_field=False)
        schema.add_field(_KEY, types.INT64, is_primary=True)
        schema.add_field(names["id"], types.VARCHAR, max_length=_LONGEST_ID)
        schema.add_field(BLOCK, types.INT32)
        for name in (names["title"], names["text"]):
            if name is not None:
                schema.add_field(name, types.VARCHAR, max_length=_LONGEST)
        schema.add_field(METADATA, types.JSON)
        if self.encoder is not None:
            schema.add_field(names["vector"], types.FLOAT_VECTOR, dim=self.encoder.dimension)
        if self.analyzer is not None:
            analyzer = {"type": self.analyzer}
            schema.add_field(
                _FULL_TEXT, types.VARCHAR, max_length=_LONGEST, enable_analyzer=True, analyzer_params=analyzer
            )
            schema.add_field(names["sparse"], types.SPARSE_FLOAT_VECTOR)
            schema.add_function(
                self.milvus.Function(
                    name="bm25",
                    function_type=self.milvus.FunctionType.BM25,
                    input_field_names=[_FULL_TEXT],
                    output_field_names=[names["sparse"]],
                )
            )
        return schema

    def indexes(self, parameters: Any) -> Any:
        """Add the indexes to a client's empty parameters of indexes, and return these."""
        if self.encoder is not None:
            parameters.add_index(self.names["vector"], index_type="AUTOINDEX", metric_type="COSINE")
        if self.analyzer is not None:
            parameters.add_index(self.names["sparse"], index_type="SPARSE_INVERTED_INDEX", metric_type="BM25")
        return parameters

    def entities(self, passages: Sequence[Passage], batch_size: int) -> list[dict[str, Any]]:
        """The entities of passages, in their order; `batch_size` is the encoder's."""
        blocks = [[""]] * len(passages) if self.encoder is None else self.encoder.cut(passages)
        rows = list(chain.from_iterable(map(self._entities, passages, map(len, blocks))))
        if self.encoder is not None:
            vectors = self.encoder.encode_documents(list(chain.from_iterable(blocks)), batch_size)
            for row, vector in zip(rows, vectors, strict=True):
                row[self.names["vector"]] = vector
        return rows

    def _entities(self, passage: Passage, n_blocks: int) -> Iterator[dict[str, Any]]:
        """Those of one passage, without vectors."""
        for block in range(n_blocks):
            held = passage if block == 0 else Passage(passage.id, "")
            values = {"id": held.id, "title": held.title, "text": held.text}
            row: dict[str, Any] = {
                self.names[key]: value for key, value in values.items() if self.names[key] is not None
            }
            row |= {BLOCK: block, METADATA: dict(held.metadata)}
            if self.analyzer is not None:
                row[_FULL_TEXT] = held.full_text
            yield row
