"""Both views of an answer, and the texts that they share."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from rag import Pipeline, load_settings
from rag.report import print_hits, render_page
from rag.report.text import extract, marked
from rag.report.wording import labels, number, percent, summary
from retrievers import Hit, Passage

from .conftest import HOSTILE, MINUS, Page, by_hand, opposed, screen


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


# Of the 6 orderings of p0, p1, p2: p0 turns the answer to Oslo in all but (1, 0, 2); p1 takes it away in (0, 1, 2);
# p2 brings it (back) in those two.
OPPOSED_VALUES = {"p0": 5 / 6, "p1": -1 / 6, "p2": 2 / 6, "p3": 0.0}


def test_negative_values_are_drawn_on_the_other_side_of_the_axis():
    answer = by_hand(opposed, 4)
    assert {e.passage.id: pytest.approx(e.value) for e in answer.evidence} == OPPOSED_VALUES
    page = render_page(answer)
    bars = re.findall(r'<rect class="(\w+)" x="([\d.]+)%" y="3" width="([\d.]+)%"', page)
    axis = float(re.search(r'class="axis" x1="([\d.]+)%"', page)[1])
    assert axis == pytest.approx(100 / 6, abs=0.01)  # the scale runs from -1/6 to 5/6
    listed = sorted(answer.evidence, key=lambda e: e.value == 0)  # those of no value come last
    for evidence, (side, start, length) in zip(listed, bars, strict=True):
        assert side == ("minus" if evidence.value < 0 else "plus")
        assert float(length) == pytest.approx(100 * abs(evidence.value), abs=0.02)
        assert float(start) == pytest.approx(axis + 100 * min(0.0, evidence.value), abs=0.02)
    lines = {line.split()[2]: line for line in screen(answer).splitlines() if line.startswith("●") and "│" in line}
    before, after = lines["p1"].split("│")
    assert before.rstrip()[-1] in "▕▐█"
    assert after.split() == ["2"]
    assert f"{MINUS}0.167" in lines["p1"]
    full = {name: lines[name].split("│")[1].count("█") for name in ("p0", "p2")}
    assert full == {"p0": 9, "p2": 3}  # of the 11 cells beside the axis 9 are to its right: 9 and 3.6 cells


def test_the_summary_counts_what_carries_and_what_pulls_away():
    text = " ".join(summary(by_hand(opposed, 4)))
    assert text == (
        "2 of 4 passages carry this answer: their values sum to 1.17; the values of all 4 sum to 1.00. "
        "1 passage pulls away from it. Of the 16 subsets of the passages that were tried, 38% gave it. "
        "Without any passage the reader answers “Rome”."
    )


def test_the_summary_claims_nothing_for_values_within_two_standard_errors():
    answer = by_hand(opposed, 4)
    unsure = replace(answer, evidence=tuple(replace(e, error=0.2) for e in answer.evidence))
    text = " ".join(summary(unsure))
    assert text.startswith("1 of 4 passages carries this answer: its value is 0.83;")
    assert "away" not in text


def test_the_summary_where_the_passages_change_nothing():
    text = " ".join(summary(by_hand(lambda row: "Oslo", 3)))
    assert "No passage has a value for this answer that stands out from 0." in text
    assert "Without any passage the reader answers “Oslo” as well." in text


def test_the_summary_of_log_probabilities(reader, passages):
    settings = load_settings(overrides=["attribution.utility=likelihood"])
    answer = Pipeline(None, reader, settings).explain("where is it?", passages)
    text = " ".join(summary(answer))
    assert f"log-probability is {MINUS}5.00 without any passage and 0.00 with all of them" in text
    assert "tried" not in text
    assert "Other answers" not in Page(render_page(answer)).text


def test_the_heat_table_holds_the_values_of_at_most_ten_passages_and_six_answers():
    answer = by_hand(lambda row: f"answer {np.flatnonzero(row)[-1]}" if row.any() else "", 12)
    table = re.search(r'<table class="heat">(.*?)</table>', render_page(answer), re.DOTALL)[1]
    head, *rows = [
        [" ".join(Page(cell).text.split()) for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.DOTALL)]
        for row in re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)
    ]
    assert head[0:2] == ["Passage", "answer 11"]
    assert (len(head), len(rows)) == (7, 10)
    for player, *cells in rows:
        column = answer.attribution.players.index(player)
        values = [answer.attribution.of(name)[column] for name in head[1:]]
        assert [float(cell.replace(MINUS, "-")) for cell in cells] == pytest.approx(values, abs=0.00501)


def test_a_gap_in_efficiency_is_said_where_there_is_one():
    assert "a gap of" not in screen(by_hand(opposed, 4))
    banzhaf = by_hand(opposed, 4, semivalue="banzhaf")  # 3/4, -1/4, 1/4, 0
    gap = f"the values sum to 0.750, the passages together add 1.000, a gap of {MINUS}0.250, as Banzhaf values may"
    assert gap in " ".join(screen(banzhaf).split())
    assert f"T{gap[1:]}." in Page(render_page(banzhaf)).text


def test_values_of_all_zero_are_shown_in_one_line():
    answer = by_hand(lambda row: "Oslo", 5)
    assert "5 passages (all kept): value about 0" in screen(answer)
    page = render_page(answer)
    assert '<details class="rest" open>' in page
    assert page.count("Some text.") == 2 * 5  # extract and passage


def test_the_answer_is_marked_wherever_it_stands_as_a_whole_word():
    answer = by_hand(opposed, 4, texts={0: "OSLO is not Oslofjord; oslo\nis <b>Oslo</b>."})
    page = render_page(answer)
    passage = re.search(r'<p class="text" dir="auto">(OSLO|<mark>OSLO).*?</p>', page, re.DOTALL)[0]
    assert re.findall("<mark>(.*?)</mark>", passage) == ["OSLO", "oslo", "Oslo"]
    assert "&lt;b&gt;<mark>Oslo</mark>&lt;/b&gt;" in passage


def test_the_page_can_be_written_whatever_the_text_holds():
    answer = by_hand(opposed, 4, texts={0: "half a pair \ud800, \x9b31m, a\r\nb, \u2066isolate"})
    assert "half a pair \ufffd, \ufffd31m, a\nb, \ufffdisolate" in Page(render_page(answer)).text
    render_page(answer).encode("utf-8")
    screen(answer).encode("utf-8")


@pytest.mark.parametrize(
    ("text", "answer", "found"),
    [
        ("In 1939, not 11939.", "1939", ["1939"]),
        ("富士山は日本で一番高い山です", "一番高い", ["一番高い"]),
        ("1939年に建てられた", "1939", ["1939"]),
        ("the  Eiffel\nTower", "eiffel tower", ["Eiffel\nTower"]),
        ("a cat", "", []),
        ("C++ (and C)", "C++", ["C++"]),
    ],
)
def test_answers_in_text(text, answer, found):
    parts = marked(text, [answer])
    assert "".join(part.text for part in parts) == text
    assert [part.text for part in parts if part.marked] == found


@pytest.mark.parametrize("width", [20, 40, 75, 400])
@pytest.mark.parametrize("words_before", [0, 3, 50])
def test_an_extract_keeps_to_its_width_and_holds_the_answer(width, words_before):
    text = "filler " * words_before + "Oslo it is" + " more" * 50
    parts = extract(text, ["oslo"], width)
    line = "".join(part.text for part in parts)
    assert len(line) <= width
    assert ("Oslo", True) in parts
    assert line.strip("…") in text
    assert line.startswith("…") == (not text.startswith(line.strip("…")))


def test_an_extract_without_the_answer_is_the_beginning():
    line = "".join(part.text for part in extract("one two three four five", ["Oslo"], 12))
    assert line == "one two…"


def test_titles_that_repeat_carry_their_id():
    answer = by_hand(opposed, 4)
    titles = {"p0": "Norway", "p1": "Norway", "p2": "A title " * 20, "p3": ""}
    evidence = [replace(e, passage=replace(e.passage, title=titles[e.passage.id])) for e in answer.evidence]
    names = labels(replace(answer, evidence=tuple(evidence)), 30)
    assert names["p0"] == "Norway (p0)"
    assert names["p1"] == "Norway (p1)"
    assert names["p2"].startswith("A title A title")
    assert len(names["p2"]) <= 30
    assert names["p3"] == "p3"


@pytest.mark.parametrize(("share", "text"), [(0, "0%"), (0.001, "<1%"), (0.125, "12%"), (0.999, ">99%"), (1, "100%")])
def test_shares_never_round_to_none_or_all(share, text):
    assert percent(share) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.1236, "0.124"), (-0.1236, f"{MINUS}0.124"), (-0.0001, "0.000"), (0.0, "0.000"), (-12, f"{MINUS}12.000")],
)
def test_numbers(value, text):
    assert number(value) == text
