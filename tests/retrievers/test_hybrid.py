"""Reciprocal rank fusion, worked out by hand, and hybrids as index folders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from retrievers import BM25Retriever, Hit, HybridRetriever, IndexFormatError, Passage, Retriever, load_index


class Fixed:
    """Answers every query with the same ranking."""

    def __init__(self, ranking: str, everything: str = "abcdef") -> None:
        self.passages = [Passage(name, name) for name in everything]
        self.ranking = ranking

    def search(self, query: str, k: int = 10) -> list[Hit]:
        return [Hit(Passage(name, name), 1.0) for name in self.ranking[:k]]

    def search_many(self, queries: Sequence[str], k: int = 10) -> list[list[Hit]]:
        return [self.search(query, k) for query in queries]

    def add(self, passages: Iterable[Passage], *, progress: object = None) -> None:
        self.passages += passages

    def remove(self, ids: Iterable[str]) -> int:
        raise NotImplementedError

    def save(self, folder: str | Path) -> None:
        raise NotImplementedError

    def saving(self, folder: str | Path) -> AbstractContextManager[None]:
        raise NotImplementedError

    @classmethod
    def load(cls, folder: str | Path, *, verify: bool = True) -> Retriever:
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.passages)


def test_scores_are_sums_of_reciprocal_ranks() -> None:
    hits = HybridRetriever([Fixed("abcd"), Fixed("cea")]).search("q", 10)
    assert [(hit.passage.id, hit.score) for hit in hits] == [
        ("a", pytest.approx(1 / 61 + 1 / 63)),
        ("c", pytest.approx(1 / 63 + 1 / 61)),
        ("b", pytest.approx(1 / 62)),
        ("e", pytest.approx(1 / 62)),
        ("d", pytest.approx(1 / 64)),
    ]
    assert hits[0].score == hits[1].score  # a tie, which the first retriever decides


def test_rrf_k_and_depth_are_used() -> None:
    hits = HybridRetriever([Fixed("abcd"), Fixed("dcba")], rrf_k=0, depth=2).search("q", 1)
    assert [(hit.passage.id, hit.score) for hit in hits] == [("a", 1.0)]
    deeper = HybridRetriever([Fixed("abcd"), Fixed("dcba")], rrf_k=0, depth=2).search("q", 4)
    assert [(hit.passage.id, round(hit.score, 3)) for hit in deeper] == [
        ("a", 1.25),
        ("d", 1.25),
        ("b", 0.833),
        ("c", 0.833),
    ]


@pytest.fixture
def hybrid(random_passages: list[Passage]) -> HybridRetriever:
    settings = [{"k1": 1.5}, {"k1": 0.5, "b": 0.1}]
    return HybridRetriever([BM25Retriever(random_passages, **s) for s in settings], rrf_k=10, depth=30)  # type: ignore[arg-type]


def test_many_queries_give_what_single_ones_give(hybrid: HybridRetriever) -> None:
    queries = ["word1 word30", "word2", "nothing"]
    assert hybrid.search_many(queries, 40) == [hybrid.search(query, 40) for query in queries]


def test_it_is_a_retriever_itself(hybrid: HybridRetriever) -> None:
    assert isinstance(hybrid, Retriever)
    assert isinstance(BM25Retriever(), Retriever)


def test_a_saved_hybrid_answers_alike_grows_and_keeps_passages_once(
    hybrid: HybridRetriever, random_passages: list[Passage], tmp_path: Path
) -> None:
    hybrid.save(tmp_path / "index")
    loaded = load_index(tmp_path / "index")
    assert isinstance(loaded, HybridRetriever)
    assert list(loaded.passages) == random_passages
    assert loaded.search("word1 word30", 20) == hybrid.search("word1 word30", 20)
    first, second = sorted((tmp_path / "index").glob("*/passages-0/passages.jsonl"))
    assert first.samefile(second)
    loaded.add([Passage("new", "unheard of")])
    loaded.save(tmp_path / "index")
    assert [hit.passage.id for hit in load_index(tmp_path / "index").search("unheard")] == ["new"]


def test_damage_to_a_member_is_found(hybrid: HybridRetriever, tmp_path: Path) -> None:
    hybrid.save(tmp_path / "index")
    vocabulary = tmp_path / "index" / "1-BM25Retriever" / "vocab.tokenizer.json"
    vocabulary.write_bytes(vocabulary.read_bytes().replace(b"word1", b"word2"))
    with pytest.raises(IndexFormatError, match=r"1-BM25Retriever.vocab\.tokenizer\.json is damaged"):
        load_index(tmp_path / "index")
    assert len(load_index(tmp_path / "index", verify=False)) == 200


def test_wrong_use_is_refused(hybrid: HybridRetriever, random_passages: list[Passage]) -> None:
    with pytest.raises(ValueError, match="at least one retriever"):
        HybridRetriever([])
    with pytest.raises(ValueError, match=r"hold the same passages, but hold \[5, 6\] of them"):
        HybridRetriever([Fixed("a"), Fixed("a", everything="abcde")])
    with pytest.raises(ValueError, match="rrf_k must not be negative"):
        HybridRetriever([Fixed("a")], rrf_k=-1)
    with pytest.raises(ValueError, match="depth must be at least 1"):
        HybridRetriever([Fixed("a")], depth=0)
    with pytest.raises(ValueError, match="the query is empty"):
        hybrid.search_many(["word1", " "], 3)
    with pytest.raises(ValueError, match="k must be at least 1"):
        hybrid.search("word1", 0)
    with pytest.raises(ValueError, match="'p0' is there already"):
        hybrid.add([Passage("new", "x"), random_passages[0]])
    assert {len(member) for member in hybrid.retrievers} == {200}
