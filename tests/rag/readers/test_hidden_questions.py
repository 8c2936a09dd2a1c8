"""Questions of which words are hidden, against whole questions, shorter questions, and plain runs of the encoder."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from rag.readers.embedded import EmbeddedReader
from rag.readers.fid import FiDReader
from rag.readers.hidden_parts import PartsReader, Variant, without
from retrievers import Passage

from .conftest import random_coalitions, random_passages

QUESTION = "where is the old tower ?"
HIDDEN = ((6, 8), (13, 16))  # "is", "old"
SHORTER = "where the tower ?"
EVERYTHING = ((0, 5), (6, 8), (9, 12), (13, 16), (17, 22), (23, 24))
ANSWERS = ["old stone tower", "ferry", ""]
MASKINGS = ["attention", "mask", "delete"]


@pytest.fixture(scope="module", params=["embedded", "adapted", "t5", "bart"])
def reader(request) -> PartsReader:
    if request.param in ("embedded", "adapted"):
        folder = request.getfixturevalue(f"tiny_{request.param}")
        return EmbeddedReader(folder, max_block_tokens=96, max_answer_tokens=5)
    return FiDReader(request.getfixturevalue(request.param), max_block_tokens=64, max_answer_tokens=8)


def scores(reader, encoded, *columns) -> np.ndarray:
    rows = np.zeros((1, len(encoded.passages)), bool)
    rows[:, list(columns)] = True
    return reader.score(encoded, rows, ANSWERS)[0]


def assert_same(reader, one, other):
    """The same answers and log-probabilities from all kinds of coalitions, the empty one among them."""
    rows = random_coalitions(12, len(one.passages), seed=1)
    assert reader.generate(one, rows) == reader.generate(other, rows)
    np.testing.assert_allclose(reader.score(one, rows, ANSWERS), reader.score(other, rows, ANSWERS), atol=1e-4)


@pytest.mark.parametrize("masking", MASKINGS)
def test_hiding_nothing_is_the_whole_question(reader, masking):
    encoded = reader.encode(QUESTION, random_passages(4, seed=1))
    assert_same(reader, reader.hide_question(encoded, (), range(4), masking), encoded)


def test_deleting_is_asking_the_shorter_question(reader):
    passages = random_passages(3, seed=2)
    hidden = reader.hide_question(reader.encode(QUESTION, passages), HIDDEN, range(3), "delete")
    assert_same(reader, hidden, reader.encode(SHORTER, passages))
    spans = ((0, 3),)
    shorter = Passage("x", without(passages[1].text, spans)[0], passages[1].title)
    extended = reader.extend(hidden, [Variant(1, spans)], "delete")
    plain = reader.encode(SHORTER, [passages[0], shorter])
    assert scores(reader, extended, 0, 3) == pytest.approx(scores(reader, plain, 0, 1), abs=1e-4)


@pytest.mark.parametrize("masking", MASKINGS)
def test_the_question_is_hidden_in_every_block(reader, masking):
    """With one passage, with another, and alone: nowhere does the reader see what it saw."""
    encoded = reader.encode(QUESTION, random_passages(2, seed=3))
    hidden = reader.hide_question(encoded, HIDDEN, range(2), masking)
    for columns in ([0], [1], []):
        assert scores(reader, hidden, *columns) != pytest.approx(scores(reader, encoded, *columns), abs=1e-3)


@pytest.mark.parametrize("masking", MASKINGS)
def test_some_of_the_passages_are_read_as_all_would_be(reader, masking):
    encoded = reader.encode(QUESTION, random_passages(4, seed=4))
    every = reader.hide_question(encoded, HIDDEN, range(4), masking)
    some = reader.hide_question(encoded, HIDDEN, [3, 1], masking)
    assert some.passages == (encoded.passages[3], encoded.passages[1])
    for here, there in (([0], [3]), ([0, 1], [1, 3]), ([], [])):
        assert scores(reader, some, *here) == pytest.approx(scores(reader, every, *there), abs=1e-4)
    none = reader.hide_question(encoded, HIDDEN, [], masking)
    assert scores(reader, none) == pytest.approx(scores(reader, every), abs=1e-4)


@pytest.mark.parametrize("masking", MASKINGS)
def test_variants_of_passages_have_the_same_words_hidden(reader, masking):
    encoded = reader.encode(QUESTION, random_passages(3, seed=5))
    hidden = reader.hide_question(encoded, HIDDEN, range(3), masking)
    extended = reader.extend(hidden, [Variant(2, ()), Variant(0, ((0, 3),))], masking)
    assert scores(reader, extended, 1, 3) == pytest.approx(scores(reader, hidden, 1, 2), abs=1e-4)
    under_whole = reader.extend(encoded, [Variant(0, ((0, 3),))], masking)
    assert scores(reader, extended, 4) != pytest.approx(scores(reader, under_whole, 3), abs=1e-3)


@pytest.mark.parametrize("masking", MASKINGS)
def test_all_words_can_be_hidden(reader, masking):
    """Then two questions of six tokens each are the same question."""
    passages = random_passages(2, seed=6)
    one = reader.hide_question(reader.encode(QUESTION, passages), EVERYTHING, range(2), masking)
    question = "who was one low storm ."
    spans = tuple(match.span() for match in re.finditer(r"\S+", question))
    other = reader.hide_question(reader.encode(question, passages), spans, range(2), masking)
    assert_same(reader, one, other)


def _ids(reader, text):
    if isinstance(reader, EmbeddedReader):
        return reader.tokenizer.encode([text])[0].ids
    return reader.tokenizer(text, add_special_tokens=False).input_ids


def test_attention_masks_as_the_encoder_itself_does(reader):
    """The states equal those of a plain encoder run over the whole blocks with the hidden words' tokens masked."""
    passages = random_passages(2, seed=7)
    encoded = reader.encode(QUESTION, passages)
    hidden = reader.hide_question(encoded, HIDDEN, range(2), "attention")
    if isinstance(reader, EmbeddedReader):
        block, first = encoded.state.source.block[0], 1  # after [CLS]
        blocks = [encoded.state.source.ids[0, block == number].tolist() for number in range(3)]
        encoder, states, new = reader.model.encoder, hidden.state.source.states, hidden.state.source.block[0]
    else:
        blocks = reader.blocks.blocks(QUESTION, passages).ids
        first = len(reader.blocks._prefix) + 2  # after "question", ":"
        encoder, states, new = reader.model.get_encoder(), hidden.state.states, hidden.state.block
    for number, ids in enumerate(blocks):
        mask = torch.ones(1, len(ids), dtype=torch.long)
        mask[0, [first + 1, first + 3]] = 0  # each word of the question is one token
        run = {}
        if isinstance(reader, EmbeddedReader):
            head = 2 + len(_ids(reader, QUESTION))
            run = {"token_type_ids": torch.tensor([[0] * head + [1] * (len(ids) - head)])}
        with torch.inference_mode():
            plain = encoder(input_ids=torch.tensor([ids]), attention_mask=mask, **run).last_hidden_state
        torch.testing.assert_close(states[0, new == number], plain[0, mask[0].bool()], atol=1e-5, rtol=1e-4)


def test_masked_words_become_the_mask_or_unknown_token(tiny_embedded, t5):
    small = EmbeddedReader(tiny_embedded, max_block_tokens=96, max_answer_tokens=5)
    encoded = small.encode(QUESTION, [Passage("a", "the old stone tower")])
    source = small.hide_question(encoded, HIDDEN, [0], "mask").state.source
    for number in range(2):
        assert (source.ids[0, source.block[0] == number] == 103).sum() == 2
    reader = FiDReader(t5, max_block_tokens=64, max_answer_tokens=8)
    passages = random_passages(2, seed=8)
    masked = reader.hide_question(reader.encode(QUESTION, passages), HIDDEN, range(2), "mask")
    assert_same(reader, masked, reader.encode("where xyzzy the xyzzy tower ?", passages))


@pytest.mark.parametrize("masking", ["attention", "mask"])
def test_words_beyond_the_limit_are_not_read_anyway(tiny_embedded, t5, masking):
    embedded, fid = EmbeddedReader(tiny_embedded, max_block_tokens=32), FiDReader(t5, max_block_tokens=32)
    question = "where is the old tower . " * 8 + "who saw the sea ?"
    for reader in (embedded, fid):
        encoded = reader.encode(question, random_passages(2, seed=9))
        assert encoded.question_cut_tokens
        unread, read = question.rindex("tower"), question.rindex("sea")
        hidden = reader.hide_question(encoded, ((unread, unread + 5),), range(2), masking)
        assert_same(reader, hidden, encoded)
        hidden = reader.hide_question(encoded, ((read, read + 3),), range(2), masking)
        of_hidden, of_whole = (reader.score(one, np.ones((1, 2), bool), ["tower"]) for one in (hidden, encoded))
        assert not np.allclose(of_hidden, of_whole)


def test_answers_are_spelled_as_in_the_passages_read(tiny_embedded):
    reader = EmbeddedReader(tiny_embedded, max_block_tokens=96, max_answer_tokens=5)
    passages = [Passage("a", "Old TOWER"), Passage("b", "the old Tower stands")]
    ids = tuple(_ids(reader, "old tower"))
    for masking in MASKINGS:
        hidden = reader.hide_question(reader.encode(QUESTION, passages), HIDDEN, [1, 0], masking)
        assert dict(reader._spellings(hidden, ids)) == {0: "old Tower", 1: "Old TOWER"}


def test_what_does_not_fit_is_refused(reader):
    encoded = reader.encode(QUESTION, [Passage("a", "the old tower")])
    for hidden in [((4, 7), (0, 3)), ((0, 25),), ((-1, 2),)]:
        with pytest.raises(ValueError, match="within the 24 characters of the question; got"):
            reader.hide_question(encoded, hidden, [0])
    with pytest.raises(ValueError, match="variant of passage 1; there are 1"):
        reader.hide_question(encoded, HIDDEN, [1])
    with pytest.raises(ValueError, match="unknown masking 'blur'; known: attention, mask, delete"):
        reader.hide_question(encoded, HIDDEN, [0], "blur")
