"""What is killed, what must hold after a kill, and what a run that goes on must come to."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from retrievers import BM25Retriever, Passage, load_corpus, load_index

FEW = ["--set", "attribution.budget=10", "--quiet"]
ONE_THREAD = ["--set", "threads=1"]
ADDITIONS = 12


@dataclass(frozen=True)
class Scenario:
    """A command that writes into a folder.

    Attributes:
        order: what a warm process is told to run, by folder.
        held: the file or folder whose lock is held while it writes.
        finished: whether the folder holds the end result.
        result: what the end result comes to, without what depends on the clock.
        prepare: makes the folder what it is before the command.
        check: raises unless the folder is sound; called after each kill.
        log: a file that only grows, with what was measured and how long it took.
    """

    name: str
    order: Callable[[Path], dict]
    held: str
    finished: Callable[[Path], bool]
    result: Callable[[Path], Any]
    prepare: Callable[[Path], None]
    check: Callable[[Path], None]
    log: str = ""

    def kept(self, folder: Path) -> bytes:
        """The whole lines of the log so far."""
        content = self.records(folder)
        return content[: content.rfind(b"\n") + 1]

    def records(self, folder: Path) -> bytes:
        return (folder / self.log).read_bytes() if self.log and (folder / self.log).exists() else b""

    def lock(self, folder: Path) -> Path:
        held = folder / self.held
        return held.with_name(f".{held.name}.lock")


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def without(content: Any, *names: str) -> Any:
    """A JSON value without some keys, at any depth."""
    if isinstance(content, dict):
        return {key: without(value, *names) for key, value in content.items() if key not in names}
    return [without(value, *names) for value in content] if isinstance(content, list) else content


def read(path: Path, *names: str) -> Any:
    return without(json.loads(path.read_text(encoding="utf-8")), *names)


def lines(path: Path, *names: str) -> list[Any]:
    return [without(json.loads(line), *names) for line in path.read_text(encoding="utf-8").splitlines()]


def empty(folder: Path) -> None:
    folder.mkdir()


def replaced_index(before: Path, corpus: Path, after: Path) -> Scenario:
    """`ragshap index` over an index of another corpus; `after` is what an unkilled one wrote."""

    def check(folder: Path) -> None:
        found = files(folder / "index")
        assert found in (files(before), files(after)), "between"
        load_index(folder / "index")
        assert {p.name for p in folder.iterdir()} <= {"index", ".index.new", ".index.lock"}

    return Scenario(
        "index",
        lambda folder: {"arguments": ["index", str(corpus), "--out", str(folder / "index"), "--quiet", *ONE_THREAD]},
        "index",
        lambda folder: files(folder / "index") == files(after),
        lambda folder: files(folder / "index"),
        lambda folder: shutil.copytree(before, folder / "index"),
        check,
    )


def growing_index(passages: list[Passage]) -> Scenario:
    """An index that grows by a passage and is saved, again and again, going on from what is there."""
    names = [f"new-{n}" for n in range(ADDITIONS)]
    expected = [passage.id for passage in passages] + names

    def code(folder: Path) -> dict:
        return {
            "code": f"""
from retrievers import Passage, load_index
found = load_index({str(folder / "index")!r})
for n in range(len(found) - {len(passages)}, {ADDITIONS}):
    found.add([Passage(f"new-{{n}}", f"addition {{n}} of the harbour")])
    found.save({str(folder / "index")!r})
found.save({str(folder / "index")!r})  # clears up where the last was killed just after it was done
"""
        }

    def ids(folder: Path) -> list[str]:
        return [passage.id for passage in load_index(folder / "index").passages]

    def check(folder: Path) -> None:
        found = ids(folder)
        assert found == expected[: len(found)]
        assert len(found) >= len(passages)
        assert {p.name for p in folder.iterdir()} <= {"index", ".index.new", ".index.lock"}

    def prepare(folder: Path) -> None:
        BM25Retriever(passages).save(folder / "index")

    def result(folder: Path) -> Any:
        hits = load_index(folder / "index").search("harbour addition 3", 50)
        return ids(folder), {hit.passage.id: round(hit.score, 4) for hit in hits}

    return Scenario("add", code, "index", lambda f: len(ids(f)) == len(expected), result, prepare, check)


def rerank(contexts: Path) -> Scenario:
    arguments = ["rerank", str(contexts), "--depth", "4", *FEW, *ONE_THREAD]

    def check(folder: Path) -> None:
        names = {"out.json.partial", "out.json.progress.json", ".out.json.lock", ".out.json.progress.json.lock",
                 ".out.json.progress.tmp.json", "out.json"}  # fmt: skip
        assert {p.name for p in folder.iterdir()} <= names
        for path in folder.glob("out.json*.json"):
            read(path)
        if (folder / "out.json").exists():
            assert len(read(folder / "out.json")) == 12

    return Scenario(
        "rerank",
        lambda folder: {"arguments": [*arguments, "--out", str(folder / "out.json")]},
        "out.json",
        lambda folder: (folder / "out.json").exists() and not (folder / "out.json.progress.json").exists(),
        lambda folder: files(folder),
        empty,
        check,
    )


def qa(contexts: Path) -> Scenario:
    arguments = ["evaluate", "qa", str(contexts), "--passages", "own", "-k", "1", "-k", "3", "--quiet",
                 "--set", "report.draws=100"]  # fmt: skip

    def check(folder: Path) -> None:
        names = {path.name for path in folder.iterdir()}
        assert {name for name in names if not name.startswith(".")} <= {"out.json", "out.partial.jsonl", "out.png",
                                                                        "out.svg"}  # fmt: skip
        if "out.json" in names:
            assert len(read(folder / "out.json")["questions"]) == 12

    def result(folder: Path) -> Any:
        content = read(folder / "out.json", "seconds", "encode_seconds")
        content["rows"] = [without(row, "encode", "answer") for row in content["rows"]]  # seconds too
        return content, sorted(path.name for path in folder.iterdir())

    return Scenario(
        "qa",
        lambda folder: {"arguments": [*arguments, "--out", str(folder / "out.json")]},
        "out.partial.jsonl",
        lambda folder: (folder / "out.json").exists(),
        result,
        empty,
        check,
    )


def evaluation(kind: str, contexts: Path, *more: str) -> Scenario:
    """`ragshap evaluate retrieval` or `attribution` into a folder."""
    arguments = ["evaluate", kind, str(contexts), "--set", "report.draws=100", "--quiet", *more]

    def check(folder: Path) -> None:
        out = folder / "out"
        if (out / "result.json").exists():
            read(out / "result.json")
            assert len(lines(out / "questions.jsonl")) == 13

    return Scenario(
        kind,
        lambda folder: {"arguments": [*arguments, "--out", str(folder / "out")]},
        "out/questions.jsonl",
        lambda folder: (folder / "out" / "result.json").exists(),
        lambda folder: (
            read(folder / "out" / "result.json", "seconds"),
            lines(folder / "out" / "questions.jsonl", "seconds"),
            sorted(path.name for path in (folder / "out").iterdir()),
        ),
        empty,
        check,
        "out/questions.jsonl",
    )


def train(data: Path, start: Path) -> Scenario:
    settings = [
        "stages=[{steps: 12, questions: 2, negatives: 2, coalitions: 2}]", "warmup=2", "save_every=1", "log_every=1",
        "data.held_out=3", "bfloat16=false", "evaluation={every: 4, questions: 2, negatives: 1}", "data.negatives=bm25",
        "max_block_tokens=64",
    ]  # fmt: skip
    given = [part for setting in settings for part in ("--set", setting)]

    def check(folder: Path) -> None:
        out = folder / "out"
        if (out / "checkpoint.safetensors").exists():
            load_file(out / "checkpoint.safetensors")
        if (out / "reader").exists():
            load_file(out / "reader" / "model.safetensors")
        visible = {path.name for path in out.iterdir() if not path.name.startswith(".")} if out.exists() else set()
        assert visible <= {"checkpoint.safetensors", "log.jsonl", "negatives-1.json", "reader"}

    def finished(folder: Path) -> bool:
        log = folder / "out" / "log.jsonl"
        return log.exists() and '"averaged"' in log.read_text(encoding="utf-8")

    return Scenario(
        "train",
        lambda folder: {
            "arguments": ["train", str(data), "--out", str(folder / "out"), "--start", str(start), "--quiet", *given]
        },
        "out/checkpoint.safetensors",
        finished,
        lambda folder: (
            files(folder / "out" / "reader"),
            lines(folder / "out" / "log.jsonl", "seconds"),
            sorted(path.name for path in (folder / "out").iterdir()),
        ),
        empty,
        check,
    )


def corpus_files(folder: Path, islands: Path) -> tuple[list[Passage], Path, Path]:
    """The example passages, and two corpora of them as JSON Lines."""
    passages = list(load_corpus(islands))
    paths = []
    for name, part in (("first", passages[:150]), ("second", passages[100:])):
        paths.append(folder / f"{name}.jsonl")
        rows = [json.dumps({"_id": p.id, "title": p.title, "text": p.text}) for p in part]
        paths[-1].write_text("\n".join(rows), encoding="utf-8")
    return passages, paths[0], paths[1]
