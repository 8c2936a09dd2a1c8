"""TREC topics in both spellings, and tables with their headers and quotation marks."""

from __future__ import annotations

import pytest

from rag.questions import load_questions
from retrievers import CorpusError

SGML = """
<top>
<num> Number: 301
<title> Topic: International Organized Crime &amp; AT&T, x < 5

<desc> Description:
Identify organizations.

<narr> Narrative:
A relevant document names them.
</top>

<top>
<num> Number: 302 </num>
<title> Poliomyelitis </title>
</top>
"""
XML = """<?xml version="1.0" encoding="UTF-8"?>
<topics task="COVIDSearch">
  <topic number="1"><query>coronavirus origin</query><question>what is its origin</question></topic>
  <topic number="2"><query>weather &amp; virus</query></topic>
</topics>"""
CLINICAL = '<topics><topic number="7">A man of 45\nwith pain.</topic></topics>'


def load(tmp_path, name: str, text: str):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return load_questions([path])


def brief(data):
    return [(q.id, q.text, q.answers) for q in data.questions]


@pytest.mark.parametrize("name", ["topics.301-450.txt", "topics.sgml"])
def test_sgml(tmp_path, name):
    data = load(tmp_path, name, SGML)
    texts = [("301", "International Organized Crime & AT&T, x < 5", ()), ("302", "Poliomyelitis", ())]
    assert brief(data) == texts
    assert data.questions[0].metadata["description"] == "Identify organizations."
    (note,) = data.notes
    assert "SGML topics; the question is the title, and not searched are description, narrative" in note


def test_xml(tmp_path):
    data = load(tmp_path, "topics.xml", XML)
    assert brief(data) == [("1", "coronavirus origin", ()), ("2", "weather & virus", ())]
    assert "XML topics; the question is the query, and not searched are question" in data.notes[0]
    assert brief(load(tmp_path, "ct.xml", CLINICAL)) == [("7", "A man of 45 with pain.", ())]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.sgml", "<top>\n<title> a\n</top>", "a.sgml, line 1: SGML topics, of which this one has no number"),
        ("a.txt", SGML + "<top>\n<num> 303\n</top>", "line 17: SGML topics, of which this one has no title"),
        ("a.xml", XML[:-12], "a.xml, line 4: XML that is broken"),
        ("a.xml", '<topics><topic number="1"><gene>a</gene></topic></topics>', "XML topics, of which this one has no"),
        ("a.xml", "<html></html>", "XML topics, of which there are none"),
        ("a.txt", "q1 Q0 p1 1 9 t\n", "a TREC run, which goes to --run"),
        ("a.txt", "q1 0 p1 1\n", "TREC judgements, which go to --qrels"),
        ("a.txt", "Which?\n", "neither JSON, SGML, XML nor tab-separated"),
    ],
)
def test_errors_name_the_layout_that_was_found(tmp_path, name, text, message):
    with pytest.raises(CorpusError, match=message):
        load(tmp_path, name, text)


@pytest.mark.parametrize(
    ("name", "text", "questions"),
    [
        ("t.tsv", "query_id\tquery\n1\tWhere?\n", [("1", "Where?", ())]),
        ("t.tsv", "qid\ttext\n1\tWhere?\n", [("1", "Where?", ())]),
        ("t.csv", 'question,answer\n"Where, now?",Oslo\n', [("t/1", "Where, now?", ("Oslo",))]),
        ("t.csv", "question\tanswers\nWhere?\t['Oslo']\n", [("t/1", "Where?", ("Oslo",))]),
        ("topics.dl19.txt", '1\tWhere?\n2\tWho "is\n', [("1", "Where?", ()), ("2", 'Who "is', ())]),
        (
            "nq-test.qa.csv",
            '"say ""hi"" to"\t"[""it\'s"", \'b\']"\n"who is he\t[\'x\']\n',
            [("nq-test.qa/1", 'say "hi" to', ("it's", "b")), ("nq-test.qa/2", '"who is he', ("x",))],
        ),
    ],
)
def test_tables(tmp_path, name, text, questions):
    assert brief(load(tmp_path, name, text)) == questions


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.csv", 'question,answer\n"Where?,Oslo\nWho?,He\n', "is a quotation mark left open"),
        ("t.tsv", "1\tWhere?\n2\t['x']\n", "line 1: expected a list of answers, got 'Where"),
        ("t.tsv", "1\t7\t1\n", "line 1: cannot tell the layout of 3 columns"),
    ],
)
def test_broken_tables_are_named(tmp_path, name, text, message):
    with pytest.raises(CorpusError, match=message):
        load(tmp_path, name, text)
