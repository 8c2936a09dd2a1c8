"""Documents of an index: added, replaced, removed and kept in step with a folder."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest

from retrievers import (
    BM25Retriever,
    CorpusError,
    DenseRetriever,
    HybridRetriever,
    Passage,
    Retriever,
    load_corpus,
    load_index,
    split_document,
)
from retrievers.changes import add_documents, document_of, passage_ids, sync_documents
from retrievers.corpora import stream

LONG = "Seven words are in this one sentence. " * 30


def write(folder: Path, **texts: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    return folder


def held(retriever: Retriever) -> dict[str, str]:
    return {passage.id: passage.text for passage in retriever.passages}


def expected(folder: Path) -> dict[str, str]:
    return {passage.id: passage.text for passage in load_corpus(folder)}


@pytest.fixture(params=["bm25", "hybrid"])
def index(request, tmp_path: Path) -> Path:
    """Of a folder with a long and two short documents."""
    passages = list(load_corpus(write(tmp_path / "notes", fees="The fee is 40 crowns.", long=LONG, boat="A boat.")))
    if request.param == "bm25":
        retriever: Retriever = BM25Retriever(passages)
    else:
        retriever = HybridRetriever([BM25Retriever(passages), BM25Retriever(passages, b=0)])
    retriever.save(tmp_path / "index")
    return tmp_path / "index"


def test_a_document_is_known_by_its_source() -> None:
    pieces = split_document("a#1.txt", LONG)
    assert len(pieces) > 1
    assert {document_of(piece) for piece in pieces} == {"a#1.txt"}
    assert document_of(Passage("a.txt", "x", metadata={"source": "a.txt"})) == "a.txt"
    assert document_of(Passage("a#0", "x", metadata={"source": "a"})) == "a#0", "nobody cut it from a document"
    assert document_of(Passage("7", "x", metadata={"source": "wikipedia"})) == "7"
    assert document_of(Passage("a#1", "x")) == "a#1"


def test_edited_documents_are_refused_or_replaced(index: Path, tmp_path: Path) -> None:
    folder = write(tmp_path / "notes", fees="The fee is 55 crowns.", long=LONG[:200], new="New.")
    retriever = load_index(index)
    before = held(retriever)
    message = r"fees.txt, long.txt are in another version in the index; --replace"
    with pytest.raises(ValueError, match=message), retriever.saving(index):
        add_documents(retriever, load_corpus(folder))
    assert held(retriever) == held(load_index(index)) == before
    with retriever.saving(index):
        changes = add_documents(retriever, load_corpus(folder), replace=True)
    assert (changes.added, changes.replaced, changes.unchanged) == (["new.txt"], ["fees.txt", "long.txt"], 1)
    assert (changes.passages_added, changes.passages_removed) == (3, 4)
    assert held(retriever) == held(load_index(index)) == expected(folder)
    assert [hit.passage.id for hit in retriever.search("fee crowns", 9)] == ["fees.txt"]


def test_the_same_corpus_again_changes_nothing(index: Path, tmp_path: Path) -> None:
    retriever = load_index(index)
    changes = add_documents(retriever, load_corpus(tmp_path / "notes"))
    assert (changes.unchanged, changes.passages_added, changes.passages_removed) == (3, 0, 0)


def test_a_document_that_lost_a_piece_is_still_found(index: Path, tmp_path: Path) -> None:
    retriever = load_index(index)
    retriever.remove(["long.txt#0"])
    changes = add_documents(retriever, load_corpus(tmp_path / "notes"), replace=True)
    assert changes.replaced == ["long.txt"]
    assert held(retriever) == expected(tmp_path / "notes")


@pytest.mark.parametrize("change", [sync_documents, partial(add_documents, replace=True)])
def test_no_piece_outlives_its_document_when_the_first_was_removed(index: Path, tmp_path: Path, change) -> None:
    retriever = load_index(index)
    retriever.remove(["long.txt#0"])
    assert passage_ids(retriever, ["long.txt"]) == ["long.txt#1", "long.txt#2"]
    folder = write(tmp_path / "notes", long="Short now.")
    assert change(retriever, load_corpus(folder)).replaced == ["long.txt"]
    assert held(retriever) == expected(folder)


@pytest.mark.parametrize("change", [sync_documents, add_documents])
def test_passages_that_only_look_like_pieces_are_documents_of_their_own(change) -> None:
    sources = {"a#0": "a", "b": "b", "a#1": "a"}
    passages = [Passage(name, f"text {name}", metadata={"source": source}) for name, source in sources.items()]
    retriever = BM25Retriever()
    assert change(retriever, passages).added == ["a#0", "b", "a#1"]
    assert held(retriever) == {passage.id: passage.text for passage in passages}


@pytest.mark.parametrize("change", [sync_documents, add_documents])
@pytest.mark.parametrize("at_once", [1, 100])
def test_pieces_of_a_document_that_stand_apart_are_refused(
    change, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "_PASSAGES", at_once)
    first, *rest = split_document("a", LONG)
    with pytest.raises(ValueError, match="passages of the document 'a' come again behind those of another"):
        change(BM25Retriever(), [first, Passage("b", "Between."), *rest])


def test_documents_longer_than_a_slab_are_compared_whole(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "_PASSAGES", 2)
    folder = write(tmp_path / "notes", long=LONG.replace("one", "another"), many=LONG)
    retriever = load_index(index)
    with retriever.saving(index):
        assert add_documents(retriever, load_corpus(folder), replace=True).replaced == ["long.txt"]
    assert held(load_index(index)) == expected(folder)


def test_an_index_follows_its_folder(index: Path, tmp_path: Path) -> None:
    folder = write(tmp_path / "notes", fees="The fee is 55 crowns.", new="New.")
    (folder / "boat.txt").unlink()
    retriever = load_index(index)
    with retriever.saving(index):
        changes = sync_documents(retriever, load_corpus(folder))
    assert (changes.added, changes.replaced, changes.removed) == (["new.txt"], ["fees.txt"], ["boat.txt"])
    assert held(load_index(index)) == expected(folder)


def test_what_cannot_be_read_now_stays_in_the_index(index: Path, tmp_path: Path) -> None:
    folder = write(tmp_path / "notes", long="")
    (folder / "fees.txt").write_bytes(b"\xff\xfe\xfd")
    corpus = load_corpus(folder)
    retriever = load_index(index)
    changes = sync_documents(retriever, corpus.passages, lambda: corpus.skipped.unread)
    assert (changes.kept, changes.removed) == (["fees.txt"], ["long.txt"])
    assert held(retriever).keys() == {"fees.txt", "boat.txt"}


def test_documents_of_a_folder_that_cannot_be_listed_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "notes", fees="The fee is 40 crowns.", boat="A boat.")
    write(folder / "sub", inner="Inside.")
    retriever = BM25Retriever(load_corpus(folder))
    (folder / "boat.txt").unlink()
    scandir = os.scandir

    def refuse(path: str):
        if Path(path).name == "sub":
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    corpus = load_corpus(folder)
    changes = sync_documents(retriever, corpus.passages, lambda: corpus.skipped.unread)
    assert (changes.kept, changes.removed) == (["boat.txt", "sub/inner.txt"], [])
    assert [(item.where, item.reason) for item in corpus.skipped] == [("sub", "cannot be listed")]
    with pytest.raises(CorpusError, match=r"^sub: cannot be listed$"):
        load_corpus(folder, strict=True)


def test_a_file_that_cannot_be_opened_stops_nothing(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "notes", new="New.")
    read_bytes = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path.name == "fees.txt":
            raise PermissionError(13, "Permission denied", str(path))
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    corpus = load_corpus(folder)
    changes = sync_documents(load_index(index), corpus.passages, lambda: corpus.skipped.unread)
    assert (changes.kept, changes.added) == (["fees.txt"], ["new.txt"])
    assert [(item.where, item.reason) for item in corpus.skipped] == [
        ("fees.txt", "cannot be read (Permission denied)")
    ]
    with pytest.raises(CorpusError, match=r"fees\.txt: cannot be read \(Permission denied\)"):
        list(load_corpus(folder / "fees.txt"))


def test_another_folder_does_not_empty_an_index(index: Path, tmp_path: Path) -> None:
    retriever = load_index(index)
    before = held(retriever)
    message = r"none of the 3 documents in the index is in this corpus, such as 'boat\.txt'"
    with pytest.raises(ValueError, match=message), retriever.saving(index):
        sync_documents(retriever, load_corpus(write(tmp_path / "other", a="Other.")))
    assert held(retriever) == held(load_index(index)) == before


def test_names_stand_for_passages_documents_and_tables(tmp_path: Path) -> None:
    folder = write(tmp_path / "notes", long=LONG, short="Short.")
    (folder / "t.csv").write_text("city,people\nOslo,700\nBergen,290\n")
    retriever = BM25Retriever(load_corpus(folder))
    assert passage_ids(retriever, ["short.txt"]) == ["short.txt"]
    assert passage_ids(retriever, ["long.txt"]) == ["long.txt#0", "long.txt#1", "long.txt#2"]
    assert passage_ids(retriever, ["long.txt#1", "long.txt#1"]) == ["long.txt#1"]
    assert passage_ids(retriever, ["t.csv"]) == ["t.csv:1", "t.csv:2"]
    with pytest.raises(ValueError, match=r"'nowhere' is there, and no document \(and of 1 other names neither\)"):
        passage_ids(retriever, ["short.txt", "nowhere", "t"])


def test_dense_indexes_replace_while_they_are_saved(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers")
    folder = write(tmp_path / "notes", fees="The fee is 40 crowns.", boat="A boat.")
    DenseRetriever(load_corpus(folder)).save(tmp_path / "index")
    write(folder, fees="The fee is 55 crowns.")
    retriever = load_index(tmp_path / "index")
    with retriever.saving(tmp_path / "index"):
        sync_documents(retriever, load_corpus(folder))
    loaded = load_index(tmp_path / "index")
    assert held(loaded) == expected(folder)
    assert loaded.search("What is the fee?", 1)[0].passage.text == "The fee is 55 crowns."
