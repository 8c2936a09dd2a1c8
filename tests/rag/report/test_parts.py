"""Sentences and words are shown on the page and in the terminal."""

from __future__ import annotations

import re
from dataclasses import replace

from rag.answer import Answer
from rag.explanation.hierarchy import Hierarchy
from rag.explanation.parts import Part
from rag.report import render_page
from retrievers import Passage

from .conftest import HOSTILE, MINUS, Page, screen


def parts_answer(answer: Answer, text: str) -> Answer:
    """The answer with one passage opened: its sentence into words, of which the second stands out against it."""
    evidence = answer.evidence[0]
    passage = Passage(evidence.passage.id, f"{text} is it. Or not.", text)
    place = len(text) + 1
    inner = (
        Part("word", passage.id, 0, len(text), 0.75, 0.01),
        Part("word", passage.id, place, place + 2, -0.25, 0.01),
        Part("word", passage.id, place + 3, place + 6, 0.001, 0.01),
    )
    parts = (
        Part("title", passage.id, 0, len(text), 0.125, 0.02),
        Part("sentence", passage.id, 0, place + 6, 0.501, 0.01, inner),
        Part("sentence", passage.id, place + 7, place + 14, 0.0, 0.0),
    )
    others = tuple(Part("passage", e.passage.id, 0, len(e.passage.text)) for e in answer.evidence[1:])
    opened = Part("passage", passage.id, 0, len(passage.text), 0.626, 0.02, parts)
    hierarchy = Hierarchy("word", answer.full_text, (opened, *others), "attention", 128, 900, 70, 1.0)
    return replace(answer, evidence=(replace(evidence, passage=passage), *answer.evidence[1:]), hierarchy=hierarchy)


def test_an_answer_with_parts_survives_json(answer):
    opened = parts_answer(answer, "Paris")
    assert Answer.from_json(opened.to_json()) == opened


def test_the_page_shades_sentences_and_words(answer):
    html = render_page(parts_answer(answer, "Paris"))
    page = Page(html)
    text = " ".join(page.text.split())
    assert f"Paris+0.75 is{MINUS}0.25 it.+0.50 Or not.0.00" in text
    assert "Title: Paris+0.12" in text
    titles = [value for name, value in page.attributes if name == "title"]
    assert "word: +0.750 ±0.010" in titles
    assert f"word: {MINUS}0.250 ±0.010" in titles
    strengths = [value for name, value in page.attributes if name == "style"]
    assert "--strength: 1.0" in strengths  # the strongest word
    assert "--strength: 0.333" in strengths
    assert re.search('class="part word minus shown"[^>]*>is<', html)
    assert "128 nested orders" in text
    assert "script" not in page.tags
    assert "nested orders" not in render_page(answer)


def test_the_terminal_lists_sentences_and_their_words(answer):
    for width in (80, 120):
        text = screen(parts_answer(answer, "Paris"), width)
        assert max(map(len, text.splitlines())) <= width
        assert "parts of Paris" in text
        assert "+0.501 ±0.010   Paris is it." in text
        assert f"Paris +0.75  is {MINUS}0.25" in text
        assert "title: Paris" in text
    assert "parts of" not in screen(answer)


def question_answer(answer: Answer, question: str) -> Answer:
    """The answer with the words of its question attributed to; the first stands out for it, the last against it."""
    spans = [match.span() for match in re.finditer(r"\S+", question)]
    values = [0.5, *[0.001] * (len(spans) - 2), -0.25]
    parts = tuple(Part("word", "", start, end, value, 0.01) for (start, end), value in zip(spans, values, strict=True))
    question_part = Part("question", "", 0, len(question), sum(values), 0.02, parts)
    passages = tuple(Part("passage", e.passage.id, 0, len(e.passage.text)) for e in answer.evidence)
    hierarchy = Hierarchy("passage", answer.full_text, passages, "attention", 64, 400, 0, 1.0, question_part, 90)
    return replace(answer, question=question, hierarchy=hierarchy)


def test_the_page_shades_the_question(answer):
    shown = question_answer(answer, "where is <it> now?")
    assert Answer.from_json(shown.to_json()) == shown
    html = render_page(shown)
    page = Page(html)
    text = " ".join(page.text.split())
    assert f"where+0.50 is <it> now?{MINUS}0.25 Words of the question are shaded" in text
    assert "together +0.252 ±0.020" in text
    assert [value for name, value in page.attributes if name == "title"] == [
        "word: +0.500 ±0.010",
        *["word: +0.001 ±0.010"] * 2,
        f"word: {MINUS}0.250 ±0.010",
    ]
    strengths = [value for name, value in page.attributes if name == "style" and value.startswith("--strength")]
    assert strengths[:1] + strengths[3:4] == ["--strength: 1.0", "--strength: 0.5"]
    assert "64 nested orders" in text
    assert "The question is a player beside the passages" in text
    assert "Words of the question" not in Page(render_page(answer)).text


def test_the_terminal_lists_the_questions_words(answer):
    shown = question_answer(answer, "where is it now?")
    for width in (80, 120):
        text = screen(shown, width)
        assert max(map(len, text.splitlines())) <= width
        assert "words of the question  +0.252 ±0.020" in text
        assert "+0.500 ±0.010   where" in text
        assert f"{MINUS}0.250 ±0.010   now?" in text
        assert "2 more words" in text
    assert "words of the question" not in screen(answer)


def test_hostile_questions_stay_text(answer):
    shown = question_answer(answer, f"{HOSTILE} ?")
    page = Page(render_page(shown))
    assert "script" not in page.tags
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202e]", screen(shown))


def test_hostile_text_stays_text_in_its_parts(answer):
    hostile = parts_answer(answer, HOSTILE)
    page = Page(render_page(hostile))
    assert "script" not in page.tags
    assert "<script>alert('x')</script>" in page.text
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202e]", screen(hostile))
