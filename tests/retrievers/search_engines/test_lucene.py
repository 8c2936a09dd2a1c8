"""Lucene indexes, made by Anserini's own indexer."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from retrievers import BM25Retriever, load_corpus, load_index
from retrievers.errors import EngineError

from .engines import HOSTILE, ISLANDS, QUESTIONS

pytest.importorskip("pyserini", reason="needs pip install 'ragshap[lucene]'", exc_type=ImportError)

from retrievers.search_engines.lucene import LuceneRetriever, start_java


def build(folder: Path, documents: list[str], *stored: str) -> Path:
    start_java()
    from jnius import autoclass

    arguments = ["-input", "", "-collection", "JsonCollection", "-threads", "1", "-index", str(folder), *stored]
    indexer = autoclass("io.anserini.index.SimpleIndexer")(arguments)
    for document in documents:
        assert indexer.addRawDocument(document)
    indexer.close()
    return folder


@pytest.fixture(scope="module")
def islands():
    return list(load_corpus(ISLANDS))


@pytest.fixture(scope="module")
def folder(tmp_path_factory, islands) -> Path:
    documents = [
        json.dumps({"id": p.id, "contents": p.full_text, "title": p.title, "body": p.text, "lang": "en"})
        for p in islands
    ]
    return build(tmp_path_factory.mktemp("lucene") / "islands", documents, "-storeRaw")


@pytest.fixture(scope="module")
def lucene(folder) -> LuceneRetriever:
    return LuceneRetriever(folder, k1=1.5, b=0.75, text="body")


def test_it_agrees_with_our_bm25(lucene, islands):
    """Same formula; the stemmers (Porter, Snowball), stop words and coded lengths differ."""
    ours = BM25Retriever(islands, k1=1.5, b=0.75)
    shared = [
        len({h.passage.id for h in lucene.search(q, 10)} & {h.passage.id for h in ours.search(q, 10)})
        for q in QUESTIONS
    ]
    assert np.mean(shared) > 8
    first = [lucene.search(q, 1)[0].passage.id == ours.search(q, 1)[0].passage.id for q in QUESTIONS]
    assert np.mean(first) >= 0.8


def test_a_score_is_that_of_the_formula(tmp_path):
    """Robertson and Zaragoza 2009 with Lucene's idf, over three documents of two, three and one words."""
    documents = [("a", "seal walrus"), ("b", "seal seal puffin"), ("c", "puffin")]
    rows = [json.dumps({"id": name, "contents": text}) for name, text in documents]
    lucene = LuceneRetriever(build(tmp_path / "three", rows, "-storeRaw"), k1=1.2, b=0.5)
    idf = np.log(1 + (3 - 2 + 0.5) / (2 + 0.5))
    expected = {name: idf * f / (f + 1.2 * (0.5 + 0.5 * n / 2)) for name, f, n in (("a", 1, 2), ("b", 2, 3))}
    found = {hit.passage.id: hit.score for hit in lucene.search("seals")}
    assert found == pytest.approx(expected, rel=1e-3)
    assert LuceneRetriever(tmp_path / "three", k1=0.0, b=0.0).search("seals")[0].score == pytest.approx(idf, rel=1e-3)


def test_passages_come_with_title_text_and_the_rest(lucene, islands):
    hit = lucene.search(islands[5].full_text, 1)[0]
    assert (hit.passage.id, hit.passage.title, hit.passage.text) == (islands[5].id, islands[5].title, islands[5].text)
    assert hit.passage.metadata == {"contents": islands[5].full_text, "lang": "en"}
    assert {p.id: p.text for p in lucene.passages} == {p.id: p.text for p in islands}
    assert len(lucene) == len(islands) == len(lucene.passages)
    assert lucene.passages[-1] == lucene.passages[len(islands) - 1]


@pytest.mark.parametrize("query", HOSTILE)
def test_query_syntax_is_only_words(lucene, query):
    words = re.sub(r"[^\w:]|[^\x00-\x7f]", " ", query)  # to Lucene's tokeniser, text:secret is one word
    found = [hit.passage.id for hit in lucene.search(query, 5)]
    if words.strip():
        plain = [hit.passage.id for hit in lucene.search(words, 5)]
        assert found == plain
    else:
        assert not found


def test_a_query_of_more_words_than_lucene_takes_is_one_clear_error(lucene):
    with pytest.raises(EngineError, match="Lucene cannot answer this query"):
        lucene.search(" ".join(f"word{i}" for i in range(5000)))


def test_contents_alone_and_no_text_at_all(tmp_path):
    rows = [json.dumps({"id": "a", "contents": "A seal sleeps."})]
    stored = LuceneRetriever(build(tmp_path / "stored", rows, "-storeContents"))
    assert stored.search("seal")[0].passage.text == "A seal sleeps."
    bare = LuceneRetriever(build(tmp_path / "bare", rows))
    with pytest.raises(EngineError, match=r"stores no text of document 'a'.*-storeRaw"):
        bare.search("seal")


def test_a_wrong_field_is_named_with_those_that_are_there(folder):
    with pytest.raises(EngineError, match="no text in the field 'txet'; there are id, contents, title, body, lang"):
        LuceneRetriever(folder, text="txet").search(QUESTIONS[0])


def test_what_is_no_index_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        LuceneRetriever(tmp_path / "nowhere")
    with pytest.raises(EngineError, match=r"cannot be opened as a Lucene index: .*segments"):
        LuceneRetriever(tmp_path)


def test_saved_it_leads_back_to_the_index_and_it_is_only_read(lucene, tmp_path, islands):
    lucene.save(tmp_path / "saved")
    again = load_index(tmp_path / "saved")
    assert isinstance(again, LuceneRetriever)
    assert again.search(QUESTIONS[0], 5) == lucene.search(QUESTIONS[0], 5)
    assert lucene.search_many(QUESTIONS[:2], 3) == [lucene.search(q, 3) for q in QUESTIONS[:2]]
    with pytest.raises(EngineError, match="only read"):
        lucene.add(islands[:1])


def test_the_environment_is_left_as_it_was(folder):
    code = (
        "import os; from retrievers.search_engines.lucene import LuceneRetriever as L;"
        f"print(L({str(folder)!r}, text='body').search('puffin', 1)[0].passage.id, os.environ.get('JAVA_HOME'))"
    )
    plain = {k: v for k, v in os.environ.items() if k not in ("JAVA_HOME", "JDK_HOME", "JRE_HOME", "JVM_PATH")}
    done = subprocess.run([sys.executable, "-c", code], env=plain, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "None"
    named = {**plain, "JAVA_HOME": str(folder)}
    done = subprocess.run([sys.executable, "-c", code], env=named, capture_output=True, text=True)
    assert done.returncode != 0, "a Java of the user's choice was passed over"
    assert "EngineError: Java does not start" in done.stderr.splitlines()[-1]
