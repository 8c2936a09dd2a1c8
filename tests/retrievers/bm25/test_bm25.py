"""BM25: against the formula written out, between the two engines, and through additions."""

from __future__ import annotations

import json
import logging
import math
import subprocess
import sys
from pathlib import Path

import bm25s
import numpy as np
import pytest
import Stemmer
from numpy.typing import NDArray

import retrievers
from retrievers import BM25Retriever, Hit, Passage, load_corpus, load_index
from retrievers.bm25.segment import WordSegment
from retrievers.bm25.tokens import Tokens

ROOT = Path(__file__).parents[3]
SINGLES = r"(?u)\b\w\w+\b|(?<!['\u2019])\b\w\b"  # bm25s leaves out words of one character unless told otherwise
QUERIES = ["word0", "word3 word50 word79", "word7 word7 word1", "word12 unknown", "word70 word71 word72"]


def ids(hits: list[Hit]) -> list[str]:
    return [hit.passage.id for hit in hits]


def slow_bm25(texts: list[list[str]], query: list[str], k1: float, b: float) -> list[float]:
    mean = sum(map(len, texts)) / len(texts)
    scores = [0.0] * len(texts)
    for word in query:
        df = sum(word in text for text in texts)
        idf = math.log(1 + (len(texts) - df + 0.5) / (df + 0.5))
        for i, text in enumerate(texts):
            tf = text.count(word)
            scores[i] += idf * tf / (tf + k1 * (1 - b + b * len(text) / mean))
    return scores


@pytest.mark.parametrize("engine", ["bm25s", "rank-bm25"])
@pytest.mark.parametrize(("k1", "b"), [(1.5, 0.75), (0.9, 0.4), (2.0, 0.0), (1.2, 1.0)])
def test_scores_follow_the_formula(engine: str, k1: float, b: float, random_passages: list[Passage]) -> None:
    retriever = BM25Retriever(random_passages, engine=engine, k1=k1, b=b, stopwords=None)
    texts = [passage.text.split() for passage in random_passages]
    for query in QUERIES:
        expected = slow_bm25(texts, query.split(), k1, b)
        found = {hit.passage.id: hit.score for hit in retriever.search(query, 200)}
        assert set(found) == {p.id for p, score in zip(random_passages, expected, strict=True) if score > 0}
        for passage, score in zip(random_passages, expected, strict=True):
            assert found.get(passage.id, 0) == pytest.approx(score, rel=1e-5)


def test_both_engines_agree_on_real_text(scifact: Path) -> None:
    passages = list(load_corpus(scifact))[:1500]
    fast, slow = (BM25Retriever(passages, engine=engine) for engine in ("bm25s", "rank-bm25"))
    for passage in passages[::150]:
        ours, theirs = (retriever.search(passage.title, 20) for retriever in (fast, slow))
        assert ids(ours) == ids(theirs)
        assert [hit.score for hit in ours] == pytest.approx([hit.score for hit in theirs], rel=1e-5)


@pytest.mark.parametrize("engine", ["bm25s", "rank-bm25"])
@pytest.mark.parametrize("sizes", [[150, 50], [10, 190], [100, 1, 1, 1, 40, 57], [0, 199, 1]])
def test_adding_scores_as_building_at_once(engine: str, sizes: list[int], random_passages: list[Passage]) -> None:
    at_once = BM25Retriever(random_passages, engine=engine)
    grown = BM25Retriever(engine=engine)
    rest = iter(random_passages)
    for size in sizes:
        grown.add(next(rest) for _ in range(size))
    for query in QUERIES:
        expected = {hit.passage.id: hit.score for hit in at_once.search(query, 200)}
        found = {hit.passage.id: hit.score for hit in grown.search(query, 200)}
        assert found == pytest.approx(expected, rel=1e-5)


def test_a_small_addition_leaves_the_large_index_alone(
    random_passages: list[Passage], monkeypatch: pytest.MonkeyPatch
) -> None:
    retriever = BM25Retriever(random_passages)
    merged = []
    original = WordSegment.merge

    def merge(parts: list[tuple[WordSegment, NDArray[np.bool_]]], *place: object) -> WordSegment:
        merged.append(sum(len(segment.lengths) for segment, _ in parts))
        return original(parts, *place)

    monkeypatch.setattr(WordSegment, "merge", merge)
    for number in range(64):
        retriever.add([Passage(f"new{number}", "word1 fresh")])
    assert max(merged) <= 64
    assert sum(merged) <= 64 * 7  # each passage again only when its segment doubles
    assert ids(retriever.search("fresh", 64)) == [f"new{number}" for number in range(64)]


def test_title_and_text_are_searched(animals: list[Passage]) -> None:
    retriever = BM25Retriever(animals)
    assert ids(retriever.search("Blue")) == ["whale"]
    hit = retriever.search("naïve colonies of the ants")[0]
    assert hit.passage is animals[2]
    assert hit.score > 0


def test_equal_scores_keep_the_order_of_addition() -> None:
    texts = ["same words", "same words here", "same words", "same words", "other"]
    retriever = BM25Retriever(Passage(str(i), text) for i, text in enumerate(texts))
    assert ids(retriever.search("same", 2)) == ["0", "2"]
    assert ids(retriever.search("same", 9)) == ["0", "2", "3", "1"]


def test_many_queries_give_what_single_ones_give(random_passages: list[Passage]) -> None:
    retriever = BM25Retriever(random_passages[:150])
    retriever.add(random_passages[150:])
    assert retriever.search_many(QUERIES, 10) == [retriever.search(query, 10) for query in QUERIES]


@pytest.mark.parametrize("engine", ["bm25s", "rank-bm25"])
def test_nothing_in_common_means_no_hits(engine: str, animals: list[Passage]) -> None:
    retriever = BM25Retriever(animals, engine=engine)
    assert retriever.search("zebra") == []
    assert retriever.search("the of and") == []
    assert BM25Retriever(engine=engine).search("word") == []
    only_stopwords = BM25Retriever([Passage("a", "the"), Passage("b", "of the")], engine=engine)
    assert only_stopwords.search("the word") == []
    only_stopwords.add([Passage("c", "word")])
    assert ids(only_stopwords.search("word")) == ["c"]


def test_stop_words_and_stems_are_settings(animals: list[Passage]) -> None:
    assert BM25Retriever(animals).search("the") == []
    assert ids(BM25Retriever(animals, stopwords=None).search("are")) == ["bat"]
    assert BM25Retriever(animals, stopwords=["night"]).search("night") == []


def test_one_setting_chooses_the_language() -> None:
    passages = [Passage("de", "Die Häuser der Stadt"), Passage("en", "die houses")]
    german = BM25Retriever(passages, language="german")
    assert ids(german.search("ein Haus")) == ["de"]
    assert german.search("die der") == []  # stop words
    assert ids(BM25Retriever(passages).search("die")) == ["en", "de"]
    assert BM25Retriever(passages, language="german", stemmer=None).search("Haus") == []
    assert len(BM25Retriever(passages, language=None).search("die the")) == 2
    BM25Retriever(passages, language="hindi")  # a stemmer without stop words
    BM25Retriever(passages, language="chinese")  # stop words without a stemmer
    with pytest.raises(ValueError, match=r"language must be None or one of arabic, .*turkish.*, got 'klingon'"):
        BM25Retriever(language="klingon")


def test_an_index_of_words_cut_by_another_rule_is_refused(tmp_path: Path, animals: list[Passage]) -> None:
    BM25Retriever(animals, language="french").save(tmp_path / "index")
    assert len(BM25Retriever.load(tmp_path / "index").search("night")) == 2
    manifest = tmp_path / "index" / "manifest.json"
    content = json.loads(manifest.read_text(encoding="utf-8"))
    for rule in (1, 99):
        content["settings"]["words"] = rule
        manifest.write_text(json.dumps(content), encoding="utf-8")
        with pytest.raises(retrievers.IndexFormatError, match=rf"rule {rule}.*run `ragshap index` again"):
            load_index(tmp_path / "index")
    del content["settings"]["words"]  # as indexes were before there were rules
    manifest.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(retrievers.IndexFormatError, match=r"rule 1.*run `ragshap index` again"):
        load_index(tmp_path / "index")
    BM25Retriever(animals).save(tmp_path / "index")  # what is to be made again may be replaced
    assert len(load_index(tmp_path / "index")) == len(animals)


def test_words_of_one_character_and_all_digits_count() -> None:
    texts = ["Vitamin C is in lemons", "Vitamin D is in fish", "2,110 metres", "4,110 metres", "a whale's tail"]
    retriever = BM25Retriever(Passage(str(number), text) for number, text in enumerate(texts))
    (best, second) = retriever.search("vitamin d")
    assert best.passage.id == "1"
    assert best.score > second.score
    (best, second) = retriever.search("2,110")
    assert best.passage.id == "2"
    assert best.score > second.score
    assert retriever.search("s") == []  # of a possessive


def test_stemming_joins_word_forms(animals: list[Passage]) -> None:
    assert ids(BM25Retriever(animals, stemmer=None).search("hunting")) == []
    stemmed = BM25Retriever(animals[:4], stemmer="english")
    stemmed.add(animals[4:])
    assert sorted(ids(stemmed.search("hunting"))) == ["cat", "owl"]
    with pytest.raises(ValueError, match="stemmer must be None or one of"):
        BM25Retriever(stemmer="klingon")


@pytest.mark.parametrize("engine", ["bm25s", "rank-bm25"])
def test_a_saved_index_answers_alike_and_grows(engine: str, tmp_path: Path, random_passages: list[Passage]) -> None:
    retriever = BM25Retriever(random_passages[:150], engine=engine, k1=1.2, b=0.5, stopwords=["word0"])
    retriever.add(random_passages[150:190])
    retriever.save(tmp_path / "index")
    loaded = load_index(tmp_path / "index")
    assert isinstance(loaded, BM25Retriever)
    assert list(loaded.passages) == random_passages[:190]
    assert loaded.search_many(QUERIES[1:], 20) == retriever.search_many(QUERIES[1:], 20)
    loaded.add(random_passages[190:])
    loaded.save(tmp_path / "index")  # over the index that it is mapped from
    again = BM25Retriever.load(tmp_path / "index")
    at_once = BM25Retriever(random_passages, engine=engine, k1=1.2, b=0.5, stopwords=["word0"])
    for query in QUERIES[1:]:
        expected = {hit.passage.id: hit.score for hit in at_once.search(query, 200)}
        assert {h.passage.id: h.score for h in again.search(query, 200)} == pytest.approx(expected, rel=1e-5)


def test_progress_counts_the_new_passages(random_passages: list[Passage]) -> None:
    retriever = BM25Retriever(random_passages[:50])
    counts: list[int] = []
    retriever.add(random_passages[50:], progress=counts.append)
    assert counts[-1] == 150


def test_wrong_use_is_refused(animals: list[Passage]) -> None:
    retriever = BM25Retriever(animals)
    for query in ("", " \n"):
        with pytest.raises(ValueError, match="the query is empty"):
            retriever.search(query, 3)
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        retriever.search_many(["bat"], 0)
    with pytest.raises(ValueError, match="id 'owl' is there already"):
        retriever.add([Passage("new", "text"), animals[4]])
    with pytest.raises(ValueError, match="metadata of passage 'x' cannot be written as JSON"):
        retriever.add([Passage("x", "text", metadata={"a": object()})])
    with pytest.raises(TypeError, match=r"expected retrievers\.Passage objects or strings, got dict"):
        retriever.add([{"text": "text"}])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="metadata of passage 'x' cannot be written as JSON"):
        retriever.add([Passage("x", "text", metadata={"a": float("nan")})])
    assert len(retriever) == 5
    for settings, message in [
        ({"engine": "lucene"}, "engine must be one of 'bm25s', 'rank-bm25'"),
        ({"k1": 0}, "k1 must be above 0"),
        ({"stopwords": ["the", ["a"]]}, "stopwords must be words"),
        ({"b": 1.5}, "b must be between 0 and 1"),
    ]:
        with pytest.raises(ValueError, match=message):
            BM25Retriever(**settings)  # type: ignore[arg-type]


def test_nothing_is_printed_or_logged(
    animals: list[Passage], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    retriever = BM25Retriever(animals)
    retriever.search("bat")
    retriever.save(tmp_path / "index")
    BM25Retriever.load(tmp_path / "index").search("bat")
    assert capfd.readouterr() == ("", "")


_HEAVY = {
    "torch", "transformers", "datasets", "sentence_transformers", "faiss", "numba", "scipy", "bm25s", "rank_bm25",
    "sentencex", "pyarrow", "pandas",
}  # fmt: skip


@pytest.mark.parametrize(
    "code",
    [
        "import retrievers; print([h.passage.id for h in retrievers.load_index(sys.argv[1]).search('night', 1)])",
        "from rag.cli import run; run(['search', 'night', '--index', sys.argv[1], '-k', '1', '--json'])",
    ],
)
def test_searching_an_index_imports_nothing_heavy(code: str, animals: list[Passage], tmp_path: Path) -> None:
    BM25Retriever(animals).save(tmp_path / "index")
    code = f"import sys; {code}; print(sorted({_HEAVY} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "index")], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert "cat" in done.stdout or "owl" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def test_everything_public_is_found_when_asked_for() -> None:
    assert {name for name in retrievers.__all__ if not hasattr(retrievers, name)} == set()
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = retrievers.nothing


@pytest.mark.parametrize("stopwords", ["en", "german", None, ["blue", "hunts"]])
@pytest.mark.parametrize("stemmer", ["english", None])
def test_words_are_those_of_bm25s(stopwords: str | list[str] | None, stemmer: str | None, tmp_path: Path) -> None:
    texts = ["The Blue-whale's 2nd naïve hunting_ground, of A.I. – und der Wal; hunts a x!", "", "hunted hunts blue"]
    stem = None if stemmer is None else Stemmer.Stemmer(stemmer).stemWord
    theirs = bm25s.tokenization.Tokenizer(splitter=SINGLES, stopwords=stopwords, stemmer=stem)
    expected = theirs.tokenize(texts, show_progress=False, allow_empty=False)
    ours = Tokens(None, stopwords, stemmer)
    words, lengths = ours.of_passages([Passage(str(n), text) for n, text in enumerate(texts)])
    assert [part.tolist() for part in np.split(words, np.cumsum(lengths)[:-1])] == expected
    assert len(ours) == len(theirs.get_vocab_dict())
    query = "hunts THE blue hunters of unknown things"
    theirs.save_vocab(str(tmp_path))
    opened = Tokens(None, stopwords, stemmer)
    opened.load(tmp_path)
    expected = theirs.tokenize([query], update_vocab=False, show_progress=False, allow_empty=False)[0]
    assert ours.of_query(query) == opened.of_query(query) == expected
    ours.save(tmp_path)
    again = bm25s.tokenization.Tokenizer(splitter=SINGLES, stopwords=stopwords, stemmer=stem)
    again.load_vocab(str(tmp_path))
    assert again.tokenize([query], update_vocab=False, show_progress=False, allow_empty=False)[0] == expected
    assert opened.of_passages([Passage("n", "fresh words")])[0].tolist() == [len(ours), len(ours) + 1]


def test_the_logger_of_bm25s_stays_as_it_was() -> None:
    code = (
        "import logging, retrievers\n"
        "retrievers.BM25Retriever([retrievers.Passage('a', 'some text')], stopwords='german')\n"
        "print(logging.getLogger('bm25s').level)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == str(logging.NOTSET)


@pytest.mark.parametrize("engine", ["bm25s", "rank-bm25"])
def test_passages_without_any_word_are_held_and_never_found(engine: str, tmp_path: Path) -> None:
    retriever = BM25Retriever([Passage("a", "..."), Passage("b", "?!")], engine=engine)
    retriever.add([Passage("c", "!")])
    retriever.save(tmp_path / "index")
    grown = load_index(tmp_path / "index")
    assert grown.search("boat", 3) == []
    grown.add([Passage("d", "a boat")])
    assert [hit.passage.id for hit in grown.search("boat", 3)] == ["d"]
    assert len(grown) == 4
