from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import numpy as np
import pytest

from rag import Pipeline, Reranker, load_settings
from rag.adapters.documents import ForeignSearcher, Text, attribute
from rag.cli import run
from rag.settings import AttributionSettings, Settings
from retrievers import Retriever, Searcher
from retrievers.errors import EngineError, EngineUnavailableError

from ..conftest import ScriptedReader
from .conftest import CORPUS


def texts_of(passages):
    return [Text(passage.text, {"title": passage.title, "page": n}) for n, passage in enumerate(passages)]


def test_documents_carry_the_values_that_the_definition_gives(reader, passages):
    # Either passage on Paris makes the answer Paris, and nothing else does: half each.
    texts = texts_of(passages)
    by_value = load_settings(overrides=["rerank.score=value"])
    items = attribute(Reranker(reader, by_value), "where?", texts)
    assert [item.place for item in items] == [1, 2, 0, 3]
    assert [item.score for item in items] == [0.875, 0.874999, 0.3, 0.299999]
    assert items[0].metadata == {
        "title": "second",
        "page": 1,
        "ragshap": {
            "answer": "Paris",
            "reader": "scripted",
            "value": 0.5,
            "error": 0.0,
            "score": 0.875,
            "contribution": 0.5,
            "relevance": None,
            "rank_before": 2,
            "warnings": [],
        },
    }
    assert json.loads(json.dumps([item.metadata for item in items])) == [item.metadata for item in items]
    assert texts == texts_of(passages)


def test_equal_documents_share_and_ids_do_not_matter(reader):
    same = [Text("it is Paris.", {}, "a"), Text("it is Paris.", {}, "a"), Text("nothing.", {})]
    items = attribute(Reranker(reader), "where?", same)
    assert [(item.place, item.score) for item in items] == [(0, 0.875), (1, 0.875), (2, 0.3)]


def test_blank_documents_are_not_read_and_come_last(passages):
    class Recording(ScriptedReader):
        def encode(self, question, passages):
            self.read = [(p.title, p.text) for p in passages]
            return super().encode(question, passages)

    reader = Recording()
    texts = [Text(" \n", {"title": "Rome"}), *texts_of(passages), Text("", {})]
    items = attribute(Reranker(reader), "where?", texts)
    assert reader.read == [(p.title, p.text) for p in passages]
    assert [item.place for item in items] == [2, 3, 1, 4, 0, 5]
    assert [item.metadata["ragshap"]["value"] for item in items[-2:]] == [None, None]
    assert {item.metadata["ragshap"]["rank_before"] for item in items[-2:]} == {1, 6}
    only = attribute(Reranker(reader), "where?", [Text("", {})])
    assert [(item.place, item.score) for item in only] == [(0, 0.0)]


@pytest.mark.parametrize(("top", "left"), [(None, 4), (2, 2), (4, 4), (40, 4)])
def test_no_more_documents_than_there_are(reader, passages, top, left):
    assert len(attribute(Reranker(reader), "where?", texts_of(passages), top)) == left


def test_nothing_to_attribute_is_no_error(reader):
    assert attribute(Reranker(reader), "where?", []) == []


def test_a_blank_question_is_refused(reader, passages):
    with pytest.raises(ValueError, match="the question is empty"):
        attribute(Reranker(reader), " ", texts_of(passages))


def test_screened_documents_have_no_value(reader, passages):
    class Screener(ScriptedReader):
        def relevance(self, encoded):
            return np.zeros(len(encoded.passages))

    screening = Reranker(reader, Settings(attribution=AttributionSettings(screen=2)), Screener())
    items = attribute(screening, "where?", texts_of(passages))
    assert [item.place for item in items[:2]] == [1, 2]
    assert [item.metadata["ragshap"]["value"] is None for item in items] == [False, False, True, True]


def test_threads_do_not_disturb_one_another(reranker, hits, question):
    texts = [Text(hit.passage.text, {"title": hit.passage.title}) for hit in hits[-2:]]
    questions = [question, "Who built the Bell Rock lighthouse?"] * 2
    alone = {one: attribute(reranker, one, texts) for one in questions}
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda one: attribute(reranker, one, texts), questions))
    assert together == [alone[one] for one in questions]


class Fixed(ForeignSearcher):
    def __init__(self, *texts):
        self.texts = texts

    def find(self, query, k):
        return self.texts


def test_found_documents_become_passages_with_ids_of_their_own():
    searcher = Fixed(
        Text("first", {"title": "A", "day": date(2026, 1, 2), "n": 3}, "x", 0.9),
        Text(" ", {}, "blank", 0.8),
        Text("second", {}, None, 0.7),
        Text("first", {"title": "A"}, "x", 0.6),
        Text("another part", {}, "x", 0.5),
        Text("second", {}, None, 0.4),
    )
    hits = searcher.search("what?")
    assert [(hit.passage.text, hit.score) for hit in hits] == [("first", 0.9), ("second", 0.7), ("another part", 0.5)]
    assert hits[0].passage.title == "A"
    assert hits[0].passage.metadata == {"day": "2026-01-02", "n": 3}
    ids = [hit.passage.id for hit in hits]
    assert ids[0] == "x"
    assert len(set(ids)) == 3
    assert ids == [hit.passage.id for hit in searcher.search("something else?")]


def test_metadata_that_are_no_numbers_become_strings_at_any_depth(reader):
    inf = float("inf")
    found = Text("Paris", {"price": float("nan"), "range": [1.5, {"to": inf, "from": -inf}]})
    answer = Pipeline(Fixed(found), reader).ask("where?")

    def refused(name):
        raise AssertionError(f"{name} is not JSON")

    content = json.loads(answer.to_json(), parse_constant=refused)
    metadata = content["evidence"][0]["metadata"]
    assert metadata == {"price": "NaN", "range": [1.5, {"to": "Infinity", "from": "-Infinity"}]}


def test_scores_that_are_missing_are_reciprocal_ranks():
    hits = Fixed(Text("a", {}, None, 0.3), Text("b", {}), Text("c", {})).search("what?", 2)
    assert [hit.score for hit in hits] == [1, 1 / 2]
    hits = Fixed(Text("a", {}, None, 0.3), Text("b", {}, None, float("nan"))).search("what?", 2)
    assert [hit.score for hit in hits] == [1, 1 / 2]


def test_a_title_that_is_no_string_stays_in_the_metadata():
    [hit] = Fixed(Text("a", {"title": 1984, "x": 1})).search("what?", 2)
    assert (hit.passage.title, hit.passage.metadata) == ("", {"title": 1984, "x": 1})


@pytest.mark.parametrize(("query", "k", "message"), [(" ", 3, "query is empty"), ("what?", 0, "at least 1")])
def test_wrong_searches_are_refused(query, k, message):
    with pytest.raises(ValueError, match=message):
        Fixed().search(query, k)


@pytest.mark.parametrize(
    ("error", "kind"), [(RuntimeError("no route"), EngineError), (TimeoutError("no route"), EngineUnavailableError)]
)
def test_an_error_of_the_framework_is_that_of_a_search_engine(error, kind):
    class Broken(ForeignSearcher):
        def find(self, query, k):
            yield Text("a", {})
            raise error

    with pytest.raises(EngineError, match=f"Broken cannot search: {type(error).__name__}: no route") as raised:
        Broken().search("what?")
    assert type(raised.value) is kind


def test_a_foreign_searcher_serves_the_pipeline(reader, passages):
    searcher = Fixed(*(Text(p.text, {"title": p.title, "when": date(2026, 1, 2)}) for p in passages))
    assert isinstance(searcher, Searcher)
    assert not isinstance(searcher, Retriever)
    answer = Pipeline(searcher, reader, load_settings(overrides=["retriever.passages=3"])).ask("where?")
    assert answer.text == "Paris"
    assert len(answer.evidence) == 3
    assert answer.warnings == ()
    assert '"when": "2026-01-02"' in answer.to_json()
    nothing = Pipeline(Fixed(), reader).ask("where?")
    assert "no passage matches the question" in nothing.warnings[0]


@pytest.mark.parametrize(
    ("module", "package", "extra"),
    [
        ("langchain", "langchain_core", "langchain"),
        ("llama_index", "llama_index", "llama-index"),
        ("haystack", "haystack", "haystack"),
        ("rerankers", "rerankers", "rerankers"),
        ("mcp", "mcp", "mcp"),
    ],
)
def test_a_missing_extra_says_what_to_install(module, package, extra, monkeypatch):
    for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"rag.adapters.{module}", raising=False)
    with pytest.raises(ImportError, match=rf"pip install 'ragshap\[{extra}\]'"):
        __import__(f"rag.adapters.{module}")


def test_the_command_says_what_to_install_in_one_line(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "mcp", None)
    monkeypatch.setitem(sys.modules, "mcp.server", None)
    monkeypatch.delitem(sys.modules, "rag.adapters.mcp", raising=False)
    assert run(["mcp", "--corpus", CORPUS]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "ragshap: the MCP server needs mcp: pip install 'ragshap[mcp]'\n"
