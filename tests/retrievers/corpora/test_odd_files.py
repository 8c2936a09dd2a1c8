"""Files as people have them: what is read of them, and what is said of the rest."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from pathlib import Path

import pytest

from retrievers import CorpusError, CorpusWarning, load_corpus


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(source: Path, **options) -> tuple[dict[str, str], dict[str, str]]:
    """Texts by id, and reasons by what was left out."""
    corpus = load_corpus(source, **options)
    texts = {passage.id: passage.text for passage in corpus.passages}
    return texts, {item.where: item.reason for item in corpus.skipped}


# Nothing odd keeps the rest out


def test_a_folder_keeps_what_can_be_read_and_names_the_rest(tmp_path: Path) -> None:
    for name, content in {
        "a.txt": "Fees are 40 crowns.",
        "todo.md": "",
        "sub/menu.txt": b"caf\xe9",
        "binary.txt": b"a\0b",
        "x.doc": "?",
        "y.rst": "Title\n=====\n\nSome text.\n",
        "z.markdown": "# Zed\n\nText.",
        ".git/config": "x",
        "node_modules/m/readme.md": "x",
    }.items():
        write(tmp_path / name, content)
    os.symlink(tmp_path / "sub", tmp_path / "again")
    texts, left_out = read(tmp_path)
    assert texts.keys() == {"a.txt", "y.rst", "z.markdown"}
    assert left_out == {
        "todo.md": "without text",
        "sub/menu.txt": "line 1: not valid UTF-8 (byte 0xe9)",
        "binary.txt": "not valid utf-8 text (it holds zero bytes)",
        "x.doc": "of the type .doc, which is not read here",
        ".git": "hidden",
        "node_modules": "hidden",
        "again": "a link to a folder, which is not followed",
    }
    with pytest.warns(CorpusWarning, match=r"2 hidden \(.*--encoding names another encoding") as caught:
        assert len(list(load_corpus(tmp_path))) == 3
    assert len(caught) == 1
    with pytest.raises(CorpusError, match=r"menu\.txt, line 1: not valid UTF-8"):
        list(load_corpus(tmp_path, strict=True, exclude=["binary.txt"]))
    texts, left_out = read(tmp_path, encoding="cp1252")
    assert texts["sub/menu.txt"] == "café"


def test_nothing_but_what_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", "")
    write(tmp_path / "b.md", b"\xff\x00\xff")
    with pytest.raises(CorpusError, match=r"nothing of it can be indexed: left out .*a.txt \(without text\)"):
        list(load_corpus(tmp_path))


def test_records_without_text_or_in_another_encoding_are_left_out_alone(tmp_path: Path) -> None:
    lines = [b'{"_id": "1", "text": "one"}', b'{"_id": "2", "text": "", "title": ""}', b'{"_id": "3", "text": "\xe9"}']
    lines += [b'{"_id": "4", "text": " ", "title": "Only a title"}', b'{"_id": "5", "text": "\\ud800"}']
    path = write(tmp_path / "corpus.jsonl", b"\n".join(lines))
    texts, left_out = read(tmp_path)
    assert texts == {"1": "one", "4": "Only a title"}
    assert left_out == {
        f"{path}, line 2, '2'": "without text",
        f"{path}, line 3 (byte 0xe9 at byte 22)": "not valid UTF-8",
        f"{path}, line 5, '5'": "with a text that is not valid Unicode (lone surrogate at character 0)",
    }
    (passage,) = (p for p in load_corpus(tmp_path, encoding="latin-1") if p.id == "3")
    assert passage.text == "é"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-32"])
@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.csv", "a.tsv", "a.json"])
def test_a_byte_order_mark_tells_the_encoding(name: str, encoding: str, tmp_path: Path) -> None:
    content = {
        "a.txt": "Ærø\r\nlies south.",
        "a.jsonl": '{"id": "1", "text": "Ærø\\nlies south."}\r\n\r\n',
        "a.csv": 'id,text\r\n1,"Ærø\nlies south."\r\n',
        "a.tsv": 'id\ttext\ttitle\r\n1\t"Ærø\nlies south."\tT\r\n',
        "a.json": '[{"id": 1, "text": "Ærø\\nlies south."}]',
    }[name]
    path = write(tmp_path / name, content.encode(encoding))
    assert list(read(path)[0].values()) == ["Ærø\nlies south."]


@pytest.mark.parametrize("encoding", ["klingon", "hex", "rot13", "zlib", "", "a\0b"])
def test_unknown_encodings_are_refused(encoding: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"unknown encoding {encoding!r}".replace("\\", "\\\\")):
        load_corpus(write(tmp_path / "a.txt", "x"), encoding=encoding)


@pytest.mark.parametrize("encoding", ["utf16", "UnicodeLittleUnmarked", "utf-16-be", "U32"])
def test_an_encoding_goes_by_any_of_its_names(encoding: str, tmp_path: Path) -> None:
    lines = '{"id": "1", "text": "Ærø"}\n{"id": "2", "text": "Ċ"}\n'  # Ċ is 0x010a, which holds the byte of an end
    assert read(write(tmp_path / "a.jsonl", lines.encode(encoding)), encoding=encoding)[0] == {"1": "Ærø", "2": "Ċ"}


# Tables


def test_an_unbalanced_quotation_mark_swallows_no_row(tmp_path: Path) -> None:
    path = tmp_path / "psgs.tsv"
    rows = ['1\t"Open at the start\tA', "2\tplain\tB", '3\t"" twice\tC', '4\tlast\t"Open', "5\tend\tE"]
    write(path, "\n".join(["id\ttext\ttitle", *rows]))
    assert read(path)[0] == {
        "1": '"Open at the start', "2": "plain", "3": '"" twice', "4": "last", "5": "end",
    }  # fmt: skip


def test_quoted_fields_hold_tabs_and_ends_of_lines(tmp_path: Path) -> None:
    rows = [("1", "tab\there", "A"), ("2", 'line\nand "quote"', "B"), ("3", "x", "two\n\nlines"), ("4", "y", "")]
    path = tmp_path / "psgs.tsv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t")
        writer.writerows([("id", "text", "title"), *rows])
    assert [(p.id, p.text, p.title) for p in load_corpus(path)] == rows


def test_fields_have_any_length_and_the_process_keeps_its_limit(tmp_path: Path) -> None:
    long = "word " * 40_000
    before = csv.field_size_limit()
    for name, separator in (("a.tsv", "\t"), ("a.csv", ",")):
        path = write(tmp_path / name, separator.join(["id", "text", "title"]) + f'\n1{separator}"{long}"{separator}T\n')
        assert [p.text for p in load_corpus(path, passage_words=None)] == [long]
    assert csv.field_size_limit() == before


def test_ms_marco_passages_need_no_header(tmp_path: Path) -> None:
    path = write(tmp_path / "collection.tsv", '0\tThe "A" Team.\n1\t"Quoted" at first.\n')
    assert read(path)[0] == {"0": 'The "A" Team.', "1": '"Quoted" at first.'}


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_a_table_without_a_text_column_is_read_row_by_row(separator: str, tmp_path: Path) -> None:
    rows = [["city", "2020", ""], ["Oslo", "700", "x"], ["", "", ""], ["Bergen", "", ""]]
    path = write(tmp_path / ("t.tsv" if separator == "\t" else "t.csv"), "\n".join(map(separator.join, rows)))
    first, second = load_corpus(path)
    assert (first.id, first.text, first.metadata["row"]) == (f"{path.name}:1", "city: Oslo\n2020: 700\ncolumn 3: x", 1)
    assert (second.id, second.text, second.metadata["row"]) == (f"{path.name}:3", "city: Bergen", 3)


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_a_table_of_one_column_has_texts_with_commas_and_ends_of_lines(name: str, tmp_path: Path) -> None:
    texts = ["First line\nsecond line", 'Hello, "world"', "plain"]
    written = io.StringIO()
    csv.writer(written).writerows([["text"], *([text] for text in texts)])
    content = f"{written.getvalue()}Not quoted, as it should be\n".encode()
    path = write(tmp_path / name, gzip.compress(content) if name.endswith(".gz") else content)
    assert list(read(path)[0].values()) == [*texts, "Not quoted, as it should be"]


def test_separators_in_a_quoted_name_are_not_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", '"Name, first, ""and"" last";text\n"Li, Bo";One.\n')
    (passage,) = load_corpus(path)
    assert (passage.text, passage.metadata['Name, first, "and" last']) == ("One.", "Li, Bo")


def test_a_table_without_a_text_column_has_ids_and_titles_as_others_have(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "id,name,price\nx1,Boat,5\nx2,Oar,1\n")
    assert read(path)[0] == {"x1": "id: x1\nname: Boat\nprice: 5", "x2": "id: x2\nname: Oar\nprice: 1"}
    assert [(p.id, p.title) for p in load_corpus(path, id_field="name", title_field="price")] == [
        ("Boat", "5"), ("Oar", "1"),
    ]  # fmt: skip
    with pytest.raises(CorpusError, match=r"line 2: no id; expected a field named nmae, got \['id', 'name', 'price'\]"):
        list(load_corpus(path, id_field="nmae"))
    with pytest.raises(CorpusError, match=r"line 2: no field 'nmae' for the title"):
        list(load_corpus(path, title_field="nmae"))
    with pytest.raises(CorpusError, match=r"line 2: the id must be a non-empty string or a whole number, got ''"):
        list(load_corpus(write(tmp_path / "b.csv", "id,name\n,Boat\n")))


# Names of fields, ids and JSON


def test_fields_go_by_the_names_that_are_given(tmp_path: Path) -> None:
    row = {"key": "k", "body": "The text.", "headline": "H", "text": "other"}
    names = {"id_field": "key", "text_field": "body", "title_field": "headline"}
    write(tmp_path / "a.jsonl", json.dumps(row))
    write(tmp_path / "a.json", json.dumps([row]))
    write(tmp_path / "a.csv", ",".join(row) + "\n" + ",".join(row.values()))
    write(tmp_path / "a.tsv", "\t".join(row) + "\n" + "\t".join(row.values()))
    for name in ("a.jsonl", "a.json", "a.csv", "a.tsv"):
        (passage,) = load_corpus(tmp_path / name, **names)
        assert (passage.id, passage.text, passage.title) == ("k", "The text.", "H"), name
        assert passage.metadata["text"] == "other"
        with pytest.raises(CorpusError, match="expected a field named nowhere"):
            list(load_corpus(tmp_path / name, text_field="nowhere"))


def test_rows_without_an_id_are_named_by_file_and_row(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", '{"text": "one"}\n\n{"text": "two"}\n')
    write(tmp_path / "b.jsonl.gz", gzip.compress(b'{"text": "three"}'))
    assert read(tmp_path / "a.jsonl")[0] == {"a.jsonl:1": "one", "a.jsonl:3": "two"}
    assert read(tmp_path)[0] == {"a.jsonl:1": "one", "a.jsonl:3": "two", "b.jsonl.gz:1": "three"}
    path = write(tmp_path / "c.json.gz", gzip.compress(b' [{"text": "one"}, {"id": 9, "text": "two"}]'))
    assert read(path)[0] == {"c.json.gz:1": "one", "9": "two"}


def test_fields_that_a_passage_needs_itself_are_kept_beside(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"id": "1", "text": "one", "source": "wiki", "start": 5, "lang": "en"}')
    (passage,) = load_corpus(path)
    assert passage.metadata == {
        "lang": "en", "original": {"source": "wiki", "start": 5}, "source": "1", "start": 0, "end": 3,
    }  # fmt: skip


# Folders


def test_several_layouts_in_a_folder_are_asked_for(tmp_path: Path) -> None:
    write(tmp_path / "README.md", "About.")
    write(tmp_path / "sub" / "a.jsonl", '{"id": "1", "text": "one"}')
    with pytest.raises(CorpusError, match=r"1 of documents and 1 of JSON Lines; .*--format folder or --format jsonl"):
        load_corpus(tmp_path)
    texts, left_out = read(tmp_path, format="jsonl")
    assert (texts, left_out) == ({"1": "one"}, {"README.md": "of the type .md, which is not read here"})
    assert read(tmp_path, format="folder")[0] == {"README.md": "About."}
    assert read(tmp_path, include=["*.md"])[0] == {"README.md": "About."}
    assert read(tmp_path, exclude=["sub"]) == ({"README.md": "About."}, {"sub/a.jsonl": "by --include or --exclude"})


def test_patterns_choose_files_by_name_folder_and_path(tmp_path: Path) -> None:
    for name in ("a.txt", "a.md", "drafts/b.txt", "x/drafts/c.txt", "x/y/d.txt"):
        write(tmp_path / name, name)
    for options, expected in [
        ({"include": ["*.txt"]}, {"a.txt", "drafts/b.txt", "x/drafts/c.txt", "x/y/d.txt"}),
        ({"exclude": ["drafts/"]}, {"a.txt", "a.md", "x/y/d.txt"}),
        ({"include": ["x/*"], "exclude": ["d.*"]}, {"x/drafts/c.txt"}),
    ]:
        assert read(tmp_path, **options)[0].keys() == expected


def test_beir_folders_say_what_else_they_hold(tmp_path: Path) -> None:
    write(tmp_path / "corpus.jsonl.gz", gzip.compress(b'{"_id": "1", "text": "one"}'))
    for name in ("queries.jsonl.gz", "qrels/test.tsv", "README.md", "LICENSE"):
        write(tmp_path / name, "")
    assert read(tmp_path) == ({"1": "one"}, {})
    write(tmp_path / "notes.txt", "A note.")
    assert read(tmp_path)[1] == {"notes.txt": "beside a BEIR corpus; index them by themselves"}
    long = json.dumps({"_id": "1", "text": "A sentence of six words stands. " * 40})
    (tmp_path / "corpus.jsonl.gz").write_bytes(gzip.compress(long.encode()))
    assert len(list(load_corpus(tmp_path / "corpus.jsonl.gz"))) == 1, "the file by itself is BEIR's too"


def test_a_file_called_state_makes_no_saved_data_set(tmp_path: Path) -> None:
    write(tmp_path / "state.json", "{}")
    write(tmp_path / "notes.md", "A note.")
    assert read(tmp_path) == ({"notes.md": "A note."}, {"state.json": "of the type .json, which is not read here"})


# Markdown


def test_front_matter_gives_title_and_metadata(tmp_path: Path) -> None:
    text = "---\ntitle: Fees\ntags: [a, b]\ndate: 2024-03-01\nsource: http://x\n---\n# Heading\n\nForty crowns.\n"
    (passage,) = load_corpus(write(tmp_path / "a.md", text))
    assert (passage.title, passage.text) == ("Fees", "# Heading\n\nForty crowns.")
    assert passage.metadata["tags"] == ["a", "b"]
    assert passage.metadata["date"] == "2024-03-01"
    assert passage.metadata["heading"] == "Heading"
    assert passage.metadata["original"] == {"source": "http://x"}
    (passage,) = load_corpus(write(tmp_path / "a.md", "---\ntitle: Alone\n---\n"))
    assert passage.text == "Alone"


@pytest.mark.parametrize(
    "front",
    [
        "---\n- a list\n---\n",
        "---\na: [\n---\n",
        "---\nno end: yes\n",
        "---\na: &a [x, x]\nb: [*a, *a]\n---\n",
        "---\na: .nan\n---\n",
    ],
)
def test_what_is_no_front_matter_stays_in_the_text(front: str, tmp_path: Path) -> None:
    (passage,) = load_corpus(write(tmp_path / "a.md", f"{front}# T\n\nText."))
    assert (passage.title, passage.text) == ("T", f"{front}# T\n\nText.")


def test_a_comment_in_a_code_fence_is_no_heading(tmp_path: Path) -> None:
    text = "```sh\n# install\nmake\n```\n\n~~~~\n# no\n~~~\n# neither\n~~~~\n\n## Use\n\nText.\n"
    (passage,) = load_corpus(write(tmp_path / "a.md", text))
    assert (passage.title, passage.text) == ("Use", text.strip())


def test_passages_know_the_heading_that_they_stand_under(tmp_path: Path) -> None:
    filler = "Seven words are in this one sentence. " * 14
    passages = list(load_corpus(write(tmp_path / "a.md", f"# One\n\n{filler}\n\n# Two\n\n{filler}")))
    assert [p.metadata["heading"] for p in passages] == ["One", "Two"]
