"""Findings and stopping are said alike on the page and in the terminal."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from rag.answer import Answer
from rag.explanation.findings import Conflict, PairInteraction, PairInteractions
from rag.explanation.minimal import MinimalSet
from rag.report import render_page

from .conftest import MINUS, Page, by_hand, opposed, screen


def examined(**changes) -> Answer:
    """`opposed` over p0 to p3, with findings put in by hand."""
    findings = {
        "sufficient": MinimalSet(("p0", "p2"), "Oslo", "smallest"),
        "counterfactual": MinimalSet(("p0",), "Rome", "smallest"),
        "conflicts": (Conflict(("Oslo", "Rome"), (("p0",), ("p1", "p2", "p3"))),),
        "interactions": PairInteractions(("p0", "p1"), (PairInteraction(("p0", "p1"), -0.5),)),
    }
    return replace(by_hand(opposed, 4), **(findings | changes))


def said_in_both(answer) -> str:
    """What both views say of the findings; they must not differ."""
    page = re.search(r'<dl class="findings">(.*?)</dl>', render_page(answer), re.DOTALL)[1]
    pairs = re.findall(r"(?:<dt>(.*?)</dt>\s*)?<dd>(.*?)</dd>", page, re.DOTALL)
    lines = [" ".join(f"{label} {Page(html).text}".split()) for label, html in pairs]
    assert " ".join(lines) in " ".join(screen(answer, 120).split())
    return "\n".join(lines)


def test_findings_are_said_alike_in_both_views():
    assert said_in_both(examined()) == (
        "Enough p0 and p2 together give this answer; no smaller set does.\n"
        "Needed Without p0, the answer is “Rome”.\n"
        "Divided “Oslo” is supported by p0, “Rome” by p1, p2 and p3.\n"
        f"Pairs p0 and p1 repeat one another (interaction {MINUS}0.50)."
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"sufficient": MinimalSet((), "Oslo", "smallest")}, "The question alone gives this answer"),
        ({"sufficient": MinimalSet(("p0",), "Oslo", "smallest")}, "Enough p0 alone gives this answer."),
        (
            {"sufficient": MinimalSet(("p0", "p1", "p2"), "Oslo", "irreducible")},
            "p0, p1 and p2 together give this answer, and none of them can be spared; a smaller set of others was not",
        ),
        ({"sufficient": MinimalSet(("p0", "p1"), "Oslo", "none")}, "whether fewer would do was not settled"),
        (
            {"counterfactual": MinimalSet(("p0", "p1"), "", "smallest")},
            "Without p0 and p1, there is no answer; the absence",
        ),
        ({"counterfactual": MinimalSet(("p0", "p1"), "", "irreducible")}, "each of them must be absent for that"),
        ({"counterfactual": None}, "No passages were found whose absence changes this answer."),
        ({"text": "Rome"}, "together give the answer “Oslo”"),
        ({"interactions": PairInteractions(("p0",), ())}, "Fewer than two passages matter"),
        ({"interactions": PairInteractions(("p0", "p1"), ())}, "Of the 2 passages that matter, no two need"),
        (
            {"interactions": PairInteractions(("p0", "p1"), (PairInteraction(("p0", "p1"), 0.5),))},
            "p0 and p1 do more together than each alone (interaction 0.50)",
        ),
        ({"conflicts": 7 * (Conflict(("a", "b"), (("p0",), ("p1",))),)}, "2 more pairs of answers divide the passages"),
    ],
)
def test_findings_claim_no_more_than_is_known(change, sentence):
    assert sentence in said_in_both(examined(**change))


def test_findings_link_to_the_passages_on_the_page():
    page = re.search(r'<dl class="findings">(.*?)</dl>', render_page(examined()), re.DOTALL)[1]
    places = {e.passage.id: place for place, e in enumerate(examined().evidence, 1)}
    linked = re.findall(r'<a href="#passage-(\d)"><bdi>(p\d)</bdi></a>', page)
    assert len(linked) == 9
    assert all(places[name] == int(place) for place, name in linked)


@pytest.mark.parametrize(
    ("reached", "sentence"),
    [
        (True, "stopped after 16 of at most 1,000 evaluations: the first is certain at 95%"),
        (
            False,
            "sampling ended after 16 of at most 1,000 evaluations, before this was reached: "
            "the first is certain at 95%",
        ),
        (None, "the budget ran out before this was reached: the first is certain at 95%"),
    ],
)
def test_how_sampling_stopped_is_said(reached, sentence):
    answer = by_hand(opposed, 4)
    budget = 16 if reached is None else 1000
    rule = {"until": "the first is certain at 95%", "reached": bool(reached), "budget": budget}
    answer = replace(answer, attribution=replace(answer.attribution, **rule))
    assert sentence in " ".join(screen(answer, 120).split())
    assert f"{sentence[0].upper()}{sentence[1:]}." in Page(render_page(answer)).text


@pytest.mark.parametrize(
    ("semivalue", "beside", "evaluated"),
    [
        ("shapley", "averaged over subsets of the others,", "None: all subsets were evaluated"),
        ("leave-one-out", "beside all the others,", "None: all subsets that they depend on were evaluated"),
        ("first-in", "without any of the others,", "None: all subsets that they depend on were evaluated"),
    ],
)
def test_the_method_is_described_in_the_words_of_its_semivalue(semivalue, beside, evaluated):
    text = " ".join(Page(render_page(by_hand(opposed, 4, semivalue=semivalue))).text.split())
    assert f"how much a passage, {beside} adds" in text
    assert evaluated in text
