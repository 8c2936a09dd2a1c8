"""Indexes of vectors against numpy's inner products and against indexes built anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from retrievers import IndexFormatError
from retrievers.dense.recall import broaden, measure_recall
from retrievers.dense.vector_index import INDEXES, IVFPQIndex, VectorIndex
from retrievers.dense.vectors import VectorRows, exact_search

pytest.importorskip("faiss", reason="dense retrieval needs faiss-cpu")


def clusters(n: int, seed: int = 0, dimension: int = 32) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((50, dimension))
    vectors = centres[rng.integers(50, size=n)] + 0.7 * rng.standard_normal((n, dimension))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def numpy_best(vectors: NDArray[np.float32], query: NDArray[np.float32], k: int) -> list[int]:
    return list(np.argsort(-(vectors @ query), kind="stable")[:k])


def search(
    index: VectorIndex, query: NDArray[np.float32], k: int, alive: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """One query's results, without the places where nothing was found."""
    scores, positions = index.search(query[None], k, alive)
    found = positions[0] >= 0
    return scores[0][found], positions[0][found]


@pytest.fixture
def small_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """IVF-PQ learns from 600 vectors on."""
    monkeypatch.setattr(IVFPQIndex, "_LEAST", 600)


def test_exact_search_is_numpys_and_keeps_the_order_of_equals() -> None:
    vectors = clusters(500)
    vectors[[7, 300, 450]] = vectors[3]
    slabs = [(0, vectors[:200]), (200, vectors[200:499]), (499, vectors[499:])]
    scores, positions = exact_search(vectors[[3, 10]], slabs, 5)
    assert list(positions[0][:4]) == [3, 7, 300, 450]
    assert list(positions[1]) == numpy_best(vectors, vectors[10], 5)
    np.testing.assert_allclose(scores[1], np.sort(vectors @ vectors[10])[::-1][:5], atol=1e-6)
    np.testing.assert_allclose(exact_search(vectors, slabs, 5)[0][[3, 10]], scores, atol=1e-6)
    alive = np.zeros(500, dtype=bool)
    alive[[7, 450, 499]] = True
    scores, positions = exact_search(vectors[[3]], slabs, 5, alive)
    assert set(positions[0]) == {7, 450, 499, -1}
    assert list(scores[0][3:]) == [-np.inf, -np.inf]
    many_scores, many = exact_search(vectors, slabs, 5, alive)  # by matrix products
    assert set(many.ravel()) == {7, 450, 499, -1}
    np.testing.assert_allclose(many_scores[3], scores[0], atol=1e-6)


def test_rows_are_linked_merged_and_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retrievers.dense.vectors._FULL", 100)
    vectors = clusters(451)
    rows = VectorRows(32)
    rows.append(vectors[:130])
    (tmp_path / "a").mkdir()
    with rows.writing(tmp_path / "a"):
        rows.append(vectors[130:440])
        assert len(list((tmp_path / "a").glob("*.npy"))) >= 3, "full segments are written as they come"
    (tmp_path / "b").mkdir()
    opened = VectorRows.open(tmp_path / "a", 32)
    (tmp_path / "a").rename(tmp_path / "moved")
    opened.append(vectors[440:])
    with opened.writing(tmp_path / "b"):
        pass
    first = "vectors-0.npy"
    assert (tmp_path / "b" / first).stat().st_ino == (tmp_path / "moved" / first).stat().st_ino
    again = VectorRows.open(tmp_path / "b", 32)
    assert len(again) == 451
    np.testing.assert_array_equal(np.vstack([slab for _, slab in again.slabs()]), vectors)
    some = np.array([450, 3, 99, 100, 3])
    np.testing.assert_array_equal(again.take(some), vectors[some])
    drop = np.arange(451) % 3 == 0
    (tmp_path / "c").mkdir()
    with again.writing(tmp_path / "c", drop):
        pass
    kept = VectorRows.open(tmp_path / "c", 32)
    np.testing.assert_array_equal(kept.take(np.arange(len(kept))), vectors[~drop])
    with pytest.raises(IndexFormatError, match="should hold float16 vectors of length 32, and holds float32"):
        VectorRows.open(tmp_path / "c", 32, np.float16)


@pytest.mark.usefixtures("small_lists")
@pytest.mark.parametrize("kind", list(INDEXES))
def test_searches_saves_grows_and_forgets(kind: str, tmp_path: Path) -> None:
    vectors, queries = clusters(1000), clusters(20, seed=1)
    index = INDEXES[kind](32)
    index.add(vectors[:900])
    index.settle()
    (tmp_path / "a").mkdir()
    with index.writing(tmp_path / "a"):
        pass
    opened = INDEXES[kind].open(tmp_path / "a", 32)
    opened.breadth = index.breadth = index.widest
    for query in queries:
        assert sorted(search(opened, query, 5)[1]) == sorted(search(index, query, 5)[1])
    for given in (None, np.arange(900) % 2 == 0):
        together = opened.search(queries, 7, given)
        for row, query in enumerate(queries):
            alone = opened.search(query[None], 7, given)
            np.testing.assert_allclose(together[0][row], alone[0][0], atol=1e-5)
            assert together[1][row].tolist() == alone[1][0].tolist()
    opened.add(vectors[900:])
    opened.settle()
    assert len(opened) == 1000
    assert search(opened, vectors[950], 1)[1].tolist() == [950], "an addition is found at once"
    alive = np.random.default_rng(2).random(1000) < 0.6
    living = np.flatnonzero(alive)
    found = []
    for query in queries:
        scores, positions = search(opened, query, 10, alive)
        assert alive[positions].all()
        np.testing.assert_allclose(scores, vectors[positions] @ query, atol=2e-3)
        found.append(np.isin(living[numpy_best(vectors[living], query, 10)], positions).mean())
    assert np.mean(found) > 0.98
    (tmp_path / "b").mkdir()
    with opened.writing(tmp_path / "b", ~alive):
        pass
    anew = INDEXES[kind].open(tmp_path / "b", 32)
    assert len(anew) == len(living)
    anew.breadth = anew.widest
    found = [np.isin(numpy_best(vectors[living], q, 10), search(anew, q, 10)[1]).mean() for q in queries]
    assert np.mean(found) > 0.98


@pytest.mark.usefixtures("small_lists")
def test_lists_are_learnt_again_when_there_is_four_times_as_much() -> None:
    index, vectors = IVFPQIndex(32), clusters(2600)
    index.add(vectors[:599])
    assert not index.settle()
    assert search(index, vectors[5], 1)[1].tolist() == [5], "few vectors are compared one by one"
    index.add(vectors[599:650])
    assert index.settle()
    lists = index.widest
    assert lists == int(4 * 650**0.5)
    index.add(vectors[650:2000])
    assert not index.settle()
    index.add(vectors[2000:])
    assert index.settle()
    assert index.widest > lists


@pytest.mark.usefixtures("small_lists")
def test_the_breadth_grows_to_the_target_and_recall_is_that_of_other_queries() -> None:
    rng = np.random.default_rng(0)  # without clusters, so that few lists do not do
    vectors = rng.standard_normal((3000, 32)).astype(np.float32)
    queries = rng.standard_normal((100, 32)).astype(np.float32)
    index = IVFPQIndex(32)
    index.add(vectors)
    index.settle()
    index.breadth = 1
    narrow = measure_recall(index, queries)
    expected = [np.isin(numpy_best(vectors, q, 10), search(index, q, 10)[1]).mean() for q in queries]
    assert narrow.recall == pytest.approx(np.mean(expected), abs=0.01)
    recall = broaden(index, queries, 0.9)
    assert narrow.recall < 0.7 < 0.85 < recall.recall
    assert (recall.breadth, recall.queries, recall.passages) == (index.breadth, 50, 3000)
    assert recall.breadth > 1


def test_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    index = INDEXES["hnsw"](32)
    index.add(clusters(10))
    with index.writing(tmp_path):
        pass
    with pytest.raises(IndexFormatError, match="holds vectors of length 32, not 48"):
        INDEXES["hnsw"].open(tmp_path, 48)
    (tmp_path / "graph.faiss").write_bytes(b"nothing")
    with pytest.raises(IndexFormatError, match="faiss cannot read"):
        INDEXES["hnsw"].open(tmp_path, 32)
