"""What prompts share is read once, and what follows from them is as if each had been read by itself."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, Lfm2Config, MambaConfig

from attribution.games import all_coalitions
from rag.readers.interruption import interruptible
from rag.readers.prompt.causal import CausalModel
from rag.readers.prompt.prefixes import PrefixWalk, common_length
from rag.readers.prompt.reader import PromptReader
from retrievers import Passage

from ...checkpoints import WORDS, bare_word_tokenizer, save_random
from ..conftest import random_coalitions, random_passages

QUESTION = "where is the old tower ?"


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def model(request) -> CausalModel:
    return CausalModel(request.getfixturevalue(request.param), max_answer_tokens=6, memory_mb=4)


@pytest.fixture(scope="module")
def prompts(model) -> list[str]:
    reader = PromptReader(model)
    return reader.prompts(reader.encode(QUESTION, random_passages(5, seed=3)), all_coalitions(5))


def replies_alone(model: CausalModel, prompts: list[str]) -> list[list[int]]:
    """Each by a `generate` of its own."""
    replies = []
    for prompt in prompts:
        ids = torch.tensor([model._tokens(prompt)])
        replies.append(model.model.generate(ids, attention_mask=torch.ones_like(ids))[0, ids.shape[1] :].tolist())
    return replies


def test_each_token_of_the_trie_is_read_once(model, prompts):
    rows = [model._tokens(prompt) for prompt in prompts]
    before = model._shared.walk.fed
    model.score(prompts, ["tower"])
    assert model._shared.walk.fed - before == len({tuple(row[:end]) for row in rows for end in range(1, len(row) + 1)})


def test_all_passages_of_a_game_are_read_as_often_as_the_trie_has_nodes(gpt2):
    """2^n - 1 instead of n 2^(n-1): of 4 passages of 30 words, 15 and not 32 are read."""
    model = CausalModel(gpt2)
    reader = PromptReader(model)
    words = np.random.default_rng(0).choice(WORDS, (4, 30))
    encoded = reader.encode(QUESTION, [Passage(str(number), " ".join(text)) for number, text in enumerate(words)])
    model.score(reader.prompts(encoded, all_coalitions(4)), ["tower"])
    passage = np.mean(encoded.state.tokens) + 6  # with its delimiters
    frame = encoded.state.frame_tokens
    assert 15 * passage < model._shared.walk.fed < 15 * passage + 16 * frame


def test_replies_are_those_of_one_generate_for_each_prompt(model, prompts):
    expected = replies_alone(model, prompts)
    assert len(set(map(tuple, expected))) > 4
    rows = [model._tokens(prompt) for prompt in prompts]
    with torch.inference_mode():
        assert model._shared.replies(rows, model.max_answer_tokens) == expected
        before = model._shared.walk.fed
        assert (
            model._shared.replies(rows[::-1], model.max_answer_tokens) == expected[::-1]
        )  # now each is among the replies seen
        assert model._shared.replies(rows[5:6], model.max_answer_tokens) == expected[5:6]
        model._shared.walk.read(rows[3], 1)
    trie = len({tuple(row[:end]) for row in rows for end in range(1, len(row) + 1)})
    assert model._shared.walk.fed - before < 2 * trie


def test_end_tokens_and_forbidden_ones_count_as_in_generate(gpt2):
    model = CausalModel(gpt2, max_answer_tokens=6, memory_mb=1)
    reader = PromptReader(model)
    prompts = reader.prompts(reader.encode(QUESTION, random_passages(4, seed=3)), all_coalitions(4))
    plain = replies_alone(model, prompts)
    model.model.generation_config.eos_token_id = [plain[0][2], plain[-1][3]]
    expected = replies_alone(model, prompts)
    assert len({len(reply) for reply in expected}) > 1
    rows = [model._tokens(prompt) for prompt in prompts]
    with torch.inference_mode():
        assert model._shared.replies(rows, model.max_answer_tokens) == expected
        assert model._shared.replies(rows, model.max_answer_tokens) == expected
        model.model.generation_config.suppress_tokens = [expected[0][0], expected[0][-1]]
        model._shared._drafts = False  # as in a model that is loaded with such settings
        forbidden = replies_alone(model, prompts)
        assert forbidden != expected
        assert model._shared.replies(rows, model.max_answer_tokens) == forbidden


def test_drafts_are_off_where_settings_forbid_tokens(gpt2, tmp_path):
    model = AutoModelForCausalLM.from_pretrained(gpt2)
    model.generation_config.suppress_tokens = [5]
    model.save_pretrained(tmp_path)
    bare_word_tokenizer().save_pretrained(tmp_path)
    assert not CausalModel(tmp_path)._shared._drafts
    assert CausalModel(gpt2)._shared._drafts


def test_long_drafts_are_read_in_parts(llama):
    model = CausalModel(llama, max_answer_tokens=40)
    model.model.generation_config.eos_token_id = None
    prompts = [f"the {word} ?" for word in ("tower", "sea", "ferry")]
    expected = replies_alone(model, prompts)
    rows = [model._tokens(prompt) for prompt in prompts]
    with torch.inference_mode():
        assert model._shared.replies(rows, model.max_answer_tokens) == expected
        assert model._shared.replies(rows, model.max_answer_tokens) == expected


def test_work_that_was_stopped_can_be_done_again(model, prompts):
    expected = model.complete(prompts)
    calls = 0

    def stop() -> None:
        nonlocal calls
        calls += 1
        if calls == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), interruptible(stop):
        model.complete(prompts)
    assert model.complete(prompts) == expected


def test_a_walk_goes_on_after_the_model_failed(gpt2):
    model = AutoModelForCausalLM.from_pretrained(gpt2).eval()
    walk = PrefixWalk(model)
    with torch.inference_mode():
        expected = model(torch.tensor([[4, 5, 6, 7]])).logits[0, -2:]
        walk.read([4, 5, 9], 1)
        with pytest.raises(IndexError):
            walk.read([4, 5, 10**6], 1)
        torch.testing.assert_close(walk.read([4, 5, 6, 7], 2), expected)
        torch.testing.assert_close(walk.read([4, 5, 6, 7], 2), expected)  # asked for again, its logits are made again


@pytest.mark.parametrize(
    "config",
    [
        MambaConfig(vocab_size=70, hidden_size=32, num_hidden_layers=2, state_size=4),
        Lfm2Config(
            vocab_size=70,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            layer_types=["conv", "full_attention"],
        ),
    ],
    ids=["state space", "hybrid"],
)
def test_models_that_cannot_go_back_read_each_prompt_and_say_so(config, tmp_path, caplog):
    tokenizer = bare_word_tokenizer()
    config.vocab_size, config.eos_token_id, config.pad_token_id = len(tokenizer), 1, 0
    save_random(AutoModelForCausalLM.from_config(config), tokenizer, tmp_path)
    with caplog.at_level(logging.WARNING):
        model = CausalModel(tmp_path, max_answer_tokens=4)
    assert model._shared is None
    assert "every prompt is read from its beginning" in caplog.text
    reader = PromptReader(model)
    prompts = reader.prompts(reader.encode(QUESTION, random_passages(3, seed=3)), random_coalitions(5, 3))
    distinct = list(dict.fromkeys(prompts))
    for reply, alone in zip(model.complete(distinct), replies_alone(model, distinct), strict=True):
        assert reply.text == tokenizer.decode(alone, skip_special_tokens=True)


def test_common_length():
    assert [common_length(*pair) for pair in (([], [1]), ([1, 2], [1, 2, 3]), ([1, 2, 3], [1, 3]), ([4], [5]))] == [
        *(0, 2, 1, 0)
    ]
