"""A checkpoint's generation settings: plain `generate` does the same with those honoured, and the rest is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from transformers import GenerationConfig

from rag.readers.drafts import SeenAnswers
from rag.readers.fid import FiDReader
from rag.readers.loading import load_reader
from rag.readers.prompt.causal import CausalModel
from rag.readers.rules import HARMLESS, HONOURED, REFUSED, Rules, decoding_rules
from rag.settings import ReaderSettings
from rag.settings_base import SettingsError

from .conftest import plain_answers, random_coalitions, random_passages

QUESTION = "where is the old tower ?"
END, FIRST = 1, 20  # a token that ends answers, and one of a word


def with_rules(checkpoint: Path, folder: Path, **rules) -> Path:
    shutil.copytree(checkpoint, folder, dirs_exist_ok=True)
    config = GenerationConfig.from_pretrained(checkpoint)
    for name, value in rules.items():
        setattr(config, name, value)
    config.save_pretrained(folder)
    return folder


class Answers(NamedTuple):
    """The reader's, decoded step by step and from right and wrong drafts, and those of plain `generate`."""

    stepwise: list[str]
    drafted: list[str]
    plain: list[str]


def answers(checkpoint: Path) -> Answers:
    reader = FiDReader(checkpoint, max_block_tokens=64, max_answer_tokens=8)
    passages, coalitions = random_passages(5, seed=3), random_coalitions(30, 5, seed=4)
    encoded = reader.encode(QUESTION, passages)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SeenAnswers, "drafts", lambda *_: [])
        stepwise = reader.generate(encoded, coalitions)
        seen = list(encoded.state.seen._counts)
        wrong = [*(tokens[:2] for tokens in seen), *((token,) * 5 for token in seen[0])]
        patch.setattr(SeenAnswers, "drafts", lambda *_: list(dict.fromkeys([*seen[:4], *wrong])))
        drafted = reader.generate(encoded, coalitions)
    return Answers(stepwise, drafted, plain_answers(reader, QUESTION, passages, coalitions))


@pytest.fixture(scope="module")
def unruled(t5, bart) -> dict[Path, list[str]]:
    return {checkpoint: answers(checkpoint).stepwise for checkpoint in (t5, bart)}


def common_token(reader_answers: list[str], checkpoint: Path) -> int:
    """The word that answers hold most often, so that a rule about it shows."""
    words = [word for answer in reader_answers for word in answer.split()]
    tokenizer = FiDReader(checkpoint, max_block_tokens=64).tokenizer
    return tokenizer.convert_tokens_to_ids(max(set(words), key=words.count))


RULES = {
    "bad_words_ids": lambda word: [[word]],
    "sequence_bias": lambda word: [[[word], -8.0], [[FIRST], 3.0]],
    "suppress_tokens": lambda word: [word],
    "begin_suppress_tokens": lambda word: [word, END],
    "repetition_penalty": lambda word: 1.7,
    "no_repeat_ngram_size": lambda word: 1,
    "min_length": lambda word: 7,
    "min_new_tokens": lambda word: 6,
    "forced_bos_token_id": lambda word: FIRST,
    "forced_eos_token_id": lambda word: FIRST,
    "exponential_decay_length_penalty": lambda word: [2, 1.6],
    "remove_invalid_values": lambda word: True,
}


IDLE = {  # no score is invalid here, and this BART's answers are long by themselves
    *(("t5", "remove_invalid_values"), ("bart", "remove_invalid_values")),
    *(("bart", "min_length"), ("bart", "min_new_tokens")),
}


@pytest.mark.parametrize("family", ["t5", "bart"])
@pytest.mark.parametrize("rule", RULES)
def test_a_rule_does_what_it_does_in_plain_generate(request, tmp_path, unruled, family, rule):
    checkpoint = request.getfixturevalue(family)
    plain = unruled[checkpoint]
    value = RULES[rule](common_token(plain, checkpoint))
    found = answers(with_rules(checkpoint, tmp_path, **{rule: value}))
    assert found.stepwise == found.drafted == found.plain
    assert (found.plain != plain) is ((family, rule) not in IDLE), "the rule changes nothing, so this shows nothing"


def test_rules_work_together_as_in_plain_generate(bart, tmp_path, unruled):
    word = common_token(unruled[bart], bart)
    rules = {name: value(word) for name, value in RULES.items() if name != "min_new_tokens"}
    found = answers(with_rules(bart, tmp_path, **rules))
    assert found.stepwise == found.drafted == found.plain


def test_every_field_of_transformers_is_honoured_harmless_or_refused():
    kinds = [HONOURED, HARMLESS, set(REFUSED)]
    assert sum(map(len, kinds)) == len(set.union(*kinds)), "a field stands in two lists"
    assert set(GenerationConfig().to_dict()) <= set.union(*kinds)


def rules_of(config: GenerationConfig) -> Rules:
    model = SimpleNamespace(generation_config=config, config=SimpleNamespace(vocab_size=63), device="cpu")
    return decoding_rules(model, 8)


REFUSALS = {
    "encoder_repetition_penalty": 1.5,
    "encoder_no_repeat_ngram_size": 3,
    "guidance_scale": 2.0,
    "max_time": 1.0,
    "stop_strings": ["."],
    "watermarking_config": {"greenlist_ratio": 0.5},
    "dola_layers": "low",
    "constraints": ["x"],
    "force_words_ids": [[5]],
    "token_healing": True,
}


@pytest.mark.parametrize("rule", REFUSALS)
def test_a_rule_that_would_be_ignored_is_refused_in_one_line(rule):
    config = GenerationConfig(decoder_start_token_id=0, eos_token_id=1)
    setattr(config, rule, REFUSALS[rule])
    with pytest.raises(ValueError, match=f"ask for {rule}=.*, which this reader does not apply; remove it") as error:
        rules_of(config)
    assert "\n" not in str(error.value)
    assert set(REFUSALS) == set(REFUSED)


def test_values_that_do_nothing_are_no_rules():
    config = GenerationConfig(decoder_start_token_id=0, eos_token_id=[1, 2])
    for name, value in {**REFUSED, "repetition_penalty": 1.0, "bad_words_ids": None, "min_length": 0}.items():
        setattr(config, name, value)
    rules = rules_of(config)
    assert (rules.start, rules.stops, len(rules.processors)) == (0, {1, 2}, 0)


@pytest.mark.parametrize("start", [None, [1, 2]])
def test_a_checkpoint_must_say_what_answers_begin_with(start):
    config = GenerationConfig(decoder_start_token_id=start)
    with pytest.raises(ValueError, match="must name one decoder_start_token_id or bos_token_id"):
        rules_of(config)


BEYOND: dict[str, Any] = {
    "sequence_bias": [[[5], 1.0], [[5, 99], 2.0]],
    "bad_words_ids": [[5, 99]],
    "decoder_start_token_id": 99,
    "bos_token_id": 99,
    "forced_bos_token_id": 99,
    "forced_eos_token_id": [1, 99],
}


@pytest.mark.parametrize("rule", BEYOND)
def test_a_token_that_does_not_exist_is_refused_at_load(t5, tmp_path, rule):
    with pytest.raises(SettingsError, match=f"cannot be loaded: .* name token 99 in {rule}, .* has 63 tokens"):
        load_reader(str(with_rules(t5, tmp_path, **{rule: BEYOND[rule]})))


@pytest.mark.parametrize("rule", ["suppress_tokens", "begin_suppress_tokens", "eos_token_id"])
def test_where_a_token_that_does_not_exist_does_nothing_it_may_stand(rule):
    assert rules_of(GenerationConfig(**{"decoder_start_token_id": 0, rule: [1, 99]})).start == 0


def test_a_causal_model_refuses_to_forbid_a_token_that_does_not_exist(gpt2, tmp_path):
    with pytest.raises(SettingsError, match="name token 999999 in bad_words_ids"):
        load_reader(str(with_rules(gpt2, tmp_path, bad_words_ids=[[999_999]])))


def test_a_refusal_reaches_the_user_with_the_checkpoints_name(t5, tmp_path):
    folder = with_rules(t5, tmp_path, encoder_no_repeat_ngram_size=3)
    with pytest.raises(SettingsError, match=r"cannot be loaded: .*encoder_no_repeat_ngram_size=3"):
        load_reader(ReaderSettings(checkpoint=str(folder), max_block_tokens=64))


def test_a_causal_model_gives_no_forbidden_token(gpt2, tmp_path):
    prompts = ["where is the old tower ?", "the sea"]
    plain = CausalModel(gpt2, max_answer_tokens=4).complete(prompts)
    word = plain[0].text.split()[0]
    token = CausalModel(gpt2).tokenizer.convert_tokens_to_ids(word)
    found = CausalModel(with_rules(gpt2, tmp_path, bad_words_ids=[[token]]), max_answer_tokens=4).complete(prompts)
    assert word not in " ".join(reply.text for reply in found).split()
