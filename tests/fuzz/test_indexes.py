"""Index folders: bits flipped, files cut, manifests that lie, names that lead elsewhere."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from hypothesis import strategies as st

from retrievers import BM25Retriever, HybridRetriever, IndexFormatError, Passage, load_index
from retrievers.storage.index_folder import MANIFEST_FILE

from .harness import fuzz, only
from .hostile import damaged, json_like

PASSAGES = [Passage(f"p{n}", f"The ferry number {n} sails to island {n % 5}.", f"Ferry {n}") for n in range(12)]


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("indexes") / "good"
    HybridRetriever([BM25Retriever(PASSAGES), BM25Retriever(PASSAGES, k1=1.2)]).save(folder)
    return folder


def attempt(good: Path, name: str, raw: bytes, *, signed: bool) -> None:
    """Open, search and list an index one of whose files is another; `signed` has its manifests agree with it."""
    folder = good.with_name("tried")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(good, folder)
    before = (folder / name).read_bytes()
    (folder / name).unlink()  # members share files by links
    (folder / name).write_bytes(raw)
    if signed:
        member = name.split("/")[0]
        if name != f"{member}/{MANIFEST_FILE}":
            sign(folder / member, name.removeprefix(f"{member}/"))
        sign(folder, f"{member}/{MANIFEST_FILE}")
    with only(IndexFormatError):
        index = load_index(folder)
        list(index.passages)
        index.search("ferry island", 3)
        assert raw == before or signed, "a changed file went unseen"


def sign(folder: Path, name: str) -> None:
    content = json.loads((folder / MANIFEST_FILE).read_text())
    raw = (folder / name).read_bytes()
    content["files"][name] = {"bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
    (folder / MANIFEST_FILE).unlink()
    (folder / MANIFEST_FILE).write_text(json.dumps(content))


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_flipped_and_cut_files_are_noticed(good):
    @fuzz("index files", 3.0, name=st.sampled_from(names(good)), data=st.data())
    def check(name, data):
        raw = data.draw(damaged((good / name).read_bytes(), edits=2))
        if name != MANIFEST_FILE:
            attempt(good, name, raw, signed=False)

    check()


SIGNED = [
    *("passages-0/passages.jsonl", "passages-0/offsets.npy", "passages-0/ids.npy", "removed.npy"),
    *("vocab.tokenizer.json", "segment-0/lengths.npy", MANIFEST_FILE),
]


@pytest.mark.parametrize("file", SIGNED)
def test_files_that_someone_changed_on_purpose(good, file):
    name = f"0-BM25Retriever/{file}"
    raw = (good / name).read_bytes()
    values = json_like(json.loads(raw)).map(str.encode) if file == MANIFEST_FILE else damaged(raw)

    @fuzz(f"signed {file}", 0.6, changed=st.one_of(damaged(raw), values))
    def check(changed):
        attempt(good, name, changed, signed=True)

    check()


@pytest.mark.parametrize("outside", ["../../etc/passwd", "/etc/passwd", "", ".", "a/../../x", "x\0y"])
def test_a_manifest_names_files_of_its_own_folder_only(good, tmp_path, outside):
    folder = tmp_path / "index"
    shutil.copytree(good, folder)
    content = json.loads((folder / MANIFEST_FILE).read_text())
    content["files"][outside] = {"bytes": 1, "sha256": "x"}
    (folder / MANIFEST_FILE).write_text(json.dumps(content))
    with pytest.raises(IndexFormatError, match="damaged"):
        load_index(folder)


@pytest.mark.parametrize("member", ["../other", "/tmp", "..", "0-BM25Retriever/../../other", 3, None, ["x"]])
def test_a_hybrid_opens_no_index_elsewhere(good, tmp_path, member):
    folder = tmp_path / "index"
    shutil.copytree(good, folder)
    shutil.copytree(good / "0-BM25Retriever", tmp_path / "other")
    content = json.loads((folder / MANIFEST_FILE).read_text())
    content["settings"]["members"] = [member]
    (folder / MANIFEST_FILE).write_text(json.dumps(content))
    with pytest.raises(IndexFormatError):
        load_index(folder)


def test_passages_named_like_paths_stay_in_the_index(tmp_path):
    ids = ["../../outside", "/etc/passwd", "a\0b", "..", "con", "x" * 5000, "\u202e", "\n"]
    BM25Retriever([Passage(name, f"text {name}", name) for name in ids]).save(tmp_path / "in" / "index")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["index"]
    assert [passage.id for passage in load_index(tmp_path / "in" / "index").passages] == ids


def test_links_out_of_a_corpus_folder_are_not_followed(tmp_path):
    from retrievers import CorpusError, CorpusWarning, load_corpus

    secret, folder = tmp_path / "secret.txt", tmp_path / "notes"
    secret.write_text("The password is tulip.")
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_text("A note.")
    (folder / "b.txt").symlink_to(folder / "a.txt")
    (folder / "loop.txt").symlink_to(folder / "loop.txt")
    (folder / "sub" / "up").symlink_to(folder)
    (folder / "c.txt").symlink_to(secret)
    with pytest.warns(CorpusWarning, match=r"loop.txt \(a broken link.*outside .*sub/up \(a link to a folder"):
        assert [passage.text for passage in load_corpus(folder)] == ["A note.", "A note."]
    with pytest.raises(CorpusError, match=r"c\.txt: a link to .*outside of the folder"):
        list(load_corpus(folder, strict=True))
