"""Files that were valid once: each reader gives a result or its own error, and nothing else appears on disk."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from . import harness, readers
from .harness import fuzz, only
from .hostile import TEXTS, compressed, damaged, json_like
from .readers import READERS, Reader

SHARE = {"corpus Parquet": 0.3, "settings": 2.0}  # of 100; the others have 3
GZIPPED = ("corpus JSONL", "corpus TSV", "corpus SQuAD", "questions JSON", "questions table", "contexts", "run")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@pytest.fixture(scope="module")
def answer_seed() -> bytes:
    from rag import Pipeline
    from retrievers import Passage

    from ..rag.conftest import ScriptedReader

    passages = [Passage("a", "it is Rome.", "first"), Passage("b", "others say Paris.", "second")]
    return Pipeline(None, ScriptedReader()).explain("where?", passages).to_json().encode()


def attempt(folder: Path, reader: Reader, name: str, raw: bytes) -> None:
    """Read one file; whatever the reader writes stands beside it, in a folder that holds nothing else."""
    place = folder / "in"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    (place / name).write_bytes(raw)
    with only(*reader.errors):
        reader.read(place / name)
    assert [path.name for path in folder.iterdir()] == ["in"]


@pytest.mark.parametrize("name", READERS)
def test_damaged_files(name, folder, answer_seed):
    reader = READERS[name]

    @fuzz(f"damaged {name}", SHARE.get(name, 3.0), raw=damaged(*(reader.seeds or (answer_seed,))))
    def check(raw):
        attempt(folder, reader, reader.file, raw)

    check()


@pytest.mark.parametrize("name", GZIPPED)
def test_damaged_gzip_files(name, folder):
    reader = READERS[name]

    @fuzz(f"gzip {name}", 1.0, raw=compressed(*reader.seeds))
    def check(raw):
        attempt(folder, reader, f"{reader.file}.gz", raw)

    check()


VALUES = {
    "corpus JSONL": list(readers.PASSAGES),
    "corpus SQuAD": [readers.SQUAD],
    "questions JSON": list(readers.JSON_FILES.values()),
    "queries": list(readers.QUERIES),
    "contexts": [[readers.DPR]],
    "records": [[json.loads(line) for line in readers.RECORDS.splitlines()]],
    "progress": [json.loads(readers.PROGRESS)],
    "result": [readers.RESULT],
    "answer": [],
}


@pytest.mark.parametrize("name", VALUES)
def test_json_of_other_shapes(name, folder, answer_seed):
    reader = READERS[name]

    @fuzz(f"JSON {name}", 2.0, text=json_like(*(VALUES[name] or [json.loads(answer_seed)])))
    def check(text):
        if name == "records":  # a list stands for the lines
            text = "".join(f"{line}\n" for line in text.removeprefix("[").removesuffix("]").split(", {"))
        attempt(folder, reader, reader.file, text.encode("utf-8", "replace"))

    check()


@pytest.mark.parametrize("name", READERS)
def test_nesting_and_numbers_beyond_reason(name, folder):
    reader = READERS[name]
    for text in (
        "[" * 200_000,
        '{"a":' * 50_000,
        "[" + "9" * 10_000 + "]",
        "[1e999]",
        "[NaN]",
        '["\\ud800"]',
        "\0" * 99,
    ):
        attempt(folder, reader, reader.file, text.encode())
        if name == "records":
            attempt(folder, reader, reader.file, readers.RECORDS + text.encode() + b"\n")


@pytest.mark.parametrize("name", READERS)
def test_a_line_of_ten_megabytes(name, folder):
    reader = READERS[name]
    line = b'{"id": "a", "question": "who?", "answer": "x", "text": "' + b"Text" * 2_500_000 + b'"}\n'
    assert len(line) > 10 * 10**6
    with harness.time_limit(60):
        attempt(folder, reader, reader.file, line)


@pytest.mark.parametrize("text", [text for text in TEXTS if text.strip()])
def test_hostile_texts_come_back_as_they_were_or_are_refused(text, folder):
    from retrievers import CorpusError, load_corpus

    record = {"id": text, "title": text, "text": text, "metadata": {text: text}}
    path = folder / "texts.jsonl"
    path.write_text(json.dumps(record) + "\n")
    try:
        try:
            text.encode()
        except UnicodeEncodeError:
            with pytest.raises(CorpusError, match="not valid Unicode"):
                list(load_corpus(path, passage_words=None))
            return
        (passage,) = load_corpus(path, passage_words=None)
        assert (passage.id, passage.title, passage.text, dict(passage.metadata)) == (text, text, text, {text: text})
    finally:
        path.unlink()
