"""Settings and retrievers agree on what a number may be, and all searches agree on what k may be."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel, ValidationError

from rag.engine_settings import LuceneSettings, MilvusSettings, RestSettings
from rag.settings import BM25Settings, DenseSettings
from retrievers import BM25Retriever, DenseRetriever, Hit, HybridRetriever, Passage
from retrievers.search_engines import lucene, milvus
from retrievers.search_engines.base import SearchEngine
from retrievers.search_engines.rest import RestEngine

from .search_engines.engines import WordEncoder

VALUES = [-math.inf, -1.0, -1e-9, 0.0, 1e-9, 0.5, 1.0, 1.0 + 1e-9, 2.0, 1e6, math.inf, math.nan]


class _Rest(RestEngine):
    """Connects to nothing."""

    kind = "elasticsearch"

    def _connect(self, *_: object) -> Any:
        return None

    _body = _search = _explained = _scan = None  # type: ignore[assignment]


_Rest.__abstractmethods__ = frozenset()  # type: ignore[attr-defined]


def open_dense(**settings: Any) -> DenseRetriever:
    pytest.importorskip("faiss", reason="dense retrieval needs faiss-cpu")
    return DenseRetriever(encoder=WordEncoder(), **settings)


SECTIONS: list[tuple[type[BaseModel], Callable[..., object]]] = [
    (BM25Settings, BM25Retriever),
    (DenseSettings, open_dense),
    (LuceneSettings, lambda **settings: lucene.LuceneRetriever(".", **settings)),
    (MilvusSettings, lambda **settings: milvus.MilvusRetriever("nowhere.db", mode="bm25", **settings)),
    (RestSettings, lambda **settings: _Rest("http://localhost:1", "index", **settings)),
]


def numbers(section: type[BaseModel]) -> Iterator[str]:
    return (name for name, field in section.model_fields.items() if field.annotation in (int, float))


def allowed(make: Callable[..., object], error: type[Exception], **given: float) -> bool:
    try:
        make(**given)
    except error:
        return False
    return True


@pytest.mark.parametrize(("section", "make"), SECTIONS, ids=lambda one: getattr(one, "__name__", "make"))
def test_settings_and_retrievers_have_the_same_bounds(
    section: type[BaseModel], make: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    class NoJava:
        def searcher(self, folder: str) -> Any:
            return self

        def set_bm25(self, k1: float, b: float) -> None:
            pass

    monkeypatch.setattr(lucene, "start_java", NoJava)
    monkeypatch.setattr(lucene, "_explained", lambda what: nullcontext())
    monkeypatch.setattr(milvus, "_pymilvus", lambda: None)
    names = list(numbers(section))
    assert names
    for name in names:
        for value in VALUES:
            by_settings = allowed(section, ValidationError, **{name: value})
            assert allowed(make, ValueError, **{name: value}) == by_settings, f"{section.__name__}.{name}={value}"


class _Engine(SearchEngine):
    kind = "lucene"
    passages = ()

    def __len__(self) -> int:
        return 0

    def _find(self, query: str, k: int) -> list[Hit]:
        return []


@pytest.mark.parametrize("k", [0, -1, 2.5, True, None, "3"])
@pytest.mark.parametrize("kind", ["bm25", "dense", "hybrid", "engine"])
def test_k_is_a_whole_number_from_one_on(kind: str, k: Any) -> None:
    passages = [Passage("a", "some text"), Passage("b", "more text")]
    made: dict[str, Callable[[], Any]] = {
        "bm25": lambda: BM25Retriever(passages),
        "dense": lambda: open_dense(passages=passages),
        "hybrid": lambda: HybridRetriever([BM25Retriever(passages)]),
        "engine": lambda: _Engine({}),
    }
    retriever = made[kind]()
    for search in (
        lambda: retriever.search("text", k),
        lambda: retriever.search_many(["text"], k),
        lambda: retriever.search_many([], k),
    ):
        with pytest.raises(
            ValueError, match=r"k must be (at least 1, got (0|-1)|a whole number, got (2\.5|True|None|'3'))$"
        ):
            search()
    assert retriever.search("text", np.int64(1)) == retriever.search("text", 1)
    with pytest.raises(TypeError, match="expected several queries, got the string 'text'"):
        retriever.search_many("text")
