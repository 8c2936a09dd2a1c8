"""BM25 in other languages and scripts than English, as it comes out of the box."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from retrievers import BM25Retriever, Passage, load_index

from .languages import LANGUAGES, sample


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_answer_is_among_the_first_five(language: str) -> None:
    passages, questions = sample(language)
    assert len({passage.text for passage in passages}) == 312
    assert not any(question in passage.text for question, _ in questions for passage in passages)
    retriever = BM25Retriever(passages)
    found = [{hit.passage.id for hit in retriever.search(question, 5)} for question, _ in questions]
    assert sum(wanted in ids for (_, wanted), ids in zip(questions, found, strict=True)) >= 0.9 * len(questions)


@pytest.mark.parametrize(("language", "name"), [("hi", "hindi"), ("ar", "arabic"), ("ko", "korean"), ("zh", "chinese")])
def test_the_language_setting_finds_more(language: str, name: str, tmp_path: Path) -> None:
    passages, questions = sample(language)
    BM25Retriever(passages, language=name).save(tmp_path / "index")
    retriever = load_index(tmp_path / "index")
    found = [{hit.passage.id for hit in retriever.search(question, 5)} for question, _ in questions]
    assert sum(wanted in ids for (_, wanted), ids in zip(questions, found, strict=True)) >= 0.99 * len(questions)


@pytest.mark.parametrize(
    ("text", "query"),
    [
        (unicodedata.normalize("NFD", "Das Café in Zürich"), "café"),
        ("café", unicodedata.normalize("NFD", "CAFÉ")),
        ("\uff36\uff29\uff34\uff21\uff2d\uff29\uff2e \uff23\uff11\uff12", "vitamin c12"),
        ("the oﬃce", "office"),
        ("Hel\u00adsinki", "Helsinki"),
        ("zero\u200bwidth \ufeffmark", "zerowidth mark"),
        ("ﾊﾞｽ", "バス"),
        (unicodedata.normalize("NFD", "서울은"), "서울"),
        ("東京タワー", "東京"),
        ("水", "水"),
        ("飲み水がない", "水"),
        ("รถไฟด่วน", "รถไฟ"),
        ("សាលារៀនភ្នំពេញ", "ភ្នំពេញ"),
        ("مُحَمَّد", "محمد"),
        ("العـــربية", "العربية"),
        ("שָׁלוֹם", "שלום"),
        ("İstanbul", "istanbul"),
        ("CO₂", "co2"),
    ],
)
def test_forms_of_the_same_text_find_each_other(text: str, query: str) -> None:
    retriever = BM25Retriever([Passage("other", "etwas anderes x"), Passage("wanted", text)])
    assert [hit.passage.id for hit in retriever.search(query)] == ["wanted"]
    assert [hit.passage.id for hit in retriever.search(text)] == ["wanted"]


@pytest.mark.parametrize(
    ("text", "query"),
    [("हिन्दी काम", "कम"), ("10²", "102"), ("Übung", "ubung"), ("고양이", "이불"), ("대구", "대전 시")],
)
def test_other_words_stay_other_words(text: str, query: str) -> None:
    retriever = BM25Retriever([Passage("other", text), Passage("wanted", query)])
    assert retriever.search(query)[0].passage.id == "wanted"
    if len(query) > 2 and query.isascii():
        assert len(retriever.search(query)) == 1
