"""What a terminal gets to see: no escape sequence, no reordering, whatever was read or asked."""

from __future__ import annotations

import io
import json
import re

import pytest
from hypothesis import strategies as st
from rich.console import Console

from eval.tables import Table
from rag import Pipeline
from rag.cli.app import run
from rag.report import print_answer, print_hits
from rag.report.text import harmless
from retrievers import Hit, Passage

from ..rag.conftest import ScriptedReader
from .harness import fuzz
from .hostile import TEXTS, texts

ACTS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202eevil\r\x08"


@fuzz("terminal", 3.0, title=texts, text=texts, question=texts)
def test_views_for_the_terminal(title, text, question):
    passages = [Passage(f"a{title}", f"{text} Rome", title), Passage("b", f"Paris {text}", title)]
    answer = Pipeline(None, ScriptedReader()).explain(f"where {question}", passages)
    shown = io.StringIO()
    console = Console(file=shown, width=90, color_system=None)
    print_answer(answer, console)
    print_hits([Hit(passage, 1.0) for passage in passages], console)
    assert not ACTS.search(shown.getvalue())
    shown.getvalue().encode()


@fuzz("tables", 2.0, cells=st.lists(texts, min_size=3, max_size=3), markdown=st.booleans())
def test_tables(cells, markdown):
    import contextlib

    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        Table(["system", cells[0], "n"], [cells, cells], cells[1], cells[2]).print(markdown)
    assert not ACTS.search(shown.getvalue())


@pytest.mark.parametrize("text", [EVIL, *TEXTS])
def test_errors_that_repeat_what_was_read(text, tmp_path, capsys):
    name = "".join(c for c in text if c not in "/\0\ud800\udcff")[:50].strip() or "x"
    folder = tmp_path / f"f{name}"
    folder.mkdir()
    path = folder / "corpus.jsonl"
    path.write_text(json.dumps({"id": text, "text": 7, text: 1}) + "\n")
    assert run(["search", "x", "--corpus", str(path), "--quiet"]) == 1
    path.write_text(json.dumps({text: 1}) + "\n")
    assert run(["search", "x", "--corpus", str(path), "--quiet"]) == 1
    assert run(["search", "x", "--corpus", "x", "--set", f"reader.{name}={name}", "--quiet"]) in (1, 2)
    said = capsys.readouterr().err
    assert said.startswith("ragshap: ")
    assert not ACTS.search(said)
    assert "Traceback" not in said


def test_an_error_is_cut_where_it_repeats_too_much(tmp_path, capsys):
    path = tmp_path / "corpus.jsonl"
    path.write_text(json.dumps({"id": ["x" * 10**6], "text": "a"}) + "\n")
    assert run(["search", "x", "--corpus", str(path), "--quiet"]) == 1
    assert len(capsys.readouterr().err) < 2100


def test_json_output_spells_control_characters_out(tmp_path, capfdbinary):
    path = tmp_path / "corpus.jsonl"
    path.write_text(json.dumps({"id": "a", "text": f"rome {EVIL}", "title": EVIL}) + "\n")
    assert run(["search", "rome", "--corpus", str(path), "--json", "--quiet"]) == 0
    shown = capfdbinary.readouterr().out.decode()
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", shown)
    assert json.loads(shown)["passages"][0]["title"] == EVIL


def test_harmless_text_stays():
    for text in ("Suðuroy – שלום العربية 日本語 e\u0301 👩\u200d🔬", "two\nlines\tand a tab"):
        assert harmless(text) == text
