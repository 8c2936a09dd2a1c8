"""Index folders: what is refused, and that a folder is replaced whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrievers import BM25Retriever, DenseRetriever, HybridRetriever, IndexFormatError, Passage, load_index
from retrievers.storage.index_folder import new_index
from retrievers.storage.passage_store import PassageStore


@pytest.fixture
def index(tmp_path: Path, animals: list[Passage]) -> Path:
    BM25Retriever(animals).save(tmp_path / "index")
    return tmp_path / "index"


def edit_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "manifest.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_manifest_describes_the_folder(index: Path) -> None:
    content = json.loads((index / "manifest.json").read_text(encoding="utf-8"))
    assert (content["format"], content["version"], content["kind"]) == ("ragshap-index", 2, "bm25")
    assert content["passages"] == 5
    assert content["settings"]["k1"] == 1.5
    assert set(content["files"]) == set(contents(index)) - {"manifest.json"}
    assert (
        content["files"]["passages-0/passages.jsonl"]["bytes"] == (index / "passages-0/passages.jsonl").stat().st_size
    )
    assert "bm25s" in content["created_with"]


def test_nothing_is_pickled(index: Path) -> None:
    for path in index.rglob("*.npy"):
        assert np.load(path, allow_pickle=False).dtype != object
    assert {path.suffix for path in index.rglob("*") if path.is_file()} == {".json", ".jsonl", ".npy"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(version=3), "written in version 3 of the index format.*upgrade ragshap"),
        (lambda m: m.update(version=1), "written in version 1 of the index format.*run `ragshap index` again"),
        (lambda m: m.update(format="other"), "is not an index: its manifest.json is not of the format"),
        (lambda m: m.update(kind="graph"), "unknown kind of index 'graph'; known are bm25, dense, hybrid"),
        (
            lambda m: m.update(passages=6),
            r"passage files hold 5 passages, the manifest says 6; run `ragshap index`",
        ),
        (lambda m: m.update(passages="5"), "is damaged: entries are missing or of the wrong type"),
        (lambda m: m.pop("files"), "is damaged: entries are missing"),
        (
            lambda m: m["settings"].update(k1=-1),
            "settings in the manifest cannot be used: k1 must be above 0",
        ),
        (lambda m: m["settings"].update(colour="red"), "settings in the manifest cannot be used: .*colour"),
    ],
)
def test_manifests_that_do_not_fit(change: Callable[[dict[str, Any]], object], message: str, index: Path) -> None:
    edit_manifest(index, change)
    with pytest.raises(IndexFormatError, match=message):
        load_index(index)


def test_missing_short_and_damaged_files(index: Path) -> None:
    data = index / "segment-0" / "data.csc.index.npy"
    sound = data.read_bytes()
    data.write_bytes(sound[:-4])
    with pytest.raises(IndexFormatError, match=rf"has {len(sound) - 4} bytes and should have {len(sound)}"):
        load_index(index, verify=False)
    data.write_bytes(sound[:-4] + b"\0\0\0\0")
    with pytest.raises(IndexFormatError, match="checksum differs"):
        load_index(index)
    data.unlink()
    with pytest.raises(IndexFormatError, match=r"segment-0/data\.csc\.index\.npy is missing; run `ragshap index`"):
        load_index(index)


def test_foreign_folders_and_other_kinds(index: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such index folder"):
        load_index(tmp_path / "nowhere")
    with pytest.raises(IndexFormatError, match=r"is not an index: it has no manifest\.json"):
        load_index(tmp_path)
    for other in (DenseRetriever, HybridRetriever):
        with pytest.raises(IndexFormatError, match=f"is an index of the kind 'bm25', not '{other.kind}'"):
            other.load(index)
    (index / "manifest.json").write_text("{", encoding="utf-8")
    with pytest.raises(IndexFormatError, match="is damaged"):
        load_index(index)


def test_an_index_is_replaced_and_nothing_is_left_beside_it(index: Path) -> None:
    BM25Retriever([Passage("new", "other text")]).save(index)
    assert [p.id for p in load_index(index).passages] == ["new"]
    assert [path.name for path in index.parent.iterdir()] == ["index"]


def test_a_failed_write_leaves_the_old_index(index: Path) -> None:
    before = contents(index)

    def fail_halfway() -> None:
        with new_index(index, "bm25", {}, 1) as building:
            (building / "data").write_text("half", encoding="utf-8")
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        fail_halfway()
    assert contents(index) == before
    assert [path.name for path in index.parent.iterdir()] == ["index"]


def test_other_peoples_files_are_never_overwritten(index: Path, tmp_path: Path, animals: list[Passage]) -> None:
    retriever = BM25Retriever(animals)
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "note.txt").write_text("mine", encoding="utf-8")
    (index / "note.txt").write_text("mine", encoding="utf-8")
    for name in ("file", "folder", "index"):
        with pytest.raises(FileExistsError, match="is there already and is not an index, or holds more"):
            retriever.save(tmp_path / name)
    assert (tmp_path / "folder" / "note.txt").exists()
    assert (index / "note.txt").exists()
    (tmp_path / "empty").mkdir()
    retriever.save(tmp_path / "empty")
    assert len(load_index(tmp_path / "empty")) == 5


def test_an_empty_index_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the index is empty: add passages before saving it"):
        BM25Retriever().save(tmp_path / "index")
    assert not list(tmp_path.iterdir())


def test_a_passage_store_mixes_mapped_and_added_passages(tmp_path: Path, animals: list[Passage]) -> None:
    PassageStore(animals[:3]).write(tmp_path)
    store = PassageStore.open(tmp_path, 3)
    store.extend(store.check_new(animals[3:]))
    assert list(store) == animals
    assert store[-1] == animals[-1]
    assert store[1:4] == animals[1:4]
    assert store[2].metadata == {}
    with pytest.raises(IndexError):
        store[5]
    with pytest.raises(ValueError, match="id 'whale' is there already"):
        store.check_new([animals[0]])
