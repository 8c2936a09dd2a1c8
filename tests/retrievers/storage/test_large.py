"""Indexes that are written as they come, grow by links and shrink by tombstones, against ones made at once."""

from __future__ import annotations

import json
import os
from pathlib import Path

import bm25s
import numpy as np
import pytest

from retrievers import (
    BM25Retriever,
    CorpusError,
    HybridRetriever,
    Passage,
    load_corpus,
    load_index,
)
from retrievers.bm25 import scorers, segment
from retrievers.corpora import stream
from retrievers.corpora.size_estimate import sample_corpus
from retrievers.corpora.stream import add_stream
from retrievers.storage import passage_store
from retrievers.storage.passage_store import PassageStore
from retrievers.storage.segments import first_to_merge

QUERIES = ["word0", "word3 word50 word79", "word7 word7 word1", "word70 word71 word72"]


def scores(retriever: BM25Retriever, query: str) -> dict[str, float]:
    return {hit.passage.id: hit.score for hit in retriever.search(query, 1000)}


def inodes(folder: Path, pattern: str) -> set[int]:
    return {path.stat().st_ino for path in folder.glob(pattern)}


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds so low that 200 passages exceed all of them."""
    monkeypatch.setattr(stream, "_PASSAGES", 13)
    monkeypatch.setattr(passage_store, "_FULL", 4000)
    monkeypatch.setattr(scorers, "_FULL", 500)
    monkeypatch.setattr(segment, "_BLOCK", 100)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("engine", ["bm25s", "rank-bm25"])
def test_a_streamed_index_is_that_of_all_passages_at_once(
    engine: str, random_passages: list[Passage], tmp_path: Path
) -> None:
    at_once = BM25Retriever(random_passages, engine=engine)
    streamed = BM25Retriever(engine=engine)
    counts: list[int] = []
    with streamed.saving(tmp_path / "index"):
        assert add_stream(streamed, iter(random_passages), counts.append) == 200
        held = len(streamed._store._added)
    assert counts[-1] == 200
    assert held < 60  # the rest was in files before the end
    loaded = BM25Retriever.load(tmp_path / "index")
    assert list(loaded.passages) == list(streamed.passages) == random_passages
    for query in QUERIES:
        assert scores(loaded, query) == pytest.approx(scores(at_once, query), rel=1e-6)
        assert loaded.search(query, 7) == streamed.search(query, 7)


def test_bm25s_opens_a_segment(random_passages: list[Passage], tmp_path: Path) -> None:
    retriever = BM25Retriever(random_passages, stopwords=None, stemmer=None)
    retriever.save(tmp_path / "index")
    index = bm25s.BM25.load(tmp_path / "index" / "segment-0", mmap=True, load_vocab=False)
    theirs = bm25s.BM25(k1=1.5, b=0.75, method="lucene")
    theirs.index(
        bm25s.tokenize([p.text for p in random_passages], stopwords=None, show_progress=False), show_progress=False
    )
    for query in QUERIES:
        numbers = retriever._engine._tokens.of_query(query)
        np.testing.assert_allclose(index.get_scores_from_ids(numbers), theirs.get_scores(query.split()), rtol=1e-6)


def test_frequencies_come_back_exactly_from_weights() -> None:
    rng = np.random.default_rng(0)
    lengths = np.array([1, 7, 5000, 300, 40], dtype=np.int32)
    words = np.concatenate([rng.integers(0, 4, n) for n in lengths]).astype(np.int32)
    built = segment.WordSegment.build(words, lengths, 4, segment.Weighting(1.5, 0.75))
    found, passages, frequencies = built.frequencies(0, 4, built.norms())
    texts = np.split(words, np.cumsum(lengths)[:-1])
    assert [(texts[p] == w).sum() for w, p in zip(found, passages, strict=True)] == frequencies.tolist()
    assert frequencies.sum() == lengths.sum()


def test_segments_are_merged_as_they_double() -> None:
    assert first_to_merge([]) == -1
    assert first_to_merge([100, 3, 2, 2]) == 1
    assert first_to_merge([8, 4, 2, 1]) == 3
    assert first_to_merge([4, 2, 1, 1]) == 0
    assert first_to_merge([5, 5, 5, 2]) == 0
    assert first_to_merge([4, 2, 1, 1], limit=5) == 1


def test_additions_link_what_was_there(random_passages: list[Passage], tmp_path: Path) -> None:
    BM25Retriever(random_passages[:180]).save(tmp_path / "index")
    first = inodes(tmp_path / "index", "*-0/*.npy") | inodes(tmp_path / "index", "*-0/*.jsonl")
    old = load_index(tmp_path / "index")
    for verify in (False, True):
        grown = load_index(tmp_path / "index", verify=verify)
        grown.add([Passage(f"new{len(grown)}", "word1 fresh")])
        grown.save(tmp_path / "index")
        grown.add([Passage(f"new{len(grown)}", "word2 fresh")])  # of the same retriever, whose index has moved
        grown.save(tmp_path / "index")
        assert first <= inodes(tmp_path / "index", "*-0/*")
        old_hits = old.search("word1", 5)
        assert len(old_hits) == 5
    at_once = BM25Retriever([*random_passages[:180], *list(load_index(tmp_path / "index").passages)[180:]])
    for query in [*QUERIES, "fresh"]:
        assert scores(load_index(tmp_path / "index"), query) == pytest.approx(scores(at_once, query), rel=1e-6)


def test_damage_to_a_linked_file_is_still_found(random_passages: list[Passage], tmp_path: Path) -> None:
    BM25Retriever(random_passages).save(tmp_path / "index")
    file = next((tmp_path / "index").glob("passages-0/passages.jsonl"))
    stat = file.stat()
    with file.open("r+b") as opened:
        opened.seek(20)
        opened.write(b"#")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    grown = load_index(tmp_path / "index", verify=False)
    grown.add([Passage("new", "fresh")])
    grown.save(tmp_path / "other")
    with pytest.raises(ValueError, match="checksum differs"):
        load_index(tmp_path / "other")


def test_copies_where_links_cannot_be_made(
    random_passages: list[Passage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    BM25Retriever(random_passages).save(tmp_path / "index")

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr("os.link", refuse)
    grown = load_index(tmp_path / "index")
    grown.add([Passage("new", "fresh")])
    grown.save(tmp_path / "other")
    assert not inodes(tmp_path / "index", "*/*") & inodes(tmp_path / "other", "*/*")
    assert list(load_index(tmp_path / "other").passages) == list(grown.passages)


@pytest.mark.parametrize("saved", [False, True])
@pytest.mark.parametrize("engine", ["bm25s", "rank-bm25"])
def test_removed_passages_are_not_found_and_ids_come_back(
    engine: str, saved: bool, random_passages: list[Passage], tmp_path: Path
) -> None:
    retriever = BM25Retriever(random_passages[:150], engine=engine)
    retriever.add(random_passages[150:])
    if saved:
        retriever.save(tmp_path / "index")
        retriever = BM25Retriever.load(tmp_path / "index")
    gone = [f"p{number}" for number in range(3, 60, 2)]
    assert retriever.remove(gone) == len(gone)
    living = [passage for passage in random_passages if passage.id not in gone]
    retriever.save(tmp_path / "index")
    for now in (retriever, BM25Retriever.load(tmp_path / "index")):
        assert len(now) == len(living)
        assert list(now.passages) == living
        assert now.passages[-1] == living[-1]
        fresh = BM25Retriever(living, engine=engine)
        for query in QUERIES:
            assert set(scores(now, query)) == set(scores(fresh, query))
    with pytest.raises(ValueError, match="no passage with the id 'p3' is there"):
        retriever.remove(["p0", "p3"])
    retriever.add([Passage("p3", "word79 again")])
    assert retriever.passages[-1].text == "word79 again"
    with pytest.raises(ValueError, match="id 'p3' is there already"):
        retriever.add([Passage("p3", "word79 again")])
    assert retriever.remove(["p3"]) == 1
    assert list(retriever.passages) == living


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("engine", ["bm25s", "rank-bm25"])
def test_a_segment_of_the_dead_is_merged_away(engine: str, random_passages: list[Passage], tmp_path: Path) -> None:
    retriever = BM25Retriever(engine=engine)
    with retriever.saving(tmp_path / "index"):
        add_stream(retriever, random_passages)
    retriever = BM25Retriever.load(tmp_path / "index")
    gone = [passage.id for passage in random_passages[:120]]
    retriever.remove(gone)
    retriever.save(tmp_path / "index")
    fresh = BM25Retriever(random_passages[120:], engine=engine)
    for now in (retriever, BM25Retriever.load(tmp_path / "index")):
        assert now._store.n_positions == 80
        for query in QUERIES:
            assert scores(now, query) == pytest.approx(scores(fresh, query), rel=1e-6)
        assert list(now.passages) == random_passages[120:]
    retriever.add(random_passages[:10])
    assert retriever.remove(["p0", "p199"]) == 2
    assert [passage.id for passage in retriever.passages][-2:] == ["p8", "p9"]


def test_a_failure_leaves_retriever_and_folder_as_they_were(random_passages: list[Passage], tmp_path: Path) -> None:
    BM25Retriever(random_passages[:100]).save(tmp_path / "index")
    retriever = BM25Retriever.load(tmp_path / "index")
    retriever.remove([passage.id for passage in random_passages[:60]])
    with pytest.raises(ValueError, match="is there already"), retriever.saving(tmp_path / "index"):
        retriever.add(random_passages[100:150])
        retriever.add(random_passages[99:])
    for now, n in ((retriever, 40), (load_index(tmp_path / "index"), 100)):
        assert len(now) == n
        assert {hit.passage.id for hit in now.search("word0", 1000)} <= {p.id for p in now.passages}
    retriever.add(random_passages[100:])
    retriever.save(tmp_path / "index")
    fresh = BM25Retriever(random_passages[60:])
    assert scores(load_index(tmp_path / "index"), "word3 word50") == pytest.approx(
        scores(fresh, "word3 word50"), rel=1e-6
    )


def test_a_hybrid_removes_from_all_or_none(random_passages: list[Passage], tmp_path: Path) -> None:
    hybrid = HybridRetriever([BM25Retriever(random_passages), BM25Retriever(random_passages, k1=0.5)])
    with pytest.raises(ValueError, match="no passage with the id 'x' is there"):
        hybrid.remove(["p0", "x"])
    assert len(hybrid) == 200
    assert hybrid.remove(name for name in ["p0", "p1"]) == 2
    with hybrid.saving(tmp_path / "index"):
        add_stream(hybrid, [Passage("p0", "word79 new")])
    loaded = load_index(tmp_path / "index")
    assert len(loaded) == 199
    assert loaded.passages[-1] == Passage("p0", "word79 new")
    files = sorted((tmp_path / "index").glob("*/passages-*/passages.jsonl"))
    assert len({file.stat().st_ino for file in files}) == len(files) / 2


def test_a_store_tells_what_lives_where(random_passages: list[Passage], tmp_path: Path) -> None:
    store = PassageStore(random_passages[:5])
    assert store.remove(["p3", "p1"]).tolist() == [1, 3]
    store.extend(store.check_new(random_passages[5:7]))
    store.write(tmp_path)
    for now in (store, PassageStore.open(tmp_path, 5)):
        assert now.n_positions == 7
        assert now.alive.tolist() == [True, False, True, False, True, True, True]
        assert now.at(3) == random_passages[3]
        assert [p.id for p in now] == ["p0", "p2", "p4", "p5", "p6"]
        assert now[1:3] == [random_passages[2], random_passages[4]]
    with pytest.raises(TypeError, match="expected several ids, got the string 'p0'"):
        store.remove("p0")


def write_lines(path: Path, n: int) -> Path:
    path.write_text("".join(f'{{"id": "{i}", "text": "number {i} of some words"}}\n' for i in range(n)), "utf-8")
    return path


def test_the_size_of_a_corpus_is_told_from_its_beginning(tmp_path: Path) -> None:
    assert sample_corpus(write_lines(tmp_path / "a.jsonl", 5000), 300).total == pytest.approx(5000, rel=0.05)
    few = sample_corpus(tmp_path / "a.jsonl", 5000)
    assert (len(few.passages), few.total) == (5000, 5000)
    (tmp_path / "one").mkdir()
    for name, n in (("a.txt", 3000), ("b.md", 1000)):
        (tmp_path / "one" / name).write_text("Some words stand here. " * n, encoding="utf-8")
    truth = sum(1 for _ in load_corpus(tmp_path / "one"))
    assert sample_corpus(tmp_path / "one", 50).total == pytest.approx(truth, rel=0.05)
    with pytest.raises(CorpusError, match="the corpus is empty"):
        sample_corpus(write_lines(tmp_path / "empty.jsonl", 0))


@pytest.mark.parametrize("kind", ["jsonl", "json"])
def test_documents_that_are_titles_alone_count(kind: str, tmp_path: Path) -> None:
    rows = [json.dumps({"id": str(i), "title": f"Title {i} of some words", "text": ""}) for i in range(2000)]
    path = tmp_path / f"titles.{kind}"
    path.write_text("\n".join(rows) if kind == "jsonl" else f"[{','.join(rows)}]", encoding="utf-8")
    assert sample_corpus(path, 300).total == pytest.approx(2000, rel=0.05)


def test_sizes_of_squad_and_gzip_files(data: Path) -> None:
    for corpus in (data / "squad/dev-part-v2.0.json", data / "openqa"):
        truth = sum(1 for _ in load_corpus(corpus))
        assert sample_corpus(corpus, 200).total == pytest.approx(truth, rel=0.2)
