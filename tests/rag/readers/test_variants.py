"""Passages of which parts are hidden, against whole passages, other passages, and plain runs of the encoder."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from rag.readers.embedded import EmbeddedReader
from rag.readers.fid import FiDReader
from rag.readers.hidden_parts import PartsReader, Variant, moved, overlaps, without
from retrievers import Passage

from .conftest import random_coalitions, random_passages

QUESTION = "where is the old tower ?"
ANSWERS = ["old stone tower", "ferry", ""]
MASKINGS = ["attention", "mask", "delete"]


@pytest.fixture(scope="module", params=["embedded", "adapted", "t5", "bart"])
def reader(request) -> PartsReader:
    if request.param in ("embedded", "adapted"):
        folder = request.getfixturevalue(f"tiny_{request.param}")
        return EmbeddedReader(folder, max_block_tokens=96, max_answer_tokens=5)
    return FiDReader(request.getfixturevalue(request.param), max_block_tokens=64, max_answer_tokens=8)


def words(passage: Passage) -> list[tuple[int, int]]:
    return [match.span() for match in re.finditer(r"\S+", passage.text)]


def scores(reader, encoded, *columns) -> np.ndarray:
    rows = np.zeros((1, len(encoded.passages)), bool)
    rows[:, list(columns)] = True
    return reader.score(encoded, rows, ANSWERS)[0]


def test_it_can_read_parts(reader):
    assert isinstance(reader, PartsReader)


@pytest.mark.parametrize("masking", MASKINGS)
def test_hiding_nothing_is_the_whole_passage(reader, masking):
    passages = random_passages(4, seed=1)
    encoded = reader.encode(QUESTION, passages)
    extended = reader.extend(encoded, [Variant(2, ()), Variant(0, ())], masking)
    for others in ([], [1], [1, 3]):
        whole = scores(reader, encoded, *others, 2)
        assert scores(reader, extended, *others, 4) == pytest.approx(whole, abs=1e-5)
        assert scores(reader, extended, *others, 2) == pytest.approx(whole, abs=1e-5)
    rows = np.array([[1, 1, 1, 1, 0, 0], [0, 1, 0, 1, 1, 1]], bool)
    first, second = reader.generate(extended, rows)
    assert first == second


@pytest.mark.parametrize("masking", MASKINGS)
def test_old_columns_and_the_question_alone_are_as_before(reader, masking):
    passages = random_passages(5, seed=2)
    encoded = reader.encode(QUESTION, passages)
    variants = [Variant(3, tuple(words(passages[3])[:2])), Variant(0, tuple(words(passages[0])[1:]), True)]
    extended = reader.extend(encoded, variants, masking)
    coalitions = random_coalitions(30, 5, seed=2)
    wider = np.concatenate([coalitions, np.zeros((30, 2), bool)], axis=1)
    assert reader.generate(extended, wider) == reader.generate(encoded, coalitions)
    np.testing.assert_allclose(
        reader.score(extended, wider, ANSWERS), reader.score(encoded, coalitions, ANSWERS), atol=1e-4
    )


def test_deleting_is_reading_the_shorter_text(reader):
    passages = random_passages(3, seed=3)
    encoded = reader.encode(QUESTION, passages)
    spans = words(passages[1])
    everything = tuple(spans)
    variants = [Variant(1, everything, True), Variant(1, everything), Variant(1, tuple(spans[::2]))]
    extended = reader.extend(encoded, variants, "delete")
    left = " ".join(passages[1].text[a:b] for a, b in spans[1::2])
    for column, same in enumerate(
        [Passage("x", ""), Passage("x", "", passages[1].title), Passage("x", left, passages[1].title)], start=3
    ):
        alone = reader.encode(QUESTION, [passages[0], same])
        assert scores(reader, extended, 0, column) == pytest.approx(scores(reader, alone, 0, 1), abs=1e-4)


@pytest.mark.parametrize("masking", MASKINGS)
def test_variants_of_several_passages_combine_freely(reader, masking):
    """Two extended together read as each does beside the other, encoded in turn."""
    passages = random_passages(3, seed=4)
    encoded = reader.encode(QUESTION, passages)
    one, two = (Variant(i, tuple(words(passages[i])[:3])) for i in (0, 1))
    both = reader.extend(encoded, [one, two], masking)
    in_turn = reader.extend(reader.extend(encoded, [one], masking), [two], masking)
    assert scores(reader, both, 3, 4, 2) == pytest.approx(scores(reader, in_turn, 3, 4, 2), abs=1e-4)
    assert scores(reader, both, 3, 4, 2) != pytest.approx(scores(reader, both, 0, 4, 2), abs=1e-3)


def test_attention_masks_as_the_encoder_itself_does(reader):
    """The states of what is left equal those of a plain encoder run over the whole block with these tokens masked."""
    passages = random_passages(2, seed=5)
    encoded = reader.encode(QUESTION, passages)
    hidden = tuple(words(passages[1])[1:3])
    extended = reader.extend(encoded, [Variant(1, hidden)], "attention")
    n_hidden = 2  # each word of these passages is one token
    if isinstance(reader, EmbeddedReader):
        block = encoded.state.source.block[0]
        ids = encoded.state.source.ids[:, block == 1]
        question = 2 + len(reader.tokenizer.encode([QUESTION])[0].ids)
        title = len(reader.tokenizer.encode([passages[1].title + ". "])[0].ids)
        first = question + title + 1
        types = torch.tensor([[0] * question + [1] * (ids.shape[1] - question)])
        run = {"token_type_ids": types}
        encoder, states = reader.model.encoder, extended.state.source.states
        new = extended.state.source.block[0] == 2
    else:
        whole = reader.blocks.blocks(QUESTION, passages[1:]).ids[0]
        ids = torch.tensor([whole])
        text = reader.tokenizer(f"context: {passages[1].text}", add_special_tokens=False).input_ids
        first = len(whole) - len(reader.blocks._suffix) - len(text) + 3
        encoder, states = reader.model.get_encoder(), extended.state.states
        new, run = extended.state.block == 2, {}
    mask = torch.ones_like(ids)
    mask[0, first : first + n_hidden] = 0
    with torch.inference_mode():
        plain = encoder(input_ids=ids, attention_mask=mask, **run).last_hidden_state[0, mask[0].bool()]
    torch.testing.assert_close(states[0, new], plain, atol=1e-5, rtol=1e-4)


def test_masked_tokens_become_the_mask_token_and_cannot_be_copied(tiny_embedded):
    reader = EmbeddedReader(tiny_embedded, max_block_tokens=96, max_answer_tokens=5)
    encoded = reader.encode(QUESTION, [Passage("a", "the old stone tower")])
    source = reader.extend(encoded, [Variant(0, ((4, 13),))], "mask").state.source
    new = source.block[0] == 1
    masked = source.ids[0, new] == 103
    assert masked.sum() == 2
    assert not (source.copyable[0, new] & masked).any()
    assert source.copyable[0, new].sum() == 2


@pytest.mark.parametrize("masking", ["attention", "delete", "mask"])
def test_a_text_begins_afresh_in_what_is_left_too(tiny_embedded, masking):
    reader = EmbeddedReader(tiny_embedded, max_block_tokens=96, max_answer_tokens=5)
    text = "stone tower the stone tower is old"
    encoded = reader.encode(QUESTION, [Passage("a", text, "stone tower")])
    variants = [Variant(0, ()), Variant(0, ((28, 30),)), Variant(0, ((12, 15),))]
    source = reader.extend(encoded, variants, masking).state.source
    begins = [source.ids[0, (source.block[0] == block) & source.afresh[0]].tolist() for block in range(4)]
    the, stone = reader.tokenizer.encode(["the stone"])[0].ids
    assert begins == [[the]] * 3 + [[103 if masking == "mask" else stone]]


def test_other_checkpoints_take_their_mask_or_unknown_token(t5):
    reader = FiDReader(t5, max_block_tokens=64, max_answer_tokens=8)
    encoded = reader.encode(QUESTION, [Passage("a", "the old stone tower")])
    unknown = reader.encode(QUESTION, [Passage("a", "the xyzzy xyzzy tower")])
    extended = reader.extend(encoded, [Variant(0, ((4, 13),))], "mask")
    assert scores(reader, extended, 1) == pytest.approx(scores(reader, unknown, 0), abs=1e-4)


@pytest.mark.parametrize("masking", ["attention", "delete"])
def test_answers_are_spelled_as_in_what_is_left(tiny_embedded, masking):
    reader = EmbeddedReader(tiny_embedded, max_block_tokens=96, max_answer_tokens=5)
    text = "EDINBURGH old Castle, and edinburgh CASTLE."
    encoded = reader.encode("Which castle?", [Passage("a", text, "A title")])
    variants = [Variant(0, ((10, 13), (26, 43))), Variant(0, ((0, 25),), True)]
    extended = reader.extend(encoded, variants, masking)
    ids = tuple(reader.tokenizer.encode(["edinburgh castle"])[0].ids)
    assert dict(reader._spellings(extended, ids)) == {
        0: "edinburgh CASTLE",
        1: "EDINBURGH Castle",
        2: "edinburgh CASTLE",
    }


def test_the_spelling_of_a_long_passage_stays_within_what_was_read(tiny_embedded):
    reader = EmbeddedReader(tiny_embedded, max_block_tokens=32, max_passage_tokens=30, max_answer_tokens=5)
    passage = Passage("a", "Stone " + "sea " * 40 + "Tower")
    encoded = reader.encode("where?", [passage])
    for masking in MASKINGS:
        extended = reader.extend(encoded, [Variant(0, ((6, 9),))], masking)
        ids = {name: tuple(reader.tokenizer.encode([name])[0].ids) for name in ("stone", "tower")}
        assert dict(reader._spellings(extended, ids["stone"])) == {0: "Stone", 1: "Stone"}
        assert reader._spellings(extended, ids["tower"]) == []


def test_wrong_variants_are_refused(reader):
    encoded = reader.encode(QUESTION, [Passage("a", "the old tower")])
    with pytest.raises(ValueError, match="variant of passage 1; there are 1"):
        reader.extend(encoded, [Variant(1, ())])
    for hidden in [((4, 7), (0, 3)), ((0, 5), (4, 7)), ((0, 99),), ((-1, 2),)]:
        with pytest.raises(ValueError, match="within the 13 characters of the text of passage 'a'"):
            reader.extend(encoded, [Variant(0, hidden)])
    with pytest.raises(ValueError, match="unknown masking 'blur'; known: attention, mask, delete"):
        reader.extend(encoded, [Variant(0, ())], "blur")


def test_text_without_ranges_keeps_track_of_places():
    text = "one two, three  four"
    kept, removed = without(text, ((4, 8), (16, 20)))
    assert (kept, removed) == ("one three", ((4, 9), (16, 20)))
    assert [kept[moved(text.index(word), removed)] for word in ("one", "three")] == ["o", "t"]
    assert without(text, ((0, 3), (4, 8), (9, 14), (16, 20))) == ("", ((0, 20),))
    assert overlaps([(0, 3), (3, 8), (8, 14), (5, 5)], ((4, 8), (16, 20))) == [False, True, False, False]
