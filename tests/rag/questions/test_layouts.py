"""Every layout of question files gives the same kind of questions, and broken files are named."""

from __future__ import annotations

import gzip
import json

import pytest

from rag.offline.run import read_queries
from rag.questions import load_questions, split_by_article
from retrievers import CorpusError, load_corpus, split_text

SQUAD = {
    "data": [
        {
            "title": "Bell_Rock",
            "paragraphs": [
                {
                    "context": "The tower was built by Robert Stevenson. It stands since 1811.",
                    "qas": [
                        {
                            "id": "q1",
                            "question": " Who built it? ",
                            "answers": [
                                {"text": "by Robert Stevenson", "answer_start": 20},
                                {"text": "Robert Stevenson", "answer_start": 23},
                            ],
                        },
                        {"id": "q2", "question": "Who painted it?", "is_impossible": True, "answers": []},
                    ],
                }
            ],
        }
    ]
}
CONTEXTS = [("Bell Rock", "The tower was built by Robert Stevenson."), ("Muckle Flugga", "A lighthouse on a rock.")]
DPR = [
    {
        "question": "Who built it?",
        "answers": ["Robert Stevenson"],
        "ctxs": [{"id": "7", "title": title, "text": text, "score": 1.0} for title, text in CONTEXTS[:1]]
        + [{"id": "8", "title": CONTEXTS[1][0], "text": CONTEXTS[1][1]}],
    }
]
DPR_TRAIN = [
    {
        "question": "Who built it?",
        "answers": ["Robert Stevenson"],
        "positive_ctxs": [{"title": CONTEXTS[0][0], "text": CONTEXTS[0][1], "psg_id": "7"}],
        "hard_negative_ctxs": [{"title": CONTEXTS[1][0], "text": CONTEXTS[1][1], "psg_id": "8"}],
        "negative_ctxs": [],
    }
]
HOTPOT = [
    {
        "_id": "h1",
        "question": "Who built it?",
        "answer": "Robert Stevenson",
        "supporting_facts": [["Bell Rock", 0]],
        "context": [[title, [text]] for title, text in CONTEXTS],
    }
]
HOTPOT_HUB = [
    {
        **HOTPOT[0],
        "supporting_facts": {"title": ["Bell Rock"], "sent_id": [0]},
        "context": {"title": [t for t, _ in CONTEXTS], "sentences": [[x] for _, x in CONTEXTS]},
    }
]
PARAGRAPHS = [
    {"title": title, "paragraph_text": text, "is_supporting": not number}
    for number, (title, text) in enumerate(CONTEXTS)
]
MUSIQUE = [
    {
        "id": "m1",
        "question": "Who built it?",
        "answer": "R. Stevenson",
        "answer_aliases": ["Robert Stevenson"],
        "paragraphs": PARAGRAPHS,
    }
]
HOTPOT_PARAGRAPHS = [
    {
        "question_id": "h1",
        "question_text": "Who built it?",
        "answers_objects": [{"spans": ["Robert Stevenson"]}],
        "contexts": PARAGRAPHS,
    }
]


def write(path, content):
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "content",
    [DPR, DPR_TRAIN, HOTPOT, HOTPOT_HUB, MUSIQUE, HOTPOT_PARAGRAPHS],
    ids=["dpr", "dpr-train", "hotpot", "hotpot-hub", "musique", "hotpot-paragraphs"],
)
@pytest.mark.parametrize("lines", [False, True], ids=["json", "jsonl"])
def test_questions_with_their_own_passages(tmp_path, content, lines):
    path = tmp_path / "questions.json"
    path.write_text("\n".join(map(json.dumps, content)) if lines else json.dumps(content), encoding="utf-8")
    data = load_questions([path])
    (question,) = data.questions
    assert question.text == "Who built it?"
    assert "Robert Stevenson" in question.answers
    assert [(p.title, p.text) for p in data.passages] == CONTEXTS
    assert question.passages == (0, 1)
    assert question.gold == (0,)
    place = question.place
    assert data.passages[place.passage].full_text[place.start : place.end] == "Robert Stevenson"


def test_squad(tmp_path):
    path = write(tmp_path / "squad.json", SQUAD)
    data = load_questions([path])
    first, second = data.questions
    assert first.text == "Who built it?"
    assert first.answers == ("by Robert Stevenson", "Robert Stevenson")
    assert first.article == "Bell Rock"
    # One vote each: the shorter is the target.
    text = data.passages[first.place.passage].full_text
    assert text[first.place.start : first.place.end] == "Robert Stevenson"
    assert second.answers == ()
    assert second.gold == ()
    assert second.place is None
    assert second.passages == (0,)


def test_squad_passages_are_cut_as_the_index_cuts_them_and_answers_move_along(tmp_path):
    sentences = [f"Sentence number {n} speaks of nothing but of stones and of the sea around them." for n in range(20)]
    sentences[13] = "The tower was built by Robert Stevenson in those years, and the sea took it again."
    context = " ".join(sentences)
    entry = {"id": "q", "question": "Who?"}
    entry["answers"] = [{"text": "Robert Stevenson", "answer_start": context.index("Robert")}]
    content = {"data": [{"title": "T", "paragraphs": [{"context": context, "qas": [entry]}]}]}
    data = load_questions([write(tmp_path / "long.json", content)])
    assert [p.text for p in data.passages] == [context[start:end] for start, end in split_text(context)]
    (question,) = data.questions
    assert len(question.passages) == len(data.passages) > 1
    text = data.passages[question.gold[0]].full_text
    assert text[question.place.start : question.place.end] == "Robert Stevenson"


def test_beir_with_answers():
    data = load_questions(["examples/islands"])
    assert len(data.passages) == 208
    assert len(data.questions) == 100
    assert data.questions[0].answers == ("Ingólfur Arnarson",)
    assert data.questions[0].metadata == {"kind": "single"}


def test_several_files_and_gzip(tmp_path):
    first = write(tmp_path / "a.json", HOTPOT)
    second = tmp_path / "b.json.gz"
    second.write_bytes(gzip.compress(json.dumps(MUSIQUE).encode()))
    data = load_questions([first, second])
    assert [q.gold for q in data.questions] == [(0,), (2,)]
    assert data.questions[1].passages == (2, 3)
    assert data.passages[data.questions[1].place.passage].title == "Bell Rock"


def test_a_line_separator_inside_a_string_ends_no_line(tmp_path):
    path = tmp_path / "odd.jsonl"
    entry = {**HOTPOT[0], "question": "Who\u2028built it?"}
    path.write_text("\n".join(json.dumps(e, ensure_ascii=False) for e in [entry, entry]), encoding="utf-8")
    assert [q.text for q in load_questions([path]).questions] == ["Who\u2028built it?"] * 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "line 1: not valid JSON"),
        ('{"a": 1}\n{"b"', "line 2: not valid JSON"),
        ("[]", "cannot tell the layout"),
        ('[{"something": 1}]', r"cannot tell the layout \(fields: \['something'\]\)"),
        ('{"data": []}', "holds no question"),
        ('{"data": [{"title": "x"}]}', 'article 0: not SQuAD JSON.*"paragraphs"'),
        (json.dumps([*HOTPOT, {"question": "q"}]), "question 2: not HotpotQA JSON"),
        ('[{"ctxs": [{"title": "no text"}], "question": "q", "answers": ["a"]}]', "question 1: not DPR/FiD JSON"),
    ],
)
def test_broken_files_are_named(tmp_path, content, message):
    path = tmp_path / "broken.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(CorpusError, match=message) as error:
        load_questions([path])
    assert str(path) in str(error.value)


def test_a_file_given_twice_and_a_folder_without_queries_are_refused(tmp_path):
    path = write(tmp_path / "a.json", HOTPOT)
    with pytest.raises(CorpusError, match="given twice"):
        load_questions([path, path])
    with pytest.raises(CorpusError, match=r"holds no queries\.jsonl"):
        load_questions([tmp_path])
    with pytest.raises(FileNotFoundError):
        load_questions([tmp_path / "missing.json"])


def test_articles_are_split_whole(tmp_path):
    articles = [{**SQUAD["data"][0], "title": f"Article_{letter}"} for letter in "ABCDEFG"]
    data = load_questions([write(tmp_path / "many.json", {"data": articles})])
    train, held_out = split_by_article(data.questions, every=3)
    titles = [{data.questions[i].article for i in part} for part in (train, held_out)]
    assert not titles[0] & titles[1]
    assert sorted([*train, *held_out]) == list(range(14))
    assert len(titles[1]) == 2


def test_a_corpus_and_the_questions_of_a_squad_file_name_passages_alike(tmp_path):
    long = " ".join(f"Sentence number {n} speaks of nothing but of stones and of the sea." for n in range(20))
    paragraphs = [*SQUAD["data"][0]["paragraphs"], {"context": long, "qas": []}]
    repeated = [{**paragraphs[0], "qas": [{**paragraphs[0]["qas"][0], "id": "again"}]}, *paragraphs]
    articles = [{"title": "Other one", "paragraphs": paragraphs}, {"title": "Bell_Rock", "paragraphs": repeated}]
    path = write(tmp_path / "towers.json", {"data": articles})
    data = load_questions([path])
    assert data.passages == list(load_corpus(path))
    assert [p.id for p in data.passages][:2] == ["towers/Other_one/0", "towers/Other_one/1#0"]
    again, original = (q for q in data.questions if q.article == "Bell Rock" and q.answers)
    assert again.id == "again"
    assert again.gold == original.gold
    assert data.passages[again.gold[0]].id == "towers/Bell_Rock/0"


def test_compressed_beir_folders_hold_their_questions(tmp_path):
    for name, row in (("corpus", {"_id": "p", "text": "It is Oslo."}), ("queries", {"_id": "q", "text": "Where?"})):
        (tmp_path / f"{name}.jsonl.gz").write_bytes(gzip.compress(json.dumps(row).encode()))
    data = load_questions([tmp_path])
    assert [passage.id for passage in data.passages] == ["p"]
    assert [question.text for question in data.questions] == ["Where?"]
    assert read_queries(tmp_path)[0] == {"q": "Where?"}
