"""Search engines in the settings and commands, in place of an index of ours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rag.cli import run
from rag.retrieval import open_retriever
from rag.settings import load_settings
from rag.settings_base import SettingsError

ISLANDS = Path(__file__).parents[2] / "examples" / "islands"
QUESTION = "How high is Hvannadalshnjúkur?"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("retriever.kind=lucene", "kind lucene needs retriever.lucene.folder"),
        ("retriever.kind=milvus", "kind milvus needs retriever.milvus.uri"),
        ("retriever.kind=elasticsearch", "needs retriever.elasticsearch.url and retriever.elasticsearch.index"),
        ("retriever.kind=solr", "retriever.kind"),
        ("retriever.milvus.mode=sparse", "retriever.milvus.mode"),
        ("retriever.opensearch.urll=x", "retriever.opensearch.urll: unknown setting; did you mean 'url'"),
        ("retriever.lucene.b=2", "retriever.lucene.b"),
    ],
)
def test_wrong_settings_are_refused_by_key(override, message):
    with pytest.raises(SettingsError) as error:
        load_settings(overrides=[override])
    assert message in str(error.value)


def test_an_engine_goes_without_corpus_and_index():
    settings = load_settings(overrides=["retriever.kind=milvus", "retriever.milvus.uri=x.db"])
    with pytest.raises(SettingsError, match="searches what the engine holds; leave out --corpus and --index"):
        open_retriever(settings, corpus="x")


def test_a_missing_folder_is_an_error_of_one_line(tmp_path, capfd):
    pytest.importorskip("pyserini", reason="needs pip install 'ragshap[lucene]'", exc_type=ImportError)
    place = f"retriever.lucene.folder={tmp_path / 'none'}"
    assert run(["search", "x", "-s", "retriever.kind=lucene", "-s", place]) == 1
    assert capfd.readouterr().err.splitlines()[-1].startswith("ragshap: no such Lucene index folder")


@pytest.fixture(scope="module")
def milvus(tmp_path_factory) -> list[str]:
    """The settings that lead to a collection of the example corpus."""
    pytest.importorskip("pymilvus", reason="needs pip install 'ragshap[milvus]'")
    pytest.importorskip("milvus_lite", reason="needs pip install 'ragshap[milvus]'")
    file = tmp_path_factory.mktemp("milvus") / "islands.db"
    settings = ["retriever.kind=milvus", f"retriever.milvus.uri={file}", "retriever.milvus.mode=bm25"]
    flags = [part for setting in settings for part in ("--set", setting)]
    assert run(["index", str(ISLANDS), *flags, "--quiet"]) == 0
    return flags


def test_ask_finds_its_passages_in_the_collection(milvus, capfd):
    assert run(["ask", QUESTION, *milvus, "-k", "5", "--json"]) == 0
    content = json.loads(capfd.readouterr().out)
    assert content["answer"] == "2,110 metres"
    assert content["evidence"][0]["id"] == "hvannadalshnjukur-2"
    assert content["settings"]["retriever"]["kind"] == "milvus"


def test_indexing_again_refuses_ids_that_are_there(milvus, capfd):
    assert run(["index", str(ISLANDS), *milvus, "--quiet"]) == 1
    assert "is there already" in capfd.readouterr().err


def test_a_saved_index_leads_to_the_collection(milvus, tmp_path, capfd):
    more, folder = tmp_path / "more.jsonl", tmp_path / "milvus.index"
    more.write_text(json.dumps({"id": "new-1", "text": "The lighthouse of Zembla was lit in 1999."}))
    assert run(["index", str(more), *milvus, "--out", str(folder), "--quiet"]) == 0
    capfd.readouterr()
    assert run(["search", "When was the lighthouse of Zembla lit?", "-i", str(folder), "-k", "1", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["passages"][0]["id"] == "new-1"


def test_evaluate_asks_the_engine(milvus, capfd):
    assert run(["evaluate", "qa", str(ISLANDS), *milvus, "-k", "3", "--limit", "3", "--json"]) == 0
    content = json.loads(capfd.readouterr().out)
    assert content["rows"][0]["questions"] == 3
    assert content["rows"][0]["recall"] > 60
    engine = [part.replace("retriever.milvus", "milvus") for part in milvus if "kind" not in part]
    engine = [part for part in engine if part != "--set"]
    flags = [part for setting in engine for part in ("--set", setting)]
    command = ["evaluate", "retrieval", str(ISLANDS), "--retriever", "milvus,bm25", *flags, "--limit", "10", "--json"]
    assert run(command) == 0
    rows = {(row["system"], row["metric"]): row["mean"] for row in json.loads(capfd.readouterr().out)["rows"]}
    assert rows["milvus", "recall@5"] >= 0.7
    assert rows["bm25", "recall@5"] >= 0.7
    assert run(["evaluate", "retrieval", str(ISLANDS), "--retriever", "milvus", "--limit", "10"]) == 2
    assert "retrievers: milvus needs milvus.uri" in capfd.readouterr().err
