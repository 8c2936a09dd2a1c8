"""Reading corpora: every layout, and what is said of broken ones."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from retrievers import CorpusError, load_corpus

LONG = " ".join(["Seven words are in this one sentence."] * 30)  # 210 words


def write_jsonl(path: Path, *records: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def test_beir_passages_are_never_cut(tmp_path: Path) -> None:
    record = {"_id": "4983", "title": "T", "text": LONG, "metadata": {"year": 1999}, "url": "u"}
    write_jsonl(tmp_path / "corpus.jsonl", record, {"_id": "5", "text": "short"})
    first, second = load_corpus(tmp_path)
    assert (first.id, first.title, first.text) == ("4983", "T", LONG)
    assert first.metadata == {"year": 1999, "url": "u"}
    assert (second.id, second.title) == ("5", "")


def test_a_beir_corpus_may_be_compressed_or_named_itself(tmp_path: Path) -> None:
    (tmp_path / "queries.jsonl").touch()
    with gzip.open(tmp_path / "corpus.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write(json.dumps({"_id": "a", "title": "T", "text": LONG}))
    assert [p.text for p in load_corpus(tmp_path)] == [LONG]
    assert list(load_corpus(tmp_path)) == list(load_corpus(tmp_path / "corpus.jsonl.gz"))


def test_json_lines_are_cut_and_their_fields_go_by_several_names(tmp_path: Path) -> None:
    path = write_jsonl(
        tmp_path / "docs.jsonl",
        {"id": 7, "contents": LONG, "title": None, "lang": "en"},
        {"_id": "x", "passage": "Kurz. Ünïcode."},
    )
    passages = list(load_corpus(path))
    assert [p.id for p in passages] == ["7#0", "7#1", "7#2", "x"]
    assert [len(p.text.split()) for p in passages] == [70, 70, 70, 2]
    assert passages[1].metadata["lang"] == "en"
    assert LONG[passages[1].metadata["start"] : passages[1].metadata["end"]] == passages[1].text
    assert [p.text for p in load_corpus(path, passage_words=None)] == [LONG, "Kurz. Ünïcode."]


def test_dpr_tables_quote_as_psgs_w100_does(tmp_path: Path) -> None:
    path = tmp_path / "psgs.tsv"
    path.write_text(
        'id\ttext\ttitle\n1\t"He said ""yes"" twice."\tAaron\n2\tplain\t"The ""A"" Team"\n', encoding="utf-8"
    )
    assert [(p.id, p.text, p.title) for p in load_corpus(path)] == [
        ("1", 'He said "yes" twice.', "Aaron"),
        ("2", "plain", 'The "A" Team'),
    ]


def test_squad_paragraphs_come_once_each(tmp_path: Path) -> None:
    paragraphs = [
        {"context": "One.", "qas": []},
        {"context": "Two.", "qas": []},
        {"context": "One.", "qas": []},
    ]
    articles = [{"title": "New_York", "paragraphs": paragraphs}, {"paragraphs": [{"context": "Three."}]}]
    path = tmp_path / "dev.json"
    path.write_text(json.dumps({"data": articles}), encoding="utf-8")
    assert [(p.id, p.title, p.text) for p in load_corpus(path)] == [
        ("dev/New_York/0", "New York", "One."),
        ("dev/New_York/1", "New York", "Two."),
        ("dev/0", "", "Three."),
    ]


def test_text_folders_are_read_in_order_without_hidden_files(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / "sub" / "a.md").write_bytes(b"\xef\xbb\xbfintro\r\n\r\n## The *title* ##\r\n\r\nBody.")
    (tmp_path / "b.txt").write_text("Plain # text.", encoding="utf-8")
    (tmp_path / ".git" / "c.txt").write_text("hidden", encoding="utf-8")
    (tmp_path / ".d.md").write_text("hidden", encoding="utf-8")
    (tmp_path / "e.pdf").write_bytes(b"\xff")
    plain, markdown = load_corpus(str(tmp_path))
    assert (plain.id, plain.title, plain.text) == ("b.txt", "b", "Plain # text.")
    assert (markdown.id, markdown.title) == ("sub/a.md", "The *title*")
    assert markdown.text == "intro\n\n## The *title* ##\n\nBody."
    assert [p.id for p in load_corpus(tmp_path / "b.txt")] == ["b.txt"]


def test_hugging_face_folders_and_parquet_files(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = {"text": ["One.", "Two."], "title": ["A", "B"], "score": [0.5, 1.0]}
    dataset = datasets.Dataset.from_dict(rows)
    dataset.save_to_disk(tmp_path / "saved")
    datasets.DatasetDict(train=dataset, test=dataset).save_to_disk(tmp_path / "split")
    (tmp_path / "parquet").mkdir()
    dataset.to_parquet(tmp_path / "parquet" / "part-0.parquet")
    expected = [("0", "One.", "A", 0.5), ("1", "Two.", "B", 1.0)]
    for source in ("saved", "split", "parquet", "parquet/part-0.parquet"):
        found = [(p.id, p.text, p.title, p.metadata["score"]) for p in load_corpus(tmp_path / source)]
        assert found == expected, source


@pytest.mark.parametrize(
    ("source", "call"),
    [
        ("hf:owner/name", ("owner/name", None, None)),
        ("hf:name:config", ("name", "config", None)),
        ("hf:name:config:validation", ("name", "config", "validation")),
        ("hf:name::test", ("name", None, "test")),
    ],
)
def test_hugging_face_names_are_loaded_streaming(
    source: str, call: tuple[str, str | None, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    calls = []

    def load_dataset(name: str, config: str | None, *, split: str | None, streaming: bool) -> Any:
        calls.append((name, config, split, streaming))
        rows = [{"id": "a", "text": "Some text."}]
        return rows if split else {"train": rows, "test": []}

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert [p.id for p in load_corpus(source)] == ["a"]
    assert calls == [(*call, True)]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.jsonl",
            '{"id": "a", "text": "t"}\n\n{"id": "x", "text": "  "}\n',
            "line 3, 'x': without text",
        ),
        (
            "a.jsonl",
            '{"id": "x", "body": "t"}',
            "line 1: passage 'x' has no text; expected a field named text",
        ),
        ("corpus.jsonl", '{"text": "t"}', "line 1: no id; expected a field named id or _id"),
        ("a.jsonl", '{"id": "", "text": "t"}', "line 1: the id must be a non-empty string"),
        ("a.jsonl", '{"id": "x", "text": 5}', "line 1: field 'text' must be a string, got int"),
        ("a.jsonl", '{"id": "x", "text": "\\ud800"}', "line 1, 'x': with a text that is not valid Unicode"),
        ("a.jsonl", '{"id": "a", "text": "t"}\n{"id": "a", "text": "u"}', "line 2: the id 'a' occurs twice"),
        (
            "a.jsonl",
            '{"id": "a", "text": "t"}\n{"id": ',
            r"line 2: not valid JSON \(Expecting value at column",
        ),
        ("a.jsonl", "[1]", "line 1: expected a JSON object, got list"),
        ("a.jsonl", b'{"id": "a", "text": "t"}\n\xff', r"line 2 \(byte 0xff at byte 0\): not valid UTF-8"),
        ("a.jsonl", "\n", "the corpus is empty"),
        ("a.jsonl.gz", gzip.compress(b'{"id": "a", "text": "t"}\n', mtime=0)[:-9], "damaged gzip file"),
        ("a.tsv", "1\ttext\ttitle\n", "line 1: expected the header id, text, title"),
        ("a.tsv", "id\ttext\ttitle\n1\tonly text\n", "line 2: expected 3 tab-separated fields, got 2"),
        ("a.tsv", "id\ttext\ttitle\n1\t\t\n", "line 2, '1': without text"),
        ("a.tsv", 'id\ttext\ttitle\n1\t"open\n', "line 2: expected 3 tab-separated fields, got 2"),
        ("a.csv", 'id,text\n1,"open\n2,"open\n', r"line 2: the row that begins here cannot be read .* mark left open"),
        ("a.csv", "1,Oslo,700000\n2,Bergen,290000\n", "line 1: expected the header id, .*'1' is no name"),
        ("a.json", '{"data": 1}', "not SQuAD JSON"),
        ("a.json", "[1]", "item 1: expected a JSON object, got int"),
        ("a.json", '{"id": 1}\n{"id": 2}', 'not valid JSON.*read with format="jsonl"'),
        (
            "a.json",
            '{"data": [{"paragraphs": [{"text": "t"}]}]}',
            "article 0, paragraph 0: not SQuAD JSON, expected an object",
        ),
        ("a.txt", b"ok\n\xe9t\xe9", "line 2: not valid UTF-8"),
        ("a.txt", " ", "a.txt: without text"),
        ("a.doc", "x", "cannot tell the layout from the suffix '.doc'"),
    ],
)
def test_broken_files_are_named_with_their_line(name: str, content: str | bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    (tmp_path / "queries.jsonl").touch()
    with pytest.raises(CorpusError, match=message) as caught:
        list(load_corpus(path, strict=True))
    assert path.name in str(caught.value)


def test_a_cut_document_must_not_take_the_id_of_another(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", {"id": "d", "text": LONG}, {"id": "d#1", "text": "t"})
    with pytest.raises(CorpusError, match="line 2: the id 'd#1' occurs twice"):
        list(load_corpus(path))
    write_jsonl(path, {"id": "d", "text": LONG}, {"id": "d", "text": "t"})
    with pytest.raises(CorpusError, match="line 2: the id 'd' occurs twice"):
        list(load_corpus(path))


def test_unknown_folders_say_what_was_seen(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="holds no files"):
        load_corpus(tmp_path)
    for name in ("a.doc", "b.doc", "c.png"):
        (tmp_path / name).touch()
    with pytest.raises(CorpusError, match=r"holds 2 \.doc, 1 \.png; known are a BEIR folder"):
        load_corpus(tmp_path)
    with pytest.raises(CorpusError, match="format='beir' cannot read this folder"):
        load_corpus(tmp_path, format="beir")


def test_wrong_arguments_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no such corpus file or folder: .*nowhere"):
        load_corpus(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="format must be 'auto' or one of"):
        load_corpus(tmp_path, format="csv")
    with pytest.raises(ValueError, match="passage_words must be at least 1"):
        load_corpus(tmp_path, passage_words=0)
    with pytest.raises(ValueError, match="which format='squad' does not read"):
        load_corpus("hf:name", format="squad")


def test_reading_is_streamed(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": "a", "text": "t"}\nbroken', encoding="utf-8")
    stream = load_corpus(path)
    assert next(stream).id == "a"
    with pytest.raises(CorpusError, match="line 2"):
        next(stream)
