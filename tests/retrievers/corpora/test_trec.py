"""TREC runs and qrels: order as trec_eval's, and broken lines named."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import pytest

from retrievers import CorpusError
from retrievers.corpora.trec import read_qrels, read_run


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def test_a_run_is_ordered_by_score_not_by_rank_and_line_ends_may_mix(tmp_path):
    text = "q1 Q0 a 1 0.5 me\r\nq1\tQ0  b\t2 7e-1 me\n\nq2 Q0 a 1 -3 me\rq1 Q0 c 3 0.5 me"
    assert read_run(write(tmp_path / "run.txt", text)) == {"q1": ["b", "c", "a"], "q2": ["a"]}


def test_ties_are_broken_as_trec_eval_breaks_them(tmp_path):
    ir_measures = pytest.importorskip("ir_measures")
    rng = random.Random(0)
    scored = [(f"d{number}", rng.choice([1.0, 2.0, 3.0])) for number in range(40)]
    lines = [f"q Q0 {passage} 0 {score} me" for passage, score in scored]
    order = read_run(write(tmp_path / "run.txt", "\n".join(lines)))["q"]
    run = [ir_measures.ScoredDoc("q", passage, score) for passage, score in scored]
    for passage, _ in scored:
        qrels = [ir_measures.Qrel("q", passage, 1)]
        rank = 1 / ir_measures.calc_aggregate([ir_measures.RR], qrels, run)[ir_measures.RR]
        assert order.index(passage) + 1 == round(rank)


def test_qrels_of_trec_and_beir_are_the_same(tmp_path):
    beir = write(tmp_path / "beir.tsv", "query-id\tcorpus-id\tscore\r\nq1\ta\t1\r\nq1\tb\t0\r\n")
    trec = tmp_path / "trec.txt.gz"
    trec.write_bytes(gzip.compress(b"q1 0 a 1\nq1 0 b 0\nq1 0 a 1\n"))
    assert read_qrels(beir) == read_qrels(trec) == {"q1": {"a": 1, "b": 0}}


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (read_run, "", "the run is empty"),
        (read_run, "q Q0 a 1 0.5 me\nq Q0 a 2", "line 2: expected 6 fields"),
        (read_run, "q Q0 a 1 0.5 me\n\r\nq Q0 a 2 0.4 me", "line 3: passage 'a' comes twice for question 'q'"),
        (read_run, "q Q0 a 1 nan me", "line 1: expected a finite number, got 'nan'"),
        (read_run, "q Q0 a 1 high me", "line 1: expected a finite number, got 'high'"),
        (read_qrels, "query-id\tcorpus-id\tscore\n", "nothing is judged"),
        (read_qrels, "q 0 a 1\nq a", "line 2: expected 'question 0 passage relevance'"),
        (read_qrels, "q 0 a 0.5", "line 1: the relevance must be a whole number"),
        (read_qrels, "q 0 a 1\nq 0 a 2", "line 2: passage 'a' is judged twice and differently"),
    ],
)
def test_broken_lines_are_named(tmp_path, read, text, message):
    path = write(tmp_path / "broken.txt", text)
    with pytest.raises(CorpusError, match=message) as error:
        read(path)
    assert str(path) in str(error.value)


def test_tabs_keep_ids_that_hold_spaces(tmp_path):
    beir = 'query-id\tcorpus-id\tscore\nq 1\tmy notes.txt\t1\nq 1\t"a ""b"".txt"\t2\n'
    assert read_qrels(write(tmp_path / "b.tsv", beir)) == {"q 1": {"my notes.txt": 1, 'a "b".txt': 2}}
    assert read_qrels(write(tmp_path / "t.txt", "q1\t0\tmy notes.txt\t1\n")) == {"q1": {"my notes.txt": 1}}
    assert read_qrels(write(tmp_path / "n.tsv", "q1\tmy notes.txt\t1\n")) == {"q1": {"my notes.txt": 1}}
    assert read_run(write(tmp_path / "r.txt", "q1\tQ0\tmy notes.txt\t1\t2\tt\n")) == {"q1": ["my notes.txt"]}
    with pytest.raises(CorpusError, match="got 7; ids that hold a space need tabs"):
        read_run(write(tmp_path / "r.txt", "q1 Q0 my notes.txt 1 2 t\n"))


def test_ms_marcos_three_columns_hold_ranks(tmp_path):
    assert read_run(write(tmp_path / "r.tsv", "1\tb\t2\n1\ta\t1\n1\tc\t10\n2\tx\t1\n")) == {
        "1": ["a", "b", "c"],
        "2": ["x"],
    }
    for text, message in [
        ("1\ta\t9\n1\tb\t8\n", "must hold ranks"),
        ("1\ta\t1\n1\tb\t1\n", "must hold ranks"),
        ("1\ta\t0.5\n", "line 1: the rank must be a whole number"),
        ("1\ta\t1\n1 Q0 b 2 1 t\n", "line 2: expected 3 fields as in the lines before"),
    ]:
        with pytest.raises(CorpusError, match=message):
            read_run(write(tmp_path / "r.tsv", text))
