"""Texts without ids: what they are called, alone and where retrievers hold passages already."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from retrievers import BM25Retriever, DenseRetriever, HybridRetriever, Passage, as_passages, load_index

from .search_engines.engines import WordEncoder

TEXTS = ["Hekla is a volcano.", "The eider is a duck.", "Cod is a fish."]
Make = Callable[..., Any]


def test_strings_are_called_by_their_places() -> None:
    assert as_passages(TEXTS[:2]) == [Passage("1", TEXTS[0]), Passage("2", TEXTS[1])]
    assert [p.id for p in as_passages(iter(TEXTS), first=7)] == ["7", "8", "9"]
    given = [Passage("a", "x"), "second", Passage("3", "y"), "fourth", "fifth"]
    assert [p.id for p in as_passages(given)] == ["a", "2", "3", "4", "5"]
    assert as_passages(given)[0] is given[0]
    assert [p.id for p in as_passages(["first", Passage("1", "x"), "third"])] == ["2", "1", "4"]
    assert as_passages([]) == []


@pytest.mark.parametrize(
    ("items", "error", "message"),
    [
        ("one text", TypeError, r"expected several passages, got the string 'one text'; put it into a list"),
        ([Passage("a", "x"), 3], TypeError, r"expected retrievers\.Passage objects or strings, got int"),
        (["text", " \n"], ValueError, "passage 2 of 2 is blank"),
        (
            [Passage("a", "x", metadata={"at": date(2024, 5, 1)})],
            ValueError,
            "metadata of passage 'a' cannot be written",
        ),
    ],
)
def test_wrong_items_are_refused(items: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        as_passages(items)
    with pytest.raises(error, match=message):
        BM25Retriever(items)


def bm25(items: Iterable[Passage | str] = ()) -> BM25Retriever:
    return BM25Retriever(items)


def dense(items: Iterable[Passage | str] = ()) -> DenseRetriever:
    pytest.importorskip("faiss", reason="dense retrieval needs faiss-cpu")
    return DenseRetriever(items, encoder=WordEncoder())


def hybrid(items: Iterable[Passage | str] = ()) -> HybridRetriever:
    found = HybridRetriever([bm25(), dense()])
    found.add(items)
    return found


@pytest.mark.parametrize("make", [bm25, dense, hybrid])
def test_retrievers_take_strings_and_count_on(make: Make) -> None:
    retriever = make(TEXTS)
    assert retriever.search("Which duck?", 1)[0].passage == Passage("2", TEXTS[1])
    retriever.add(["Moss grows on lava.", Passage("6", "Basalt is a rock."), "Geysers are hot."])
    assert [p.id for p in retriever.passages] == ["1", "2", "3", "4", "6", "7"]
    retriever.remove(["2"])
    retriever.add(["Whales sing."])  # the sixth of those that are left, but "6" and "7" are held
    assert [p.id for p in retriever.passages] == ["1", "3", "4", "6", "7", "8"]
    with pytest.raises(ValueError, match="id '8' is there already"):
        retriever.add(["new", Passage("8", "old")])
    assert len(retriever) == 6


def test_numbers_count_on_after_an_index_was_opened(tmp_path: Path) -> None:
    bm25(TEXTS).save(tmp_path / "index")
    opened = load_index(tmp_path / "index")
    opened.add(["Whales sing."])
    assert opened.search("whales")[0].passage.id == "4"
