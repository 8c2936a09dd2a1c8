from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.modeling_outputs import BaseModelOutput

from rag.readers import Reader
from rag.readers.fid import FiDReader
from retrievers import Passage

from ..checkpoints import word_tokenizer
from .conftest import plain_answers, random_coalitions, random_passages

QUESTION = "where is the old tower ?"
FAMILIES = ["t5", "bart", "bart_without_repeats"]


@pytest.fixture(scope="module", params=FAMILIES)
def reader(request) -> FiDReader:
    return FiDReader(request.getfixturevalue(request.param), max_block_tokens=64, max_answer_tokens=8)


def test_it_is_a_reader(reader):
    assert isinstance(reader, Reader)


def test_masking_passages_equals_leaving_them_out(reader):
    passages = random_passages(7)
    coalitions = random_coalitions(60, 7)
    encoded = reader.encode(QUESTION, passages)
    answers = reader.generate(encoded, coalitions)
    scores = reader.score(encoded, coalitions, ["old stone tower", "ferry"])
    assert len(set(answers)) > 3, "the answers do not depend on the coalition, so this shows nothing"
    for row, answer, score in zip(coalitions, answers, scores, strict=True):
        alone = reader.encode(QUESTION, [p for p, member in zip(passages, row, strict=True) if member])
        everything = np.ones((1, int(row.sum())), bool)
        assert reader.generate(alone, everything) == [answer]
        assert reader.score(alone, everything, ["old stone tower", "ferry"])[0] == pytest.approx(score, abs=1e-4)


def test_answers_are_those_of_plain_generate(reader):
    passages, coalitions = random_passages(7, seed=3), random_coalitions(100, 7, seed=4)
    expected = plain_answers(reader, QUESTION, passages, coalitions)
    assert len(set(expected)) > 3
    assert reader.generate(reader.encode(QUESTION, passages), coalitions) == expected


def test_encoding_again_and_other_batches_change_nothing(reader):
    passages = random_passages(6, seed=5)
    coalitions = random_coalitions(20, 6, seed=6)
    encoded = reader.encode(QUESTION, passages)
    together = reader.generate(encoded, coalitions)
    assert reader.generate(reader.encode(QUESTION, passages), coalitions) == together
    assert [reader.generate(encoded, row[None])[0] for row in coalitions] == together


def test_the_memory_setting_changes_no_answer(t5):
    passages, coalitions = random_passages(6, seed=7), random_coalitions(300, 6, seed=8)
    answers = []
    for memory_mb in (1, 64):
        reader = FiDReader(t5, max_block_tokens=64, max_answer_tokens=8, memory_mb=memory_mb)
        answers.append(reader.generate(reader.encode(QUESTION, passages), coalitions))
    assert answers[0] == answers[1]


def test_scores_are_log_probabilities(reader):
    """The stock model's own loss on the same source is the mean negative log-probability."""
    passages = random_passages(3, seed=9)
    encoded = reader.encode(QUESTION, passages)
    everything = np.ones((1, 3), bool)
    labels = reader.tokenizer(text_target="red bridge", return_tensors="pt").input_ids
    with torch.inference_mode():
        loss = reader.model(
            encoder_outputs=BaseModelOutput(last_hidden_state=encoded.state.states),
            attention_mask=torch.ones(1, 1, 1, encoded.state.states.shape[1], dtype=torch.bool)
            & (encoded.state.block < 3),
            labels=labels,
        ).loss
    score = reader.score(encoded, everything, ["red bridge"])[0, 0]
    assert score == pytest.approx(-float(loss) * labels.shape[1], rel=1e-4)


def test_an_answer_has_room_for_the_token_that_begins_it(bart):
    reader = FiDReader(bart, max_block_tokens=64)  # of 128 positions
    encoded = reader.encode(QUESTION, random_passages(1))
    everything = np.ones((1, 1), bool)
    assert reader.score_tokens(encoded, everything, " ".join(["tower"] * 127)).log_probs.shape == (1, 127)
    with pytest.raises(ValueError, match=r"the answer has 128 tokens, and the reader .* scores at most 127"):
        reader.score_tokens(encoded, everything, " ".join(["tower"] * 128))


def test_a_tokenizer_that_knows_no_places_scores_no_tokens(t5, monkeypatch):
    reader = FiDReader(t5, max_block_tokens=64)
    assert reader.scores_tokens()
    monkeypatch.setattr(type(reader.tokenizer), "is_fast", False)
    assert not reader.scores_tokens()


def test_long_passages_and_questions_are_cut_and_counted(t5):
    reader = FiDReader(t5, max_block_tokens=128, max_passage_tokens=63)
    encoded = reader.encode("who " * 50_000, [Passage("a", "sea " * 500), Passage("b", "sea")])
    assert encoded.question_cut_tokens > 0
    assert encoded.cut_tokens == (500 + 4 - 63, 0)  # "title", ":", "context", ":"
    assert encoded.state.states.shape[1] <= 3 * 128
    assert len(reader.generate(encoded, np.ones((1, 2), bool))) == 1


@pytest.mark.parametrize("limit", [16, 64])
def test_a_long_question_leaves_room_for_the_passages(reader, limit):
    special = reader.tokenizer.num_special_tokens_to_add()
    room = limit // 2 - special
    tight = FiDReader(reader.name, max_block_tokens=limit, max_passage_tokens=room, max_answer_tokens=4)
    encoded = tight.encode("who " * 200, [Passage("a", "sea " * 100), Passage("b", "ferry " * 100)])
    tokens = torch.bincount(encoded.state.block)
    assert tokens[:2].tolist() == [limit, limit]
    assert encoded.question_cut_tokens == 202 - limit // 2  # "question", ":" and 200 words
    assert encoded.cut_tokens == (104 - room,) * 2  # "title", ":", "context", ":" and 100 words
    assert len(set(map(tuple, tight.score(encoded, np.eye(2, dtype=bool), ["sea"]).tolist()))) == 2


def test_of_a_long_question_the_end_is_read(t5):
    blocks = FiDReader(t5, max_block_tokens=64).blocks
    asked = "where is the red bridge ?"
    for question in ("the old tower . " * 20 + asked, f"{'the old tower . ' * 20}{asked} The sea ."):
        made = blocks.blocks(question, [Passage("a", "sea")])
        read = blocks.tokenizer.decode(made.ids[-1], skip_special_tokens=True)
        assert read == f"question : {asked}"
        assert len(made.head) == 8
        whole = blocks.tokenizer(f"question: {question}", add_special_tokens=False).input_ids
        assert made.question_cut == len(whole) - 8
        assert [question[first:end] for first, end in made.head[2:5]] == ["where", "is", "the"]


def test_the_rules_of_generation_are_at_work(bart, bart_without_repeats):
    """Else the comparison with plain `generate` would say nothing of them."""
    passages, coalitions = random_passages(7, seed=3), random_coalitions(100, 7, seed=4)
    answers = [
        reader.generate(reader.encode(QUESTION, passages), coalitions)
        for reader in (FiDReader(f, max_block_tokens=64, max_answer_tokens=8) for f in (bart, bart_without_repeats))
    ]
    assert answers[0] != answers[1]
    for answer in answers[1]:
        words = answer.split()
        triples = list(zip(words, words[1:], words[2:], strict=False))
        assert len(triples) == len(set(triples))


def test_no_passages_at_all(reader):
    encoded = reader.encode(QUESTION, [])
    assert len(reader.generate(encoded, np.ones((1, 0), bool))) == 1


def test_wrong_input_is_refused(t5, bart, tmp_path):
    reader = FiDReader(t5, max_block_tokens=64)
    encoded = reader.encode(QUESTION, random_passages(3))
    with pytest.raises(ValueError, match=r"expected \(n_coalitions, 3\)"):
        reader.generate(encoded, np.ones((2, 4), bool))
    with pytest.raises(ValueError, match="question is empty"):
        reader.encode("  ", [])
    with pytest.raises(ValueError, match="reads at most 128 tokens"):
        FiDReader(bart, max_block_tokens=256)
    GPT2LMHeadModel(GPT2Config(vocab_size=80, n_embd=16, n_layer=1, n_head=2)).save_pretrained(tmp_path)
    word_tokenizer(bart=False).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="without encoder and decoder"):
        FiDReader(tmp_path)
    with pytest.raises(OSError, match="nosuchfolder"):
        FiDReader("./nosuchfolder")
