from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from rich.console import Console

from rag import Pipeline, load_settings
from rag.report import print_answer, print_hits, render_page
from retrievers import Hit, Passage

HOSTILE = "<script>alert('x')</script> \"quoted\" {{7*7}} \x1b[31mred\x1b[0m \x00 \u202eright to left [bold]Oslo[/bold]"


class Page(HTMLParser):
    """The elements, attributes and text of a page."""

    def __init__(self, html: str):
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text += data


def screen(answer, width=80) -> str:
    console = Console(record=True, width=width, file=open("/dev/null", "w", encoding="utf-8"))  # noqa: SIM115
    print_answer(answer, console)
    return console.export_text()


@pytest.fixture
def answer(reader, passages):
    return Pipeline(None, reader).explain("where is it?", passages)


def test_the_page_says_what_the_answer_says(answer):
    page = Page(render_page(answer))
    text = " ".join(page.text.split())
    assert "where is it?" in text
    assert "Paris" in text
    for evidence in answer.evidence:
        assert evidence.passage.text in text
        assert f"retrieved at rank {evidence.rank}" in text
    values = [f"{e.value:.3f}" for e in answer.evidence if abs(e.value) >= 0.005]
    assert values
    assert all(value in text for value in values)
    assert "Of the 16 subsets of the passages that were tried, 75% gave it." in text
    assert "12%" in text  # the share of Rome, 2 of 16


def test_the_page_is_self_contained_and_runs_no_script(answer):
    html = render_page(answer)
    page = Page(html)
    assert "script" not in page.tags
    assert "link" not in page.tags
    assert not [value for name, value in page.attributes if name in ("src", "srcset", "action")]
    assert all((value or "").startswith("#") for name, value in page.attributes if name == "href")
    assert not re.search(r"url\(|@import|https?://", html)
    assert "default-src 'none'" in html


def test_hostile_text_stays_text_on_the_page(reader):
    answer = Pipeline(None, reader).explain(
        HOSTILE, [Passage(HOSTILE, HOSTILE, HOSTILE, {"note": HOSTILE}), Passage("b", "Bergen.")]
    )
    html = render_page(answer)
    page = Page(html)
    assert "script" not in page.tags
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert "<script>alert('x')</script>" in page.text
    assert "{{7*7}}" in page.text
    assert not re.search("[\x00\x1b\u202e]", html)


@pytest.mark.parametrize("width", [80, 120])
def test_the_terminal_shows_values_errors_and_other_answers(answer, width):
    text = screen(answer, width)
    assert "where is it?" in text
    assert "Paris" in text
    for evidence in answer.evidence:
        if abs(evidence.value) >= 0.005:
            assert f"{evidence.value:.3f}" in text
    assert "Rome" in text
    assert "16 evaluations" in text
    assert "encode" in text
    assert max(map(len, text.splitlines())) <= width


def test_sampled_values_come_with_standard_errors(reader):
    many = [Passage(f"p{i}", f"Town{'n' * (i % 5)} it is.") for i in range(16)]
    answer = Pipeline(None, reader, load_settings(overrides=["attribution.budget=200"])).explain("where?", many)
    first = answer.evidence[0]
    assert first.error > 0
    assert f"{first.value:.3f} ±{first.error:.3f}" in screen(answer)
    assert f"{first.value:.3f} ±{first.error:.3f}" in Page(render_page(answer)).text


def test_the_terminal_shows_no_control_characters_and_no_markup(reader):
    answer = Pipeline(None, reader).explain(HOSTILE, [Passage("a", HOSTILE, HOSTILE), Passage("b", "Bergen.")])
    text = screen(answer)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202e]", text)
    assert "[bold]" in text


def test_hits_are_listed_with_rank_and_score():
    console = Console(record=True, width=80, file=open("/dev/null", "w", encoding="utf-8"))  # noqa: SIM115
    print_hits([Hit(Passage("a", HOSTILE), 2.5), Hit(Passage("b", "text", "Title"), 1.25)], console)
    text = console.export_text()
    assert "2.5" in text
    assert "Title" in text
    assert "\x1b" not in text


@pytest.mark.parametrize("n", [0, 1, 2, 100])
def test_any_number_of_passages(reader, n):
    answer = Pipeline(None, reader).explain("where?", [Passage(f"p{i}", "nothing here " * 30) for i in range(n)])
    assert answer.text == ""
    assert "no answer" in Page(render_page(answer)).text
    assert "no answer" in screen(answer)


def test_cut_passages_and_warnings_are_shown(answer):
    first = replace(answer.evidence[0], cut_tokens=7)
    answer = replace(answer, evidence=(first, *answer.evidence[1:]), warnings=("mind this",))
    page = Page(render_page(answer)).text
    assert "did not see the last 7 tokens" in " ".join(page.split())
    assert "mind this" in page
    assert "mind this" in screen(answer)


def test_a_final_answer_that_differs_from_the_full_one_is_said(answer):
    answer = replace(answer, text="Rome")
    assert "from all 4 passages: Paris" in screen(answer)
    assert "that is the answer explained here" in " ".join(Page(render_page(answer)).text.split())
