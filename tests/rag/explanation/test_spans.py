"""Which parts of an answer are chosen, and what is said of choices that the answer does not hold."""

from __future__ import annotations

import pytest

from rag.explanation.spans import explained_spans, parse_span

ANSWER = "The roof leaked in March.  It was mended\nin April, and leaked again in May."


def test_words_and_places_are_found_in_their_order():
    spans = explained_spans(ANSWER, ["mended in April", (0, 9), (8, 24)][:2])
    assert [ANSWER[start:end] for start, end in spans] == ["The roof", "mended\nin April"]


def test_without_a_choice_all_sentences_are_explained():
    assert [ANSWER[start:end] for start, end in explained_spans(ANSWER, None)] == [ANSWER[:25], ANSWER[27:]]


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ([(0, 500)], r"0:500 is not within the answer, which has the characters 0:75"),
        ([(9, 4)], r"9:4 is not within the answer"),
        ([(-1, 4)], r"-1:4 is not within"),
        ([(25, 27)], "25:27 holds white space alone"),
        (["boat"], "does not hold the words 'boat'; it is 'The roof"),
        (["leaked"], "holds the words 'leaked' 2 times; give one of 9:15 and 55:61 instead, or more words"),
        ([" \n"], "a span is blank"),
        ([], "no span is given"),
        (["leaked in", (12, 20)], "two spans overlap at character 12"),
        ((0, 4), r"spans must be a list .* pairs \(START, END\) .*got \(0, 4\)"),
        ("The roof", "spans must be a list .*got 'The roof'"),
        ([("The",)], r"spans must be a list .*got \[\('The',\)\]"),
        ([("0", "4")], "spans must be a list"),
        ([None], "spans must be a list"),
    ],
)
def test_what_the_answer_does_not_hold_is_refused_in_plain_words(chosen, message):
    with pytest.raises(ValueError, match=message):
        explained_spans(ANSWER, chosen)


def test_words_longer_than_the_answer_are_not_made_into_a_pattern(monkeypatch):
    monkeypatch.setattr("rag.explanation.spans.re.finditer", lambda *_: pytest.fail("a pattern was compiled"))
    with pytest.raises(ValueError, match="does not hold the words"):
        explained_spans(ANSWER, ["ab " * len(ANSWER)])


def test_digits_with_a_colon_are_places():
    assert [parse_span(text) for text in ("3:17", " 3 : 17 ", "at 3:17", "boat")] == [
        (3, 17),
        (3, 17),
        "at 3:17",
        "boat",
    ]


@pytest.mark.parametrize("invisible", ["\u200b", "\ufeff", "\u00ad"])
def test_characters_that_cannot_be_seen_are_no_sentence(invisible):
    answer = f"The roof leaked.\n\n{invisible}\n\nIt was mended."
    assert [answer[start:end] for start, end in explained_spans(answer, None)] == ["The roof leaked.", "It was mended."]
    with pytest.raises(ValueError, match=r"nothing of the answer .* is visible; give an answer with words"):
        explained_spans(invisible, None)
