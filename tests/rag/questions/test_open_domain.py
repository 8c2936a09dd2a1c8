"""Public question files without passages, in small files of the same layout."""

from __future__ import annotations

import gzip
import json

import pytest

from rag.questions import load_questions
from retrievers import CorpusError

POPQA = (
    "id\tsubj\tprop\tquestion\tpossible_answers\n"
    '4222362\tGeorge Rankin\toccupation\tWhat is his occupation?\t"[""politician"", ""political leader""]"\n'
    '41\tX\tcapital\tWhat is the capital of X?\t"[""Y""]"\n'
)


def read(tmp_path, name: str, text: str):
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return [(q.id, q.text, q.answers) for q in load_questions([path]).questions]


def test_nq_open(tmp_path):
    lines = [
        {"question": "who built it", "answer": ["Robert Stevenson", "Stevenson"]},
        {"question": "b", "answer": ["c"]},
    ]
    assert read(tmp_path, "NQ-open.dev.jsonl", "\n".join(map(json.dumps, lines))) == [
        ("NQ-open.dev/1", "who built it", ("Robert Stevenson", "Stevenson")),
        ("NQ-open.dev/2", "b", ("c",)),
    ]


def test_popqa(tmp_path):
    assert read(tmp_path, "test.tsv", POPQA) == [
        ("4222362", "What is his occupation?", ("politician", "political leader")),
        ("41", "What is the capital of X?", ("Y",)),
    ]


def test_dpr_question_table(tmp_path):
    text = "who built it\t['Robert Stevenson', \"it's R.\"]\r\nwhere is it\t['at sea']\n"
    assert read(tmp_path, "nq-test.qa.csv", text) == [
        ("nq-test.qa/1", "who built it", ("Robert Stevenson", "it's R.")),
        ("nq-test.qa/2", "where is it", ("at sea",)),
    ]


def test_topics(tmp_path):
    text = "3\tIs Creole a pidgin of French?\n4\tWhen was it?\n\n"
    assert read(tmp_path, "topics.miracl-v1.0-en-dev.tsv.gz", text) == [
        ("3", "Is Creole a pidgin of French?", ()),
        ("4", "When was it?", ()),
    ]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.tsv", "id\ttext\ttitle\n1\tx\ty\n", "line 1: cannot tell the layout of 3 columns"),
        ("a.tsv", "1\tx\n2\n", "line 2: expected 2 tab-separated columns, got 1"),
        ("a.csv", "who\t['x']\nwhere\tnone\n", "line 2: expected a list of answers, got 'none'"),
        ("a.tsv", POPQA + "7\tX\tcapital\tWhich?\n", "line 4: the header has 5 columns, this row 4"),
        (
            "a.jsonl",
            '{"question": "a", "answer": ["b"]}\n{"question": 5, "answer": ["b"]}',
            "line 2: not a question",
        ),
    ],
)
def test_broken_files_are_named(tmp_path, name, text, message):
    with pytest.raises(CorpusError, match=message):
        read(tmp_path, name, text)
