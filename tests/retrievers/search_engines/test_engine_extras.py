"""What is said where an engine's packages are not installed."""

from __future__ import annotations

import sys

import pytest

from retrievers.loading import retriever_class


@pytest.mark.parametrize(
    ("kind", "package", "arguments"),
    [
        ("lucene", "jnius_config", ["."]),
        ("milvus", "pymilvus", ["x.db"]),
        ("elasticsearch", "elasticsearch", ["http://localhost:9200", "docs"]),
        ("opensearch", "opensearchpy", ["http://localhost:9200", "docs"]),
    ],
)
def test_a_missing_extra_is_named_with_the_command(kind, package, arguments, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    retriever = retriever_class(kind)
    module = sys.modules[retriever.__module__]
    if kind == "lucene":
        module.start_java.cache_clear()
    settings = {} if kind == "lucene" else {"mode": "bm25"}
    with pytest.raises(ImportError) as error:
        retriever(*arguments, **settings)
    assert f"pip install 'ragshap[{kind}]'" in str(error.value)
