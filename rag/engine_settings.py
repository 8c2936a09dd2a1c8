"""Settings of the search engines that can stand in for an index of ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from rag.settings_base import Section

Engine = Literal["lucene", "milvus", "elasticsearch", "opensearch"]
Mode = Literal["bm25", "dense", "hybrid"]


class LuceneSettings(Section):
    """A Lucene index; see `retrievers.search_engines.lucene`."""

    folder: str | None = None
    k1: float = Field(default=0.9, ge=0, allow_inf_nan=False)
    b: float = Field(default=0.4, ge=0, le=1)
    title: str = "title"
    text: str = "contents"


class MilvusSettings(Section):
    """A Milvus collection; see `retrievers.search_engines.milvus`. Its encoder is that of `retriever.dense`."""

    uri: str | None = None
    collection: str = "ragshap"
    mode: Mode = "dense"
    id: str = "id"
    title: str | None = "title"
    text: str = "text"
    vector: str = "vector"
    sparse: str = "sparse"
    analyzer: str = "standard"
    token_env: str | None = None
    timeout: float = Field(default=30.0, gt=0, allow_inf_nan=False)


class RestSettings(Section):
    """An index of Elasticsearch or OpenSearch; see `retrievers.search_engines.rest`.

    Its encoder is that of `retriever.dense`.
    """

    url: str | None = None
    index: str | None = None
    mode: Mode = "bm25"
    id: str = "_id"
    title: str | None = "title"
    text: str = "text"
    vector: str = "vector"
    user: str | None = None
    token_env: str | None = None
    ca_certs: str | None = None
    timeout: float = Field(default=30.0, gt=0, allow_inf_nan=False)


class EngineSections(Section):
    """One section for each engine."""

    lucene: LuceneSettings = LuceneSettings()
    milvus: MilvusSettings = MilvusSettings()
    elasticsearch: RestSettings = RestSettings()
    opensearch: RestSettings = RestSettings()


_NEEDED: Mapping[str, tuple[str, ...]] = {
    "lucene": ("folder",),
    "milvus": ("uri", "collection"),
    "elasticsearch": ("url", "index"),
    "opensearch": ("url", "index"),
}
ENGINES = tuple(_NEEDED)


def missing_settings(kind: str, sections: EngineSections) -> list[str]:
    """The settings without which an engine cannot be found."""
    return [name for name in _NEEDED[kind] if getattr(getattr(sections, kind), name) is None]
