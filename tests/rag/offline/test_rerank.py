"""`ragshap rerank` on runs, BEIR folders and DPR/FiD files: what comes out, what survives a kill, what is refused."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from rag import Reranker
from rag.cli import run
from rag.offline import ContextsTask, RunTask, rerank_file
from rag.offline.contexts import is_array, json_values
from rag.offline.writing import strictly_descending
from rag.readers.base import Notice
from rag.readers.loading import load_reader
from rag.rerank import Ranked, Reranking
from rag.settings import AttributionSettings, ReaderSettings, Settings
from rag.settings_base import SettingsError
from retrievers import BM25Retriever, CorpusError, Hit, Passage, load_corpus
from retrievers.corpora.trec import read_run, stream_run

HERE = Path(__file__).parents[3]
ISLANDS = HERE / "examples" / "islands"
FEW = ["--set", "attribution.budget=30", "--depth", "5", "--quiet"]


def by_length(question: str, hits: Sequence[Hit]) -> Reranking:
    """In the role of a reranker: longest passages first, equal ones in their order, the length as score."""
    order = sorted(hits, key=lambda hit: -len(hit.passage.text))
    ranked = tuple(Ranked(hit.passage, 1, float(len(hit.passage.text)), None) for hit in order)
    return Reranking("", ranked, 0, 0, (Notice("{:,} passages", (len(hits),)), Notice(f"it asks {question[-2:]}")))


PASSAGES = [Passage(f"p{n}", "x" * n) for n in (1, 5, 3, 3)]


def lines_of(path: Path) -> list[list[str]]:
    return [line.split() for line in path.read_text(encoding="utf-8").splitlines()]


def test_scores_fall_in_single_precision_and_stay_near():
    for scores in ([0.5, 0.5, 0.3, 0, 0, -0.2], [40.0] * 5, [1e-9, 0.0], []):
        found = np.array(strictly_descending(scores, 9), dtype=np.float32)
        assert (np.diff(found) < 0).all()
        assert found[: len(scores)] == pytest.approx(scores, abs=1e-4)


def test_a_run_is_reordered_and_keeps_what_is_below_the_depth(tmp_path):
    path = tmp_path / "in.trec"
    path.write_text("q1 Q0 p1 1 9 t\nq1 Q0 p3 3 7 t\nq1 Q0 p5 2 8 t\r\nq2 Q0 p3 1 1 t\n")
    task, said = RunTask.of_run(path, {"q1": "?", "q2": "?", "q3": "?"}, PASSAGES[:3], depth=2)
    assert said == [f"{path} has no passages for 1 of 3 questions; they are left out"]
    out = tmp_path / "out.trec"
    rerank_file(task, lambda: by_length, out, {})
    assert [(q, p, r) for q, _, p, r, *_ in lines_of(out)] == [
        ("q1", "p5", "1"), ("q1", "p1", "2"), ("q1", "p3", "3"), ("q2", "p3", "1")]  # fmt: skip
    assert read_run(out) == {"q1": ["p5", "p1", "p3"], "q2": ["p3"]}, "the scores say the same as the ranks"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.trec", "out.trec"]


def test_a_streamed_run_is_the_run(tmp_path):
    path = tmp_path / "in.trec"
    path.write_text("".join(f"q{q} Q0 d{d} 0 {d % 3} t\n" for q in range(5) for d in range(7)))
    assert dict(stream_run(path)) == read_run(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("q1 Q0 p1 1 9 t\nq2 Q0 p1 1 9 t\nq1 Q0 p3 1 8 t\n", "line 3: question 'q1' comes again"),
        ("q1 Q0 p1 1 9 t\nq1 Q0 p1 2 8 t\n", "line 2: passage 'p1' comes twice"),
        ("q1 Q0 p1 1 nan t\n", "line 1: expected a finite number, got 'nan'"),
        ("q1 p1 1 9\n", "line 1: expected 6 fields"),
        ("q1 p1 9.5\n", "line 1: the rank must be a whole number"),
        ("q1 p1 9\nq1 p3 8\n", "'q1' must hold ranks, different numbers from 1"),
        ("q1\tQ0\tp 1\t1\t9\tt\n", "the id 'p 1' holds white space, which no TREC run can"),
        ("\r\n", "the run is empty"),
        ("q9 Q0 p1 1 9 t\n", "question 'q9' is not in the queries"),
        ("q1 Q0 p1 1 9 t\rq1 Q0 lost 1 8 t\r", "passage 'lost' of question 'q1' is not in the corpus"),
    ],
)
def test_bad_runs_are_refused_before_anything_is_computed(tmp_path, text, message):
    path = tmp_path / "in.trec"
    path.write_text(text, newline="")
    with pytest.raises(CorpusError, match=message):
        RunTask.of_run(path, {"q1": "?", "q2": "?"}, PASSAGES, depth=5)


def entries(n: int = 4) -> list[dict]:
    contexts = [{"id": str(k), "title": "t", "text": "ü" * (1 + (7 * k) % 5), "score": f"{9 - k}"} for k in range(5)]
    return [{"question": f"where {q}?", "answers": ["é"], "ctxs": contexts, "more": {"kept": q}} for q in range(n)]


LAYOUTS = {
    "array": lambda values: json.dumps(values),
    "indented": lambda values: json.dumps(values, indent=2, ensure_ascii=False),
    "lines": lambda values: "\n".join(map(json.dumps, values)),
    "mixed line ends": lambda values: "\r\n".join(map(json.dumps, values[:2])) + "\r" + json.dumps(values[2]) + "\n\n"
    + json.dumps(values[3]),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("packed", [False, True])
def test_contexts_come_out_in_the_same_layout(tmp_path, layout, packed):
    values = entries()
    path = tmp_path / f"in.json{'.gz' * packed}"
    raw = LAYOUTS[layout](values).encode()
    path.write_bytes(gzip.compress(raw) if packed else raw)
    out = tmp_path / "out.json"
    rerank_file(ContextsTask(path, depth=4), lambda: by_length, out, {})
    written = out.read_text(encoding="utf-8")
    lines = layout not in ("array", "indented")
    found = [json.loads(line) for line in written.splitlines()] if lines else json.loads(written)
    assert len(found) == len(values)
    for before, after in zip(values, found, strict=True):
        assert [c["id"] for c in after["ctxs"]] == ["2", "1", "3", "0", "4"], "the first four by length, then the rest"
        assert {**after, "ctxs": None} == {**before, "ctxs": None}
        scores = [context["score"] for context in after["ctxs"]]
        assert scores == sorted(scores, reverse=True)
        original = {context["id"]: context for context in before["ctxs"]}
        assert all({**c, "score": None} == {**original[c["id"]], "score": None} for c in after["ctxs"])


def test_values_are_those_of_the_json_module_wherever_the_text_is_cut(tmp_path, monkeypatch):
    path = tmp_path / "in.json"
    values = [{"a": [1.5e-7, True, None, 'q"\\ü\n'], "b": {"c": "d" * 50}}, {}, {"e": ["", -3]}]
    for indent in (None, 3):
        path.write_text(f"\n {json.dumps(values, indent=indent)} \n", encoding="utf-8")
        for size in (*range(1, 40), 10_000):
            monkeypatch.setattr("rag.offline.contexts._CHUNK", size)
            assert [value for _, value in json_values(path, is_array(path))] == values


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"question": "a", "ctxs": []},\n {"question": }]', "line 2.* not valid JSON"),
        ('[{"question": "a", "ctxs": []}', "line 1: not valid JSON"),
        ('[{"question": "a", "ctxs": []}] x', "more follows after the array"),
        ('[{"question": "a", "ctxs": []} {}]', "expected ','"),
        ('{"question": "a", "ctxs": []}\n{"question"', "line 2: not valid JSON"),
        ('[{"question": "a", "ctxs": [{"text": "b", "score": NaN}]}]', "line 1: not valid JSON .NaN is no JSON number"),
        ('[{"question": " ", "ctxs": []}]', "entry 1: the question must be text"),
        ('[{"question": "a", "ctxs": []},\n {"question": "a"}]', "line 2, entry 2: not DPR/FiD JSON"),
        ('[{"question": "a", "ctxs": [{"title": "b"}]}]', "entry 1, context 1: not DPR/FiD JSON"),
        ("[]", "holds no question"),
        ("", "holds no question"),
    ],
)
def test_bad_contexts_name_the_place(tmp_path, text, message):
    path = tmp_path / "in.json"
    path.write_text(text)
    with pytest.raises(CorpusError, match=message):
        ContextsTask(path, depth=5)


def test_memory_does_not_grow_with_the_file(tmp_path):
    def peak(n: int) -> int:
        path = tmp_path / "in.json"
        with path.open("w") as file:
            file.write("[" + ",".join(json.dumps({**entries(1)[0], "pad": "x" * 50_000}) for _ in range(n)) + "]")
        tracemalloc.start()
        rerank_file(ContextsTask(path, depth=5), lambda: by_length, tmp_path / "out.json", {})
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert peak(400) < 1.2 * peak(100), "of 20 MB as of 5 MB"


class Stopped(Exception):  # noqa: N818
    pass


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_stopped_file_goes_on_where_it_was(tmp_path, at):
    path, out = tmp_path / "in.json", tmp_path / "out.json"
    path.write_text(json.dumps(entries()))
    told = rerank_file(ContextsTask(path, 4), lambda: by_length, tmp_path / "whole.json", {})
    assert told == ["in 4 of 4 questions: 16 passages", *(f"in 1 of 4 questions: it asks {n}?" for n in range(4))]
    asked: list[str] = []

    def stopping(question: str, hits: Sequence[Hit]) -> Reranking:
        if len(asked) == at:
            raise Stopped
        asked.append(question)
        return by_length(question, hits)

    with pytest.raises(Stopped):
        rerank_file(ContextsTask(path, 4), lambda: stopping, out, {"depth": 4})
    assert not out.exists()
    with (tmp_path / "out.json.partial").open("a") as file:
        file.write("torn")
    with pytest.raises(SettingsError, match="of a run with other depth; delete it"):
        rerank_file(ContextsTask(path, 4), lambda: by_length, out, {"depth": 3})
    again: list[str] = []
    resumed = lambda question, hits: again.append(question) or by_length(question, hits)  # noqa: E731
    assert rerank_file(ContextsTask(path, 4), lambda: resumed, out, {"depth": 4}) == told
    assert asked + again == [entry["question"] for entry in entries()]
    assert out.read_bytes() == (tmp_path / "whole.json").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.json", "out.json", "whole.json"]


def test_a_folder_is_refused_as_output_before_anything_is_done(tmp_path):
    class Untouched:
        total = 1

        def __iter__(self):
            raise AssertionError("a question was read")

    with pytest.raises(SettingsError, match="is a folder; give a file"):
        rerank_file(Untouched(), lambda: by_length, tmp_path, {})
    assert list(tmp_path.iterdir()) == []


def test_a_stop_after_the_last_step_is_done(tmp_path):
    path, out = tmp_path / "in.json", tmp_path / "out.json"
    path.write_text(json.dumps(entries()))
    out.write_text("whole")
    state = {"made_with": {}, "questions": 4, "bytes": 5}
    (tmp_path / "out.json.progress.json").write_text(json.dumps({**state, "told": {"{} passages": [2, 16]}}))
    assert rerank_file(ContextsTask(path, 4), lambda: by_length, out, {}) == ["in 2 of 4 questions: 16 passages"]
    assert out.read_text() == "whole"
    assert not (tmp_path / "out.json.progress.json").exists()


@pytest.mark.parametrize("told", [[], {"a": 3}, {"a": [-1]}, {"{} of {}": [1, 2]}, {"a": []}, None])
def test_a_damaged_state_is_named(tmp_path, told):
    path, out = tmp_path / "in.json", tmp_path / "out.json"
    path.write_text(json.dumps(entries()))
    (tmp_path / "out.json.progress.json").write_text(
        json.dumps({"made_with": {}, "questions": 1, "bytes": 5, "told": told})
    )
    with pytest.raises(ValueError, match="not the progress of a rerank; delete or move the file"):
        rerank_file(ContextsTask(path, 4), lambda: by_length, out, {})


@pytest.fixture(scope="module")
def theirs(tmp_path_factory) -> Path:
    """BM25's order of eight of the example questions, as a run."""
    folder = tmp_path_factory.mktemp("theirs")
    retriever = BM25Retriever(load_corpus(ISLANDS))
    with (folder / "in.trec").open("w") as file:
        for line in (ISLANDS / "queries.jsonl").read_text(encoding="utf-8").splitlines()[:8]:
            query = json.loads(line)
            for rank, hit in enumerate(retriever.search(query["text"], 7), start=1):
                file.write(f"{query['_id']} Q0 {hit.passage.id} {rank} {hit.score} bm25\n")
    return folder / "in.trec"


@pytest.mark.slow
def test_the_command_reorders_the_first_passages_of_each_question(theirs, tmp_path, capfd):
    out = tmp_path / "out.trec"
    assert run(["rerank", "--queries", str(ISLANDS), "--run", str(theirs), *FEW, "--out", str(out)]) == 0
    assert "8 questions reranked, the first 5 passages of each" in capfd.readouterr().out
    before, after = read_run(theirs), read_run(out)
    assert list(after) == list(before)
    for name, ids in after.items():
        assert sorted(ids[:5]) == sorted(before[name][:5])
        assert ids[5:] == before[name][5:]
    assert after != before
    check_against_the_library(theirs, out)


def check_against_the_library(theirs: Path, out: Path) -> None:
    """The first question's order and scores are those of `Reranker`."""
    passages = {passage.id: passage for passage in load_corpus(ISLANDS)}
    name, ids = next(iter(read_run(theirs).items()))
    queries = map(json.loads, (ISLANDS / "queries.jsonl").read_text(encoding="utf-8").splitlines())
    text = next(query["text"] for query in queries if query["_id"] == name)
    reranker = Reranker(load_reader(ReaderSettings()), Settings(attribution=AttributionSettings(budget=30)))
    hits = reranker.rerank(text, [Hit(passages[one], 0.0) for one in ids[:5]])
    mine = [line for line in lines_of(out) if line[0] == name][:5]
    assert [line[2] for line in mine] == [hit.passage.id for hit in hits]
    assert [float(line[4]) for line in mine] == pytest.approx([hit.score for hit in hits], abs=1e-5)


def test_a_beir_folder_without_run_is_searched(tmp_path, capfd):
    folder = tmp_path / "beir"
    folder.mkdir()
    corpus = [{"_id": f"d{n}", "text": f"The harbour of {place}."} for n, place in enumerate(["Rome", "Oslo", "Bonn"])]
    (folder / "corpus.jsonl").write_text("\r\n".join(map(json.dumps, corpus)), newline="")
    queries = [{"_id": "q1", "text": "harbour Oslo"}, {"_id": "q2", "text": "Bonn"}]
    (folder / "queries.jsonl").write_text("\r".join(map(json.dumps, queries)), newline="")
    out = tmp_path / "out.trec"
    declined = (
        "in 1 of 2 questions: the reader finds no answer in these passages, so they are ordered by relevance alone"
    )
    assert run(["rerank", "--queries", str(folder), "-o", str(out), "--json", *FEW]) == 0
    assert json.loads(capfd.readouterr().out) == {"out": str(out), "questions": 2, "depth": 5, "warnings": [declined]}
    ranked = read_run(out)
    assert set(ranked["q1"]) == {"d0", "d1", "d2"}
    assert ranked["q2"] == ["d2"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "give either a DPR/FiD file or --queries"),
        (["a.json", "--queries", "b"], 2, "give either a DPR/FiD file or --queries"),
        (["a.json", "--run", "b"], 2, "leave out --run, --index and --corpus"),
        (["a.json"], 1, "no such file: a.json"),
        (["--queries", "queries.jsonl", "--run", "in.trec"], 2, "give either an index (--index) or a corpus"),
        (["--queries", "queries.jsonl", "--run", "in.trec", "--corpus", "c.jsonl"], 1, "line 2: the question id 'q1'"),
        (["--queries", "missing.tsv", "--run", "in.trec"], 1, "missing.tsv"),
    ],
)
def test_wrong_use_is_one_clear_message(tmp_path, monkeypatch, capfd, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    if "c.jsonl" not in arguments:
        (tmp_path / "queries.jsonl").write_text('{"_id": "q1", "text": "a"}')
    else:
        (tmp_path / "queries.jsonl").write_text('{"_id": "q1", "text": "a"}\n{"_id": "q1", "text": "b"}')
    assert run(["rerank", *arguments, "--out", "out"]) == code
    said = " ".join(capfd.readouterr().err.replace("│", " ").split())
    assert message in said
    assert "Traceback" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["queries.jsonl"]
