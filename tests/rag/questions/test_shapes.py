"""Accepted answers in every published shape, in small files of the real layouts; what has another type is refused."""

from __future__ import annotations

import gzip
import json

import pytest

from rag.questions import load_questions
from rag.questions.fields import accepted_answers
from retrievers import CorpusError

TRIVIA = {
    "value": "Oslo",
    "aliases": ["Christiania", "Oslo"],
    "normalized_value": "oslo",
    "normalized_aliases": ["christiania", "oslo"],
    "matched_wiki_entity_name": "",
    "type": "WikipediaEntity",
}


@pytest.mark.parametrize(
    ("value", "answers"),
    [
        ("Oslo", ("Oslo",)),
        (["Oslo", "Oslo", " ", "Christiania"], ("Oslo", "Christiania")),
        ("['Oslo', \"it's\"]", ("Oslo", "it's")),
        ('["Oslo"]', ("Oslo",)),
        ("[redacted]", ("[redacted]",)),
        ("[1, 2]", ("[1, 2]",)),
        (None, ()),
        ([], ()),
        ([None, "Oslo"], ("Oslo",)),
        ({"text": ["Oslo", "Christiania"], "answer_start": [3, 9]}, ("Oslo", "Christiania")),
        ({"text": [], "answer_start": []}, ()),
        ([{"text": "Oslo", "answer_start": 3}], ("Oslo",)),
        (TRIVIA, ("Oslo", "Christiania")),
        ([{"spans": ["Oslo"], "number": "", "date": {}}], ("Oslo",)),
        ([{"answer": "Oslo", "provenance": [{"title": "Oslo"}]}, {"provenance": []}], ("Oslo",)),
    ],
)
def test_known_shapes(value, answers):
    assert accepted_answers(value, "here") == answers


@pytest.mark.parametrize(
    "value",
    [
        5,
        1.5,
        True,
        [1],
        [["Oslo"]],
        {},
        {"answer_start": [3]},
        {"text": 5},
        {"key": "Oslo"},
        [{"a": "b"}],
        ["a", False],
    ],
)
def test_other_types_are_refused_and_not_spelled(value):
    with pytest.raises(CorpusError, match=r"^q\.json, line 3: accepted answers must be a string, .*; got "):
        accepted_answers(value, "q.json, line 3")


def test_numpys_lists_are_refused_because_python_would_join_them():
    with pytest.raises(CorpusError, match="commas are missing"):
        accepted_answers("['a'\n 'b']", "here")


def read(tmp_path, *values, name="q.jsonl"):
    path = tmp_path / name
    raw = "\n".join(map(json.dumps, values)).encode()
    path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return load_questions([path])


def brief(data):
    return [(q.id, q.text, q.answers) for q in data.questions]


def test_triviaqa(tmp_path):
    entry = {"question": "Where?", "question_id": "tc_1", "question_source": "x", "answer": TRIVIA}
    data = read(tmp_path, entry)
    assert brief(data) == [("tc_1", "Where?", ("Oslo", "Christiania"))]
    assert data.questions[0].metadata == {"question_source": "x"}
    assert not data.notes
    assert "entity_pages are not read" in read(tmp_path, {**entry, "entity_pages": {"title": ["Oslo"]}}).notes[0]


def test_flashrag(tmp_path):
    data = read(tmp_path, {"id": "test_0", "question": "Where?", "golden_answers": ["Oslo"], "metadata": {"level": 1}})
    assert brief(data) == [("test_0", "Where?", ("Oslo",))]
    assert data.questions[0].metadata == {"level": 1}
    with pytest.raises(CorpusError, match=r"q.jsonl, line 1: accepted answers must be .* got 2"):
        read(tmp_path, {"id": "mmlu", "question": "Where?", "golden_answers": [2], "choices": ["a", "b", "c"]})


def test_kilt(tmp_path):
    output = [{"answer": "Oslo"}, {"answer": "Oslo", "meta": {"score": 1}}, {"provenance": [{"wikipedia_id": "1"}]}]
    data = read(tmp_path, {"id": "k1", "input": "Where?", "output": output, "meta": {}}, {"id": "k2", "input": "Who?"})
    assert brief(data) == [("k1", "Where?", ("Oslo",)), ("k2", "Who?", ())]
    assert [q.answers_given for q in data.questions] == [True, False]
    with pytest.raises(CorpusError, match="cannot tell the layout"):
        read(tmp_path, {"instruction": "Sum up.", "input": "text", "output": "shorter", "id": "1"})


def test_rows_of_squad_from_the_hub(tmp_path):
    context = "The harbour of Oslo is old. It was built by Person Oslo."
    row = {"id": "s1", "title": "Oslo_harbour", "context": context, "question": "Who built it?"}
    answers = {"text": ["Person Oslo"], "answer_start": [context.index("Person")]}
    data = read(tmp_path, {**row, "answers": answers}, {**row, "id": "s2", "answers": {"text": [], "answer_start": []}})
    assert [(p.title, p.text) for p in data.passages] == [("Oslo harbour", context)]
    first, second = data.questions
    assert (first.answers, first.gold, data.answer(first)) == (("Person Oslo",), (0,), "Person Oslo")
    assert (second.answers, second.gold, second.answers_given) == ((), (), True)
    data = read(tmp_path, {**row, "answers": "Person Oslo"})
    assert data.answer(data.questions[0]) == "Person Oslo"
    with pytest.raises(CorpusError, match="line 1: accepted answers must be"):
        read(tmp_path, {**row, "answers": {"answer_start": [1]}})


def test_squad_files_refuse_what_is_no_answer_and_take_null(tmp_path):
    def squad(answers):
        qas = [{"id": "q", "question": "Where?", "answers": answers}]
        return {"data": [{"title": "T", "paragraphs": [{"context": "In Oslo.", "qas": qas}]}]}

    assert read(tmp_path, squad(None), name="q.json").questions[0].answers == ()
    assert read(tmp_path, squad({"text": ["Oslo"], "answer_start": [3]}), name="q.json").questions[0].gold == (0,)
    with pytest.raises(CorpusError, match="article 0, paragraph 0, question 'q': accepted answers must be"):
        read(tmp_path, squad([7]), name="q.json")


CTX = [{"title": "Oslo", "text": "It is in Oslo.", "id": "7"}]
PARAGRAPHS = [{"title": "Oslo", "paragraph_text": "It is in Oslo.", "is_supporting": True}]


WHERE = {"id": "x", "question": "Where?"}
FID, MUSIQUE = {**WHERE, "ctxs": CTX}, {**WHERE, "answer": "X", "paragraphs": PARAGRAPHS}
HOTPOTQA = {**WHERE, "supporting_facts": [["O", 0]], "context": [["O", ["Oslo"]]]}


@pytest.mark.parametrize(
    ("entry", "answers"),
    [
        ({**FID, "answers": "Oslo"}, ("Oslo",)),
        ({**FID, "target": "Oslo"}, ("Oslo",)),
        ({**FID, "answers": {"text": ["Oslo"], "answer_start": [1]}}, ("Oslo",)),
        ({**MUSIQUE, "answer_aliases": "Oslo"}, ("X", "Oslo")),
        ({**MUSIQUE, "answerable": False}, ()),
        ({**HOTPOTQA, "answer": ["Oslo"]}, ("Oslo",)),
    ],
    ids=["string", "target", "object", "alias", "unanswerable", "hotpotqa"],
)
def test_layouts_with_passages_read_all_shapes(tmp_path, entry, answers):
    (question,) = read(tmp_path, entry).questions
    assert question.answers == answers
    assert len(question.passages) == 1


def test_one_entry_without_answers_keeps_its_file(tmp_path):
    data = read(tmp_path, {"question": "When?", "ctxs": CTX}, {"question": "Where?", "answers": ["Oslo"], "ctxs": CTX})
    assert [(q.answers, q.answers_given) for q in data.questions] == [((), False), (("Oslo",), True)]


def test_the_layout_is_told_by_all_entries(tmp_path):
    data = read(tmp_path, {"question": "a", "answers": ["b"]}, {"question": "Where?", "answers": ["Oslo"], "ctxs": CTX})
    assert [len(q.passages) for q in data.questions] == [0, 1]


def test_passages_that_repeat_are_counted(tmp_path):
    data = read(tmp_path, {"question": "Where?", "answers": ["Oslo"], "ctxs": [*CTX, *CTX, {"text": " "}]})
    assert len(data.passages) == 1
    assert data.notes == ["2 passages of questions are left out: they are empty, or repeat one of the same"]


def test_miracl_and_nomiracl_rows_share_passages_by_docid(tmp_path):
    one, two = ({"docid": name, "title": "T", "text": f"text {name}"} for name in ("7#0", "8#1"))
    data = read(
        tmp_path,
        {"query_id": "1", "query": "a?", "positive_passages": [one], "negative_passages": [two]},
        {"query_id": "2", "query": "b?", "positive_passages": [], "negative_passages": [two]},
    )
    assert [p.id for p in data.passages] == ["7#0", "8#1"]
    assert [(q.passages, q.gold, q.answers_given) for q in data.questions] == [((0, 1), (0,), False), ((1,), (), False)]


def test_beir_metadata_and_compressed_queries(tmp_path):
    (tmp_path / "corpus.jsonl").write_text('{"_id": "d", "title": "", "text": "Oslo"}')
    queries = [
        {"_id": "q1", "text": "a?", "metadata": {"answers": {"text": ["Oslo"]}, "kind": 1}},
        {"_id": "q2", "text": "b?", "metadata": None},
        {"_id": "q3", "text": "c?", "metadata": {"answer": "yes", "answers": None}},
    ]
    (tmp_path / "queries.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, queries)).encode()))
    data = load_questions([tmp_path])
    assert [(q.answers, q.answers_given) for q in data.questions] == [(("Oslo",), True), ((), False), ((), True)]
    assert [q.metadata for q in data.questions] == [{"kind": 1}, {}, {"answer": "yes"}]
    alone = read(tmp_path, *queries, name="some.jsonl")
    assert brief(alone) == brief(data)
    with pytest.raises(CorpusError, match="line 1: accepted answers must be"):
        read(tmp_path, {"_id": "q", "text": "a?", "metadata": {"answers": {"0": "Oslo"}}})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([{"id": "a", "question": "b", "answer": 3}], "q.jsonl, line 1: accepted answers must be"),
        ([{"id": "a", "question": {"text": "b"}, "answer": "c"}], "line 1: not a question; expected a string named"),
        ([{"id": 1.5, "question": "b", "answer": "c"}], "line 1: the id must be a non-empty string or a whole number"),
        ([{"question": "b", "answer": "c"}, ["d"]], "line 2: expected an object with a question, got list"),
        ([{"_id": "d", "title": "T", "text": "a passage"}], "cannot tell the layout"),
    ],
)
def test_broken_entries_are_named(tmp_path, values, message):
    with pytest.raises(CorpusError, match=message):
        read(tmp_path, *values)


JUDGED = {"query_id": "x", "query": "Where?"}
ROW = {**WHERE, "context": "It is in Oslo."}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({**FID, "ctxs": [{"title": 5, "text": "a"}]}, "not DPR.*the title of a passage must be a string, got 5"),
        ({**HOTPOTQA, "context": [[True, ["a"]]]}, "not HotpotQA.*must be a string, got True"),
        ({**HOTPOTQA, "supporting_facts": [[]]}, "not HotpotQA JSON"),
        ({**MUSIQUE, "paragraphs": [{**PARAGRAPHS[0], "title": None}]}, "not MuSiQue.*must be a string, got None"),
        ({**JUDGED, "positive_passages": [{"docid": "d", "title": 1.5, "text": "a"}]}, "not MIRACL.*got 1.5"),
        ({**ROW, "answers": {"text": ["Oslo"], "answer_start": []}}, "must hold one answer_start for each text"),
        ({**ROW, "answers": {"text": ["Oslo"], "answer_start": 5}}, "must hold one answer_start for each text"),
        ({"_id": "q", "text": "a?", "metadata": 5}, "the metadata of a BEIR query must be an object or null, got 5"),
    ],
)
def test_parts_of_other_types_are_refused_with_file_and_line(tmp_path, entry, message):
    with pytest.raises(CorpusError, match=rf"q\.jsonl, line 1: .*{message}"):
        read(tmp_path, entry)
