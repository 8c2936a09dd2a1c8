"""Passages cut into blocks, with words as tokens."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from retrievers import Passage
from retrievers.corpora.blocks import Block, cut_passage


class Words:
    """Every four letters of a word are a token; a block has two beside the title's and the text's."""

    def sizes(self, passages: Sequence[Passage]) -> list[int]:
        return [2 + len(self.places(passage.title)) + len(self.places(passage.text)) for passage in passages]

    def places(self, text: str) -> list[tuple[int, int]]:
        return [match.span() for match in re.finditer(r"\S{1,4}", text)]


def cut(passage: Passage, room: int, limit: int = 10**6, part: int | None = None) -> tuple[list[Block], int]:
    [size] = Words().sizes([passage])
    return cut_passage(passage, size, room, limit, Words(), part=part)


def sentences(*lengths: int) -> list[str]:
    return [" ".join(["The", *["one"] * (length - 2), "end."]) for length in lengths]


def test_a_passage_that_fits_stays_as_it_is():
    passage = Passage("a", " " + " ".join(sentences(8, 8)), "A title", {"page": 3})
    assert cut(passage, 21) == ([Block(passage, 0)], 0)
    assert len(cut(passage, 20)[0]) == 2


def test_blocks_end_with_sentences_and_are_even():
    own = sentences(5, 5, 5, 5, 5, 5, 5)
    passage = Passage("a", "  ".join(own), "Rock")
    blocks, left = cut(passage, 20)
    assert [block.passage.text for block in blocks] == ["  ".join(own[:2]), "  ".join(own[2:4]), "  ".join(own[4:])]
    assert {(block.passage.id, block.passage.title) for block in blocks} == {("a", "Rock")}
    assert [passage.text[block.start :].startswith(block.passage.text) for block in blocks] == [True] * 3
    assert left == 0


def test_blocks_of_a_passage_that_is_too_long_may_be_smaller():
    passage = Passage("a", " ".join(sentences(5, 5, 5, 5)), "Rock")
    assert len(cut(passage, 23, part=13)[0]) == 1
    assert [len(block.passage.text.split()) for block in cut(passage, 22, part=13)[0]] == [10, 10]
    assert len(cut(passage, 22, limit=20, part=13)[0]) == 1, "what is read of it fits"


@pytest.mark.parametrize(
    "text",
    [
        " ".join(sentences(3, 40, 4, 61, 2)),
        "one " * 100,
        "x" * 300 + " and " + "y" * 41 + ". The end.",
        "\n\n".join(["head", "a - b - c", *sentences(30)] * 3),
        "Ends in space. " * 20 + "\n \t " * 30,
    ],
)
@pytest.mark.parametrize("title", ["", "Rock", "A title of very many words that would fill half of a block"])
@pytest.mark.parametrize("room", [8, 13, 40])
def test_every_word_is_in_one_block_and_none_is_too_large(text, title, room):
    passage = Passage("a", text, title)
    blocks, left = cut(passage, room)
    assert left == 0
    assert max(Words().sizes([block.passage for block in blocks])) <= room
    assert all(block.passage.text.strip() == block.passage.text != "" for block in blocks)
    if blocks[0].passage.title == title:
        assert "".join("".join(block.passage.text for block in blocks).split()) == "".join(text.split())
    else:
        whole = "".join(block.passage.text for block in blocks)
        assert "".join(whole.split()) == "".join(passage.full_text.split())
        assert blocks[0].start == len(text) - len(passage.full_text)
    for before, block in pairwise(blocks):
        assert before.start + len(before.passage.text) <= block.start
    if room == 40 and not re.search(r"\S{41}", text):
        words = set(passage.full_text.split())
        assert words >= {word for block in blocks for word in block.passage.text.split()}, "a word was divided"


def test_what_exceeds_the_limit_is_left_out_and_counted():
    passage = Passage("a", " ".join(sentences(5, 5, 5, 5)), "Rock")
    blocks, left = cut(passage, 13, limit=15)
    assert left == 8
    assert " ".join(block.passage.text for block in blocks) == " ".join(passage.text.split()[:12])
    short, left = cut(passage, 40, limit=15)
    assert [block.passage for block in short] == [replace(passage, text=" ".join(passage.text.split()[:12]))]
    assert left == 8


def test_a_block_without_room_is_no_reason_to_go_on_for_ever():
    blocks, _ = cut(Passage("a", "one " * 50), 2)
    assert len(blocks) == 1
