"""Answers to look at, and how the two views show them."""

from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser

import numpy as np
import pytest
from rich.console import Console

from attribution import VotesGame, exact
from attribution.attribution import descending
from rag import Pipeline
from rag.answer import Answer, Evidence, OtherAnswer
from rag.report import print_answer
from retrievers import Passage

HOSTILE = "<script>alert('x')</script> \"quoted\" {{7*7}} \x1b[31mred\x1b[0m \x00 \u202eright to left [bold]Oslo[/bold]"
MINUS = "\N{MINUS SIGN}"


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


def by_hand(generate, n, texts=None, semivalue="shapley") -> Answer:
    """An answer over passages p0, p1, ... with exact values; `generate` maps one coalition to an answer."""
    game = VotesGame(lambda coalitions: [generate(row) for row in coalitions])
    attribution = exact(game, n, players=[f"p{i}" for i in range(n)], semivalue=semivalue)
    rows = np.arange(2**n)[:, None] >> np.arange(n) & 1 == 1
    votes = Counter(generate(row) for row in rows)
    full = attribution.outputs[attribution.output]
    values = attribution.of(full)
    evidence = tuple(
        Evidence(Passage(f"p{i}", (texts or {}).get(i, "Some text.")), int(i) + 1, 1.0, float(values[i]), 0.0, True)
        for i in descending(values)
    )
    others = tuple(
        OtherAnswer(text, share / 2**n, tuple(c.player for c in attribution.top(3, text) if c.value > 0))
        for text, share in votes.most_common()
        if text != full
    )
    return Answer(
        "who?", full, full, votes[full] / 2**n, evidence, others, attribution, {"encode": 0.5, "attribute": 1.25}
    )


def opposed(row) -> str:
    """p0 brings the answer, p1 takes it away unless p2 is there; p3 does nothing."""
    return "Oslo" if row[0] and (row[2] or not row[1]) else "Rome"
