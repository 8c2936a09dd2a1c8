"""How an answer with citations is shown: in the terminal, on the page, and as Markdown to paste."""

from __future__ import annotations

import numpy as np
import pytest

from rag import Answer, Pipeline, load_settings
from rag.readers.base import EncodedQuestion
from rag.report import render_page
from rag.report.wording import number
from retrievers import Passage

from ..conftest import WordReader
from .conftest import HOSTILE, Page, by_hand, screen

GIVEN = "Rowe built a tower.\n\nJones dug tunnels. Rowe met Smith."


@pytest.fixture
def given() -> Answer:
    passages = [
        Passage("sheep", "Sheep graze *here*.", "Sheep"),
        Passage("smith", "Rowe met Smith.", "Smith [2]"),
        Passage("rowe", "Rowe built a tower.", "Rowe"),
    ]
    return Pipeline(None, WordReader()).explain("who?", passages, answer=GIVEN)


def test_markdown_cites_after_each_sentence_and_lists_what_is_cited(given):
    first, empty, second, gap, *below = given.to_markdown().splitlines()
    assert first.startswith("Rowe built a tower. [1]")
    assert second.startswith("Jones dug tunnels. *[no passage supports this]* Rowe met Smith. [")
    assert (empty, gap) == ("", "")
    assert below[0] == "1. **Rowe**: Rowe built a tower."
    assert below[1] == r"2. **Smith \[2\]**: Rowe met Smith."
    assert "Sheep" not in given.to_markdown()


def test_markdown_of_an_answer_of_votes_cites_what_carries_it(answer):
    assert answer.to_markdown().startswith("Paris [1][2]\n\n1. **second**: others say it is Paris.\n2. **third**: ")


def test_the_terminal_shows_each_sentence_with_its_passages(given):
    shown = screen(given, 100)
    place = next(place for place, e in enumerate(given.evidence, 1) if e.passage.id == "rowe")
    assert f"1  Rowe built a tower. [{place}]" in shown
    assert "no passage supports this" in shown.split("Jones dug tunnels.")[-1].splitlines()[1]
    assert f"drop {given.citations.sentences[0].drop:.2f}" in shown
    assert "of likelihood" in shown


def test_the_page_links_sentences_and_passages_both_ways(given):
    page = Page(render_page(given))
    places = {e.passage.id: place for place, e in enumerate(given.evidence, 1)}
    links = [value for name, value in page.attributes if name == "href"]
    ids = [value for name, value in page.attributes if name == "id"]
    assert {"sentence-1", "sentence-2", "sentence-3"} <= set(ids)
    assert f"#passage-{places['rowe']}" in links
    assert "#sentence-1" in links
    assert "#sentence-2" not in links
    assert all(link[1:] in ids for link in links)
    assert "The passages support 2 of its 3 sentences." in page.text


@pytest.mark.parametrize("utility", ["likelihood", "logit", "similarity", "rouge-l"])
def test_sentences_of_every_utility_are_shown_on_every_face(utility):
    class Quoting(WordReader):
        def write(self, encoded: EncodedQuestion, coalitions: np.ndarray, words: int) -> list[str]:
            return [
                " ".join(p.text for p, seen in zip(encoded.passages, row, strict=True) if seen) for row in coalitions
            ]

    passages = [Passage("sheep", "Sheep graze here."), Passage("rowe", "Rowe built a tower.")]
    settings = load_settings(overrides=[f"attribution.utility={utility}"])
    explained = Pipeline(None, Quoting(), settings).explain(
        "who?", passages, answer="Rowe built a tower. Sheep graze here."
    )
    assert [one.passages for one in explained.citations.sentences] == [("rowe",), ("sheep",)]
    told, marked = screen(explained, 160), explained.to_markdown()
    assert f"values of {utility}" in told
    assert ("a token" in told) == (utility in ("likelihood", "logit")), "only these have log-probabilities"
    assert marked.startswith("Rowe built a tower. [1] Sheep graze here. [2]\n")
    page = Page(render_page(explained))
    links = [value for name, value in page.attributes if name == "href"]
    assert {"#sentence-1", "#sentence-2"} <= set(links)
    assert Answer.from_json(explained.to_json()).citations == explained.citations


def test_the_whole_answer_is_shown_where_only_a_part_is_explained():
    passages = [Passage("rowe", "Rowe built a tower."), Passage("smith", "Rowe met Smith.")]
    explained = Pipeline(None, WordReader()).explain("who?", passages, answer=GIVEN, spans=["built a tower."])
    assert explained.to_markdown().startswith(
        "Rowe built a tower. [1]\n\nJones dug tunnels. Rowe met Smith.\n\n1. **rowe**"
    )
    assert "chosen parts, and the passages" in screen(explained, 100)
    text = " ".join(Page(render_page(explained)).text.split())
    assert "Jones dug tunnels. Rowe met Smith." in text


def test_each_token_shows_its_log_probabilities(given):
    titles = [value for name, value in Page(render_page(given)).attributes if name == "title"]
    assert sum(title.startswith("log-probability ") for title in titles) == len(GIVEN.split())
    assert f"log-probability {number(given.citations.sentences[0].log_prob, 2)} a token" in screen(given, 160)


def test_hovering_over_a_sentence_lights_up_its_passages(given):
    html = render_page(given)
    assert "main:has(#sentence-1:hover) .carries-1" in html
    assert html.count('class="carries-') == sum(1 for e in given.evidence if e.passage.id != "sheep")


def test_an_unsupported_sentence_cites_nothing_even_if_passages_share_its_words():
    passages = [Passage("rowe", "Rowe built a tower."), Passage("smith", "Smith made it.")]
    explained = Pipeline(None, WordReader()).explain("who?", passages, answer="Rowe sold pots daily. Smith made it.")
    weak = explained.citations.sentences[0]
    assert (weak.passages, weak.supported) == (("rowe",), False)
    assert "Rowe sold pots daily. [" not in screen(explained) + explained.to_markdown()
    links = [value for name, value in Page(render_page(explained)).attributes if name == "href"]
    assert "#sentence-1" not in links
    assert "#sentence-2" in links


def test_hostile_answers_are_shown_as_text():
    explained = Pipeline(None, WordReader()).explain("who?", [Passage("p", HOSTILE, HOSTILE)], answer=HOSTILE)
    page = Page(render_page(explained))
    assert "script" not in page.tags
    assert "<script>alert('x')</script>" in page.text
    assert "\x1b" not in explained.to_markdown() + screen(explained)


def plain(markdown: str) -> str:
    """Markdown as another library shows it, without tags."""
    rendered = pytest.importorskip("markdown_it").MarkdownIt("commonmark").enable("strikethrough").render(markdown)
    return " ".join(Page(rendered).text.split())


def test_markdown_shows_texts_as_they_are():
    text = "Rowe **wrote** &lt;b&gt; and ~~not~~ <i>x</i> &copy;."
    passages = [Passage("rowe", text), Passage("sheep", "Sheep graze.")]
    explained = Pipeline(None, WordReader()).explain("who?", passages, answer="Rowe **wrote** <i>x</i> &copy;.")
    assert text in plain(explained.to_markdown())
    assert "Rowe **wrote** &lt;i>x&lt;/i> &copy;. [1]" in explained.to_markdown()


def test_markdown_of_the_readers_own_answer_is_escaped():
    text = "<b>*Rowe*</b> [built](x) &amp; ~~sold~~"
    answer = by_hand(lambda row: text if row[0] else "", 2)
    assert plain(answer.to_markdown()).startswith(f"{text} [1]")
