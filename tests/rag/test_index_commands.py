"""`ragshap index`, `add` and `remove`: what they say beforehand, what they do, and what they refuse."""

from __future__ import annotations

import json
import shutil
import time
from collections import namedtuple
from pathlib import Path

import pytest

from eval.own_tables.synthetic_corpus import pooled_sentences, recombined
from rag import index_cost
from rag.cli import run
from rag.index_cost import estimate, folder_bytes
from rag.settings import load_settings
from retrievers import BM25Retriever, Passage, load_corpus, load_index

EXAMPLES = Path(__file__).parents[2] / "examples" / "islands"


def write_corpus(path: Path, passages: list[Passage]) -> Path:
    path.write_text("".join(json.dumps({"id": p.id, "text": p.text}) + "\n" for p in passages), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def passages() -> list[Passage]:
    return list(recombined(pooled_sentences(load_corpus(EXAMPLES)), 6000, words=60, seed=1))


@pytest.fixture(scope="module")
def corpus(passages: list[Passage], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus") / "corpus.jsonl", passages)


def test_synthetic_passages_have_their_length_and_seed(passages: list[Passage]) -> None:
    assert {len(passage.text.split()) for passage in passages} == {60}
    again = recombined(pooled_sentences(load_corpus(EXAMPLES)), 3, words=60, seed=1)
    assert list(again) == passages[:3]
    other = recombined(pooled_sentences(load_corpus(EXAMPLES)), 3, words=60, seed=2)
    assert list(other) != passages[:3]


def test_index_says_what_it_will_cost_and_what_it_cost(corpus: Path, tmp_path: Path, capfd) -> None:
    assert run(["index", str(corpus), "--out", str(tmp_path / "index"), "--json"]) == 0
    out, err = capfd.readouterr()
    assert "passages: at most" in err
    said = json.loads(out)
    expected, used = said["estimate"], said["used"]
    assert expected["passages"] == pytest.approx(said["passages"], rel=0.05)
    assert used["disk_bytes"] == folder_bytes(tmp_path / "index")
    assert used["disk_bytes"] / 2 <= expected["disk_bytes"] <= 2 * used["disk_bytes"]
    assert used["peak_memory_bytes"] <= expected["memory_bytes"] <= 2 * used["peak_memory_bytes"]
    assert expected["disk_bytes"] < expected["peak_disk_bytes"]


def test_added_and_removed_passages_from_the_command_line(
    corpus: Path, passages: list[Passage], tmp_path: Path, capfd
) -> None:
    index, more = tmp_path / "index", write_corpus(tmp_path / "more.jsonl", [Passage("new", "an unheard-of zeppelin")])
    assert run(["index", str(EXAMPLES), "--out", str(index), "--quiet"]) == 0
    n_before = len(load_index(index))
    files = {path.stat().st_ino for path in index.glob("*-0/*.npy")}
    assert run(["add", str(more), "--index", str(index), "--json", "--quiet"]) == 0
    said = json.loads(capfd.readouterr().out.partition("index\n")[2])
    assert (said["added"], said["passages"]) == (1, n_before + 1)
    assert files <= {path.stat().st_ino for path in index.glob("*-0/*.npy")}
    assert load_index(index).search("zeppelin", 3)[0].passage.id == "new"
    assert run(["add", str(more), "--index", str(index), "--quiet"]) == 0
    assert capfd.readouterr().out.startswith("documents: 1 unchanged. 0 passages added in ")
    write_corpus(more, [Passage("new", "a zeppelin of another kind")])
    assert run(["add", str(more), "--index", str(index), "--quiet"]) == 1
    assert capfd.readouterr().err.startswith("ragshap: new is in another version in the index; --replace")
    assert run(["add", str(more), "--index", str(index), "--replace", "--json", "--quiet"]) == 0
    said = json.loads(capfd.readouterr().out)
    assert (said["added"], said["removed"], said["documents"]["replaced"]) == (1, 1, ["new"])
    (tmp_path / "gone.txt").write_text(f"new\n\n{load_index(index).passages[0].id}\n", encoding="utf-8")
    assert run(["remove", "nowhere", "--ids", str(tmp_path / "gone.txt"), "--index", str(index)]) == 1
    assert "no passage with the id 'nowhere' is there, and no document; nothing is removed" in capfd.readouterr().err
    assert run(["remove", "--ids", str(tmp_path / "gone.txt"), "--index", str(index), "--json"]) == 0
    assert json.loads(capfd.readouterr().out) == {"index": str(index), "removed": 2, "passages": n_before - 1}
    assert load_index(index).search("zeppelin", 3) == []
    assert run(["remove", "--index", str(index)]) == 2


@pytest.mark.parametrize("what", ["disk", "memory"])
def test_what_cannot_fit_is_refused_before_the_work(
    what: str, corpus: Path, tmp_path: Path, capfd, monkeypatch: pytest.MonkeyPatch
) -> None:
    if what == "disk":
        usage = namedtuple("usage", "total used free")
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, 10**6))
    else:
        monkeypatch.setattr(index_cost, "available_memory", lambda: 10**6)
    assert run(["index", str(corpus), "--out", str(tmp_path / "index")]) == 1
    err = capfd.readouterr().err
    assert f"only 1 MB of {what} " in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_estimated_time_is_of_the_right_size(corpus: Path, passages: list[Passage], tmp_path: Path) -> None:
    settings = load_settings(None, [])
    ratios = []
    for attempt in range(3):  # others may work on this machine too
        expected = estimate(str(corpus), settings).seconds
        started = time.perf_counter()
        with (retriever := BM25Retriever()).saving(tmp_path / str(attempt)):
            retriever.add(load_corpus(corpus))
        ratios.append((expected or 0) / (time.perf_counter() - started))
    assert any(0.5 < ratio < 2 for ratio in ratios), ratios


def test_what_is_left_out_is_said_in_the_terminal_and_in_json(tmp_path: Path, capfd) -> None:
    folder, index = tmp_path / "notes", tmp_path / "index"
    folder.mkdir()
    (folder / "fees.txt").write_text("The fee is 40 crowns.")
    (folder / "todo.md").touch()
    (folder / "old.doc").touch()
    line = (
        f"ragshap: left out of {folder}: old.doc (of the type .doc, which is not read here); todo.md (without text)\n"
    )
    skipped = [
        {"where": "old.doc", "reason": "of the type .doc, which is not read here", "document": "old.doc"},
        {"where": "todo.md", "reason": "without text", "document": "todo.md"},
    ]
    for command in ("index", "add", "sync"):
        place = ["--out" if command == "index" else "--index", str(index)]
        assert run([command, str(folder), *place, "--json", "--quiet"]) == 0
        out, err = capfd.readouterr()
        assert (err, json.loads(out)["skipped"]) == (line, skipped)
    assert run(["search", "fee", "--corpus", str(folder), "--json", "--quiet"]) == 0
    out, err = capfd.readouterr()
    assert (err, json.loads(out)["warnings"]) == (line, [line.removeprefix("ragshap: ").rstrip()])
    assert run(["index", str(folder), "--out", str(index), "--strict", "--quiet"]) == 1
    assert capfd.readouterr().err.endswith("todo.md: without text\n")
    assert len(load_index(index)) == 1


def test_a_folder_is_indexed_again_synced_and_documents_removed(tmp_path: Path, capfd) -> None:
    folder, index = tmp_path / "notes", tmp_path / "index"
    folder.mkdir()
    for name in ("a", "b", "c"):
        (folder / f"{name}.txt").write_text(f"Document {name}. " * 80)
    assert run(["index", str(folder), "-o", str(index), "-q", "--exclude", "c.txt"]) == 0
    n_passages = len(load_index(index))
    assert run(["index", str(folder), "-o", str(index), "-q", "--include", "[ab].*", "--json"]) == 0
    out, err = capfd.readouterr()
    assert f"{index} holds an index (bm25, {n_passages} passages), which this one replaces" in err
    assert json.loads(out.partition("index\n")[2])["replaced"] == {"kind": "bm25", "passages": n_passages}
    (folder / "a.txt").unlink()
    assert run(["sync", str(folder), "-i", str(index), "-q"]) == 0
    assert capfd.readouterr().out.startswith("documents: 1 added (c.txt); 1 removed (a.txt); 1 unchanged. ")
    assert run(["remove", "c.txt", "-i", str(index)]) == 0
    assert {passage.metadata["source"] for passage in load_index(index).passages} == {"b.txt"}


def test_terminal_and_labels_say_the_page(tmp_path: Path, capfd) -> None:
    index = tmp_path / "index"
    BM25Retriever(
        [
            Passage("m#0", "The valve is red.", "Manual", {"page": 3}),
            Passage("m#1", "The valve is old.", "Manual", {"page": 3, "last_page": 4}),
        ]
    ).save(index)
    assert run(["search", "red valve", "-i", str(index)]) == 0
    out = capfd.readouterr().out
    assert "Manual, page 3 " in out
    assert "Manual, pages 3–4" in out
