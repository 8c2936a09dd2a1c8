"""The example corpus keeps the promises that its README makes."""

import csv
import json
import re
from collections import Counter
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "examples" / "islands"


def read_jsonl(name: str) -> list[dict]:
    """Return the records of a JSON Lines file of the corpus folder."""
    with open(FOLDER / name, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def holds(text: str, answer: str) -> bool:
    """Say whether an answer stands in a text as whole words, in any letter case."""
    return re.search(rf"(?<!\w){re.escape(answer.lower())}(?!\w)", text.lower()) is not None


PASSAGES = read_jsonl("corpus.jsonl")
QUERIES = read_jsonl("queries.jsonl")
TEXTS = {passage["_id"]: passage["text"] for passage in PASSAGES}
# The passage that a newer or better one replaces, by the id of the better one.
REPLACED = {
    passage["metadata"].get("superseded_by") or passage["metadata"]["contradicts"]: passage["_id"]
    for passage in PASSAGES
    if passage["metadata"]
}


def read_qrels() -> list[dict[str, str]]:
    """Return the rows of the relevance file, keyed by its header."""
    with open(FOLDER / "qrels" / "test.tsv", encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


def supporting(query_id: str) -> list[str]:
    """Return the ids of the supporting passages of a question."""
    return [row["corpus-id"] for row in read_qrels() if row["query-id"] == query_id]


def test_passages_have_unique_ids_and_texts():
    assert 195 <= len(PASSAGES) <= 210
    assert len(TEXTS) == len(PASSAGES)
    assert len({" ".join(text.lower().split()) for text in TEXTS.values()}) == len(PASSAGES)
    for passage in PASSAGES:
        assert set(passage) == {"_id", "title", "text", "metadata"}
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", passage["_id"])
        assert passage["title"].strip()


@pytest.mark.parametrize("passage", PASSAGES, ids=lambda passage: passage["_id"])
def test_passage_length(passage):
    assert 60 <= len(passage["text"].split()) <= 120


def test_no_sentence_stands_in_two_passages():
    sentences = Counter(sentence.lower() for text in TEXTS.values() for sentence in re.split(r"(?<=[.!?])\s+", text))
    assert [sentence for sentence, count in sentences.items() if count > 1] == []


def test_replaced_passages_point_to_plain_ones():
    plain = {passage["_id"] for passage in PASSAGES if not passage["metadata"]}
    shapes = Counter(tuple(sorted(passage["metadata"])) for passage in PASSAGES)
    assert shapes == {(): 186, ("kind", "superseded_by"): 20, ("contradicts", "kind"): 2}
    assert len(REPLACED) == 22
    assert set(REPLACED) <= plain
    for passage in PASSAGES:
        if passage["metadata"]:
            key = {"outdated": "superseded_by", "contradicts": "contradicts"}[passage["metadata"]["kind"]]
            assert key in passage["metadata"]


def test_questions_are_a_hundred_of_four_kinds():
    assert [query["_id"] for query in QUERIES] == [f"q{number:03d}" for number in range(1, 101)]
    assert len({query["text"] for query in QUERIES}) == 100
    kinds = Counter(query["metadata"]["kind"] for query in QUERIES)
    assert kinds == {"single": 40, "double": 20, "bridge": 18, "current": 22}


def test_qrels_name_known_questions_and_passages_once():
    rows = read_qrels()
    assert list(rows[0]) == ["query-id", "corpus-id", "score"]
    pairs = [(row["query-id"], row["corpus-id"]) for row in rows]
    assert len(set(pairs)) == len(pairs)
    assert {query for query, _ in pairs} == {query["_id"] for query in QUERIES}
    assert {passage for _, passage in pairs} <= set(TEXTS)
    assert {row["score"] for row in rows} == {"1"}


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query["_id"])
def test_answers_stand_in_the_supporting_passages(query):
    answers, kind = query["metadata"]["answers"], query["metadata"]["kind"]
    passages = supporting(query["_id"])
    assert query["text"].endswith("?")
    assert answers
    assert all(1 <= len(answer.split()) <= 5 for answer in answers)
    assert not any(holds(query["text"], answer) for answer in answers)
    assert len(passages) == (2 if kind in {"double", "bridge"} else 1)
    found = [all(holds(TEXTS[passage], answer) for answer in answers) for passage in passages]
    assert any(found) if kind == "bridge" else all(found)
    if kind == "current":
        replaced = REPLACED[passages[0]]
        assert not any(holds(TEXTS[replaced], answer) for answer in answers)


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query["_id"])
def test_questions_do_not_copy_their_passages(query):
    words = re.findall(r"\w+", query["text"].lower())
    runs = {" ".join(words[start : start + 7]) for start in range(len(words) - 6)}
    for passage in supporting(query["_id"]):
        text = " ".join(re.findall(r"\w+", TEXTS[passage].lower()))
        assert not any(run in text for run in runs)
