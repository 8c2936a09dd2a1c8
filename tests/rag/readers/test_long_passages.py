"""Passages of several blocks, against the same text as several passages."""

from __future__ import annotations

import re

import numpy as np
import pytest
from transformers import ByT5Tokenizer

from rag.readers import Reader
from rag.readers.base import EncodedQuestion
from rag.readers.embedded import EmbeddedReader
from rag.readers.fid import FiDReader
from rag.readers.fid_blocks import FiDTokenizer
from rag.readers.hidden_parts import Variant, without
from retrievers import Passage

from .conftest import random_coalitions, random_passages

QUESTION = "where is the old tower ?"
ANSWERS = ["old stone tower", "ferry", ""]
# Each fits into half of a block with the title; two do not.
SENTENCES = [f"The {word} " + f"{word} sea bird ship " * 4 + "tower." for word in ("rock", "island", "ferry")]
LONG = Passage("long", " ".join(SENTENCES), "stone bridge")
PARTS = [Passage(f"part {number}", text, LONG.title) for number, text in enumerate(SENTENCES)]


@pytest.fixture(scope="module", params=["embedded", "t5", "bart"])
def reader(request) -> Reader:
    if request.param == "embedded":
        return EmbeddedReader(request.getfixturevalue("tiny_embedded"), max_block_tokens=64, max_answer_tokens=5)
    return FiDReader(request.getfixturevalue(request.param), max_block_tokens=64, max_answer_tokens=8)


def scores(reader: Reader, encoded: EncodedQuestion, *columns: int) -> np.ndarray:
    rows = np.zeros((1, len(encoded.passages)), bool)
    rows[:, list(columns)] = True
    return reader.score(encoded, rows, ANSWERS)[0]


def test_a_long_passage_is_read_as_its_blocks_are_as_passages(reader):
    before, behind = random_passages(2)
    long = reader.encode(QUESTION, [before, LONG, behind])
    short = reader.encode(QUESTION, [before, *PARTS, behind])
    assert long.cut_tokens == (0, 0, 0)
    coalitions = random_coalitions(30, 3)
    spread = coalitions[:, [0, 1, 1, 1, 2]]
    np.testing.assert_allclose(reader.score(long, coalitions, ANSWERS), reader.score(short, spread, ANSWERS), atol=1e-4)
    answers = reader.generate(long, coalitions)
    assert answers == reader.generate(short, spread)
    assert len(set(answers)) > 2
    parts = reader.attention(short, "old tower")
    assert reader.attention(long, "old tower") == pytest.approx([parts[0], parts[1:4].sum(), parts[4]], abs=1e-5)


def test_a_long_passage_is_as_relevant_as_its_best_block(tiny_embedded):
    reader = EmbeddedReader(tiny_embedded, max_block_tokens=64)
    parts = reader.relevance(reader.encode(QUESTION, PARTS))
    assert len(set(parts.tolist())) == 3
    assert reader.relevance(reader.encode(QUESTION, [LONG, PARTS[0]])) == pytest.approx(
        [parts.max(), parts[0]], abs=1e-5
    )


def test_no_answer_is_as_likely_as_from_the_blocks_as_passages(tiny_embedded):
    reader = EmbeddedReader(tiny_embedded, max_block_tokens=64)
    calibrated = {"no_answer_slope": 0.7, "no_answer_log_passages": 0.9}
    object.__setattr__(reader.model, "config", type(reader.model.config)(**vars(reader.model.config) | calibrated))
    long, short = reader.encode(QUESTION, [LONG]), reader.encode(QUESTION, PARTS)
    one, three = np.ones((1, 1), bool), np.ones((1, 3), bool)
    expected = reader.no_answer_probability(short, three)
    assert reader.no_answer_probability(long, one) == pytest.approx(expected, abs=1e-6)
    assert 0.01 < expected < 0.99


@pytest.mark.parametrize("masking", ["attention", "mask", "delete"])
def test_parts_are_hidden_in_any_block(reader, masking):
    encoded = reader.encode(QUESTION, [PARTS[0], LONG])
    first, end = SENTENCES[1].index("sea"), SENTENCES[1].index("ship") + 4
    second = LONG.text.index(SENTENCES[1])
    span = (second + first, second + end)
    extended = reader.extend(encoded, [Variant(1, ()), Variant(1, (span,)), Variant(1, (span,), True)], masking)
    short = reader.encode(QUESTION, [PARTS[0], *PARTS])
    own, titles = Variant(2, ((first, end),)), [Variant(number, (), True) for number in (1, 3)]
    short = reader.extend(short, [own, *titles, own._replace(title_hidden=True)], masking)
    assert scores(reader, extended, 0, 2) == pytest.approx(scores(reader, encoded, 0, 1), abs=1e-4)
    assert scores(reader, extended, 0, 3) == pytest.approx(scores(reader, short, 0, 1, 4, 3), abs=1e-4)
    assert scores(reader, extended, 0, 4) == pytest.approx(scores(reader, short, 0, 5, 7, 6), abs=1e-4)
    assert scores(reader, extended, 0, 3) != pytest.approx(scores(reader, encoded, 0, 1), abs=1e-4)
    # What stood before is read as before.
    assert scores(reader, extended, 0, 1) == pytest.approx(scores(reader, encoded, 0, 1), abs=1e-4)


@pytest.mark.parametrize("masking", ["attention", "delete"])
def test_a_single_sentence_that_is_shown_is_read_alone(reader, masking):
    first, last = len(SENTENCES[0]) + 1, len(LONG.text) - len(SENTENCES[2])
    others = ((0, first - 1), (last, len(LONG.text)))
    extended = reader.extend(reader.encode(QUESTION, [LONG]), [Variant(0, others)], masking)
    assert without(LONG.text, others)[0] == SENTENCES[1]
    assert scores(reader, extended, 1) == pytest.approx(
        scores(reader, reader.encode(QUESTION, PARTS[1:2]), 0), abs=1e-4
    )


def test_words_of_the_question_are_hidden_before_every_block(reader):
    hidden = ((9, 12), (13, 16))
    long = reader.hide_question(reader.encode(QUESTION, [PARTS[0], LONG]), hidden, [1])
    short = reader.hide_question(reader.encode(QUESTION, PARTS), hidden, [0, 1, 2])
    assert scores(reader, long, 0) == pytest.approx(scores(reader, short, 0, 1, 2), abs=1e-4)
    assert scores(reader, long) == pytest.approx(scores(reader, short), abs=1e-4)


def test_answers_are_spelled_as_in_any_block(tiny_embedded):
    reader = EmbeddedReader(tiny_embedded, max_block_tokens=64)
    encoded = reader.encode(QUESTION, [PARTS[0], Passage("a", LONG.text + " EDINBURGH Castle.", "A title")])
    ids = tuple(reader.tokenizer.encode(["edinburgh castle"])[0].ids)
    assert reader._spellings(encoded, ids) == [(1, "EDINBURGH Castle")]


def test_a_passage_beyond_the_limit_is_cut_and_counted(tiny_embedded, t5):
    text = "The sea. " + "sea ship bird " * 100
    for reader in (
        EmbeddedReader(tiny_embedded, max_block_tokens=64, max_passage_tokens=120),
        FiDReader(t5, max_block_tokens=64, max_passage_tokens=120),
    ):
        long, whole = reader.encode(QUESTION, [Passage("a", text)]), Passage("b", "the sea")
        frame = 0 if isinstance(reader, EmbeddedReader) else 4  # "title", ":", "context", ":"
        assert long.cut_tokens == (303 + frame - 120,)
        assert reader.encode(QUESTION, [whole, Passage("a", text)]).cut_tokens == (0, *long.cut_tokens)
        read = " ".join(text.split()[: 119 - frame])  # "sea." is two tokens
        assert scores(reader, long, 0) == pytest.approx(
            scores(reader, reader.encode(QUESTION, [Passage("a", read)]), 0)
        )


def test_a_tokenizer_that_does_not_say_where_tokens_stand_loses_nothing_either():
    tokenizer = FiDTokenizer(ByT5Tokenizer(), 128, 4096)
    assert not tokenizer.tokenizer.is_fast
    passage = Passage("a", "Ü" * 150 + " " + " ".join(f"{number}. Dům u moře je starý." for number in range(30)), "Dům")
    made = tokenizer.blocks("kde ?", [passage, Passage("b", "krátký")])
    assert max(map(len, made.ids)) <= 128
    assert made.cut == (0, 0)
    decoded = [tokenizer.tokenizer.decode(ids, skip_special_tokens=True) for ids in made.ids]
    assert made.parts.map.owner.tolist() == [0] * (len(decoded) - 2) + [1]
    texts = [re.fullmatch(r"question: kde \? title: Dům context: (.*)", block)[1] for block in decoded[:-2]]
    assert re.sub(r"\s", "", "".join(texts)) == re.sub(r"\s", "", passage.text)
