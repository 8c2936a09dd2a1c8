from __future__ import annotations

import json
from dataclasses import replace

import pytest

from rag.questions import QuestionSet, holds_answer, load_questions
from rag.questions.overlap import question_digest
from rag.training import data as module
from rag.training.data import cached_negatives, drawn_questions, find_negatives, load_training_data
from rag.training.settings import DataSettings, Source


def quiet(stage, done, total):
    pass


@pytest.fixture
def folder(towers, tmp_path):
    """The towers, others of the same towns under another name, and a pool of passages about lighthouses."""
    content = json.loads(towers.read_text(encoding="utf-8"))
    (tmp_path / "towers.json").write_text(json.dumps(content), encoding="utf-8")
    for article in content["data"]:
        article["title"] = article["title"].replace("Towers", "Castles")
        for paragraph in article["paragraphs"]:
            paragraph["context"] = paragraph["context"].replace("tower", "castle")
            for question in paragraph["qas"]:
                question["question"] = question["question"].replace("tower", "castle")
                for answer in question["answers"]:
                    answer["answer_start"] = paragraph["context"].index(answer["text"])
    (tmp_path / "castles.json").write_text(json.dumps(content), encoding="utf-8")
    pool = [
        {"id": f"p{n}", "text": f"The lighthouse number {n} of Bergen was finished by the harbour."} for n in range(3)
    ]
    (tmp_path / "pool.jsonl").write_text("\n".join(map(json.dumps, pool)), encoding="utf-8")
    return tmp_path


def load(folder, **changes):
    settings = DataSettings.model_validate({"held_out": 3, **changes})
    return load_training_data(settings, folder, 0, quiet)


def test_negatives_are_found_among_passages_of_the_same_source_and_its_pool(folder):
    sources = [Source(files=["towers.json"], pool=["pool.jsonl"]), Source(files=["castles.json"], times=2)]
    found = load(folder, sources=sources)
    texts = [passage.full_text for passage in found.questions.passages]
    assert len(texts) == 12 + 3 + 12
    for question, pool in zip(found.questions.questions, find_negatives(found, "bm25", folder, quiet), strict=True):
        own = {"castle"} if "castle" in question.text else {"tower", "lighthouse"}
        assert pool
        assert {kind for p in pool for kind in ("tower", "castle", "lighthouse") if kind in texts[p]} == own
        assert not any(holds_answer(texts[p], question.answers) for p in pool)
        assert found.questions.answer(question) == question.answers[0]
    drawn = drawn_questions(found, found.train)
    assert {drawn.count(index) for index in found.train if index < 12} == {1}
    assert {drawn.count(index) for index in found.train if index >= 12} == {2}


def test_a_source_can_be_limited(folder):
    found = load(folder, sources=[Source(files=["towers.json"], limit=5)])
    assert len(found.questions.questions) == 5
    assert len(found.questions.passages) == 12
    assert len(found.train) + len(found.held_out) == 5


def test_excluded_questions_and_near_ones_are_not_trained_on(folder):
    asked = [
        {"question": "When was Bergen tower 2 finished, then?", "answers": ["x"]},
        {"question": "When was the old Lerwick tower 1 by the harbour finished?", "answers": ["x"]},
    ]
    (folder / "never.json").write_text(json.dumps(asked), encoding="utf-8")
    sources = [Source(files=["towers.json"])]
    found, everything = load(folder, sources=sources, exclude=["never.json"]), load(folder, sources=sources)
    gone = {found.questions.questions[index].text for index in set(everything.train) - set(found.train)}
    assert gone == {"When was Bergen tower 2 finished?"}, "6 of 7 words are shared; of the other, 6 of 11"


def test_a_list_of_questions_is_held_out_and_the_rest_of_their_articles_left_out(folder):
    listed = "When was Lerwick tower 1 finished?"
    (folder / "dev.txt").write_text(f"# one\n{question_digest(listed)}\n", encoding="utf-8")
    found = load(folder, sources=[Source(files=["towers.json"])], held_out=str(folder / "dev.txt"))
    questions = found.questions.questions
    assert [questions[index].text for index in found.held_out] == [listed]
    assert {questions[index].article for index in found.train} == {"Towers of Bergen", "Towers of Tórshavn"}
    (folder / "dev.txt").write_text("Lerwick\n", encoding="utf-8")
    with pytest.raises(ValueError, match="12 hexadecimal digits"):
        load(folder, sources=[Source(files=["towers.json"])], held_out=str(folder / "dev.txt"))
    with pytest.raises(FileNotFoundError, match="there is no file nothing"):
        load(folder, sources=[Source(files=["towers.json"])], held_out="nothing")


def test_articles_without_a_title_are_articles_of_their_own(towers, tmp_path):
    content = json.loads(towers.read_text(encoding="utf-8"))
    for article in content["data"]:
        del article["title"]
    path = tmp_path / "untitled.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    assert len({question.article for question in load_questions([path]).questions}) == 12


@pytest.mark.parametrize("kind", ["bm25", "hybrid"])
def test_negatives_are_mined_once_for_the_same_data(data, kind, tmp_path, monkeypatch):
    path = tmp_path / "negatives.json"
    stages = set()
    mined = cached_negatives(data, kind, path, lambda stage, done, total: stages.add(stage))
    assert stages == {"indexing", "mining negatives"}
    for question, pool in zip(data.questions, mined, strict=True):
        assert pool
        assert not any(holds_answer(data.passages[index].full_text, question.answers) for index in pool)
    with monkeypatch.context() as patched:
        patched.setattr(module, "mine_negatives", None)
        assert cached_negatives(data, kind, path, quiet) == mined
    other = QuestionSet(data.passages, [replace(data.questions[0], text="Another question?"), *data.questions[1:]])
    stages.clear()
    cached_negatives(other, kind, path, lambda stage, done, total: stages.add(stage))
    assert "mining negatives" in stages, "other data are mined anew"
    assert not list(tmp_path.glob("*.tmp"))


def test_a_questions_own_passages_can_be_its_negatives(data, tmp_path):
    questions = [replace(question, passages=tuple(range(12))) for question in data.questions]
    found = cached_negatives(QuestionSet(data.passages, questions), "own", tmp_path / "negatives.json", quiet)
    for question, pool in zip(questions, found, strict=True):
        assert sorted([*pool, *question.gold]) == list(range(12))
    assert json.loads((tmp_path / "negatives.json").read_text(encoding="utf-8"))["negatives"] == found
