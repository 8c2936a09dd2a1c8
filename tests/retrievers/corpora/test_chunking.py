"""Cutting texts into passages."""

from __future__ import annotations

import itertools
import random

import pytest

from retrievers import sentence_spans, split_document, split_text


def pieces(text: str, max_words: int) -> list[str]:
    return [text[start:end] for start, end in split_text(text, max_words)]


def sentences_of(lengths: list[int]) -> str:
    return " ".join(" ".join(["Word"] + ["word"] * (n - 2) + ["end."]) for n in lengths)


def test_sentences_end_where_a_reader_would_end_them() -> None:
    text = "Dr. Smith moved to Washington, D.C. on Jan. 5. It cost 3.5 dollars, i.e. less!\n\nA heading\n\nReally? Yes."
    assert [text[a:b] for a, b in sentence_spans(text)] == [
        "Dr. Smith moved to Washington, D.C. on Jan. 5.",
        "It cost 3.5 dollars, i.e. less!",
        "A heading",
        "Really?",
        "Yes.",
    ]


def test_180_words_become_two_halves() -> None:
    assert [len(piece.split()) for piece in pieces(sentences_of([10] * 18), 100)] == [90, 90]


def test_a_short_text_stays_whole_without_the_space_around_it() -> None:
    assert split_text("  One two. Three.\n", 100) == [(2, 17)]


@pytest.mark.parametrize("text", ["", " \n\t "])
def test_white_space_gives_nothing(text: str) -> None:
    assert split_text(text, 100) == []


def test_a_long_sentence_is_cut_evenly_between_words() -> None:
    text = " ".join(f"word{number}" for number in range(250))
    assert [len(piece.split()) for piece in pieces(text, 100)] == [83, 84, 83]
    assert " ".join(pieces(text, 100)) == text


def test_text_without_spaces_is_cut_as_well() -> None:
    text = "字" * 1000
    assert "".join(pieces(text, 10)) == text
    assert max(map(len, pieces(text, 10))) <= 400


@pytest.mark.parametrize("seed", range(20))
def test_fewest_and_most_even_pieces_as_brute_force_finds_them(seed: int) -> None:
    rng = random.Random(seed)
    lengths = [rng.randint(2, 9) for _ in range(9)]
    limit = 14
    best = min(
        (len(sizes), sum(size**2 for size in sizes))
        for n_cuts in range(9)
        for cuts in itertools.combinations(range(1, 9), n_cuts)
        if max(sizes := [sum(lengths[a:b]) for a, b in itertools.pairwise((0, *cuts, 9))]) <= limit
    )
    found = [len(piece.split()) for piece in pieces(sentences_of(lengths), limit)]
    assert (len(found), sum(size**2 for size in found)) == best


def test_passages_say_where_they_come_from() -> None:
    text = "\n# Head\n\n" + sentences_of([40, 40, 40]) + "\n"
    passages = split_document("notes/a.md", text, title="A", max_words=50, metadata={"year": 2020})
    assert [passage.id for passage in passages] == ["notes/a.md#0", "notes/a.md#1", "notes/a.md#2"]
    for passage in passages:
        assert passage.title == "A"
        assert passage.metadata["source"] == "notes/a.md"
        assert passage.metadata["year"] == 2020
        assert text[passage.metadata["start"] : passage.metadata["end"]] == passage.text
    assert " ".join(passage.text for passage in passages).split() == text.split()


def test_one_passage_keeps_the_id_of_its_document() -> None:
    (passage,) = split_document("d", "Short text.")
    assert (passage.id, passage.full_text) == ("d", "Short text.")


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="max_words must be at least 1, got 0"):
        split_text("text", 0)
