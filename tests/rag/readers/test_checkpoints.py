"""Checkpoints as people have them: read with their own weights, or refused in one line that says what to do."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoTokenizer,
    BartForSequenceClassification,
    BertConfig,
    BertForMaskedLM,
    ByT5Tokenizer,
    EncoderDecoderConfig,
    EncoderDecoderModel,
    GPT2ForSequenceClassification,
    LEDConfig,
    LEDForConditionalGeneration,
    LlamaModel,
    ProphetNetConfig,
    ProphetNetForConditionalGeneration,
    RobertaConfig,
    RobertaForQuestionAnswering,
    RwkvConfig,
    RwkvForCausalLM,
    SwitchTransformersConfig,
    SwitchTransformersForConditionalGeneration,
    T5Config,
    T5EncoderModel,
    T5ForConditionalGeneration,
)

from rag.cli import run
from rag.readers.fid import FiDReader
from rag.readers.loading import load_reader
from rag.readers.prompt.causal import CausalModel
from rag.readers.prompt.reader import PromptReader
from rag.settings import ReaderSettings
from rag.settings_base import SettingsError

from ..checkpoints import WORDS, bare_word_tokenizer, make_llama, save_random, word_tokenizer
from .conftest import random_coalitions, random_passages

QUESTION = "where is the old tower ?"
N_WORDS = len(word_tokenizer(bart=True))
TOKENS = {"vocab_size": N_WORDS, "bos_token_id": 3, "eos_token_id": 1, "pad_token_id": 0}
ENCODER = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, **TOKENS}
BART = {"d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, **TOKENS}
BART |= {"encoder_attention_heads": 4, "decoder_attention_heads": 4}


def load(folder: Path, **settings):
    return load_reader(ReaderSettings(checkpoint=str(folder), **{"max_block_tokens": 64, **settings}))


def refusal(folder: Path, **settings) -> str:
    """The line with which a checkpoint is refused."""
    with pytest.raises(SettingsError) as error:
        load(folder, **settings)
    line = str(error.value)
    assert line.startswith(f"reader.checkpoint: '{folder}'")
    assert "\n" not in line
    return line


def changed_file(folder: Path, name: str, **values) -> None:
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def renamed(checkpoint: Path, folder: Path, rename: Callable[[str], str | None]) -> Path:
    """A copy whose weights have other names; None leaves one out."""
    shutil.copytree(checkpoint, folder, dirs_exist_ok=True)
    weights = load_file(folder / "model.safetensors")
    save_file(
        {name: weight for old, weight in weights.items() if (name := rename(old)) is not None},
        folder / "model.safetensors",
        {"format": "pt"},
    )
    return folder


def fusion_in_decoder(name: str) -> str:
    """As facebookresearch/FiD wraps the encoder and, for checkpointing, each of its blocks."""
    if not name.startswith("encoder."):
        return name
    name = name.replace("encoder.", "encoder.encoder.", 1)
    head, block, rest = name.partition(".block.")
    return f"{head}{block}{rest.replace('.', '.module.', 1)}" if block else name


def saved(model, folder: Path, *, bart: bool = True) -> Path:
    model.save_pretrained(folder)
    word_tokenizer(bart=bart).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("rename", [fusion_in_decoder, lambda name: f"module.{name}"], ids=["FiD", "DataParallel"])
def test_weights_under_the_names_of_other_programs_are_the_same_weights(t5, tmp_path, rename):
    folder = renamed(t5, tmp_path, rename)
    assert not set(load_file(folder / "model.safetensors")) & {"encoder.block.0.layer.0.SelfAttention.q.weight"}
    if rename is fusion_in_decoder:
        assert "encoder.encoder.block.1.module.layer.1.layer_norm.weight" in load_file(folder / "model.safetensors")
        changed_file(folder, "config.json", architectures=["FiDT5"])
    passages, coalitions = random_passages(4), random_coalitions(12, 4)
    readers = [load(checkpoint, max_answer_tokens=6) for checkpoint in (t5, folder)]
    own, other = (reader.generate(reader.encode(QUESTION, passages), coalitions) for reader in readers)
    assert own == other
    assert len(set(own)) > 1


def test_a_prefix_of_a_causal_model(llama, tmp_path):
    folder = renamed(llama, tmp_path, lambda name: f"module.{name}")
    prompts = ["the old tower", "a ferry in the north"]
    assert load(folder).model.complete(prompts) == load(llama).model.complete(prompts)


def test_a_missing_block_is_named(t5, tmp_path):
    line = refusal(renamed(t5, tmp_path, lambda name: None if name.startswith("decoder.block.1.") else name))
    assert "a T5ForConditionalGeneration (t5), cannot be loaded" in line
    assert "saved as T5ForConditionalGeneration (t5), lack 13 of the" in line
    assert "which would be random: decoder.block.1.layer.0." in line
    assert "and 10 more; give the whole checkpoint, saved as T5ForConditionalGeneration" in line


def test_weights_of_another_shape_are_named(t5, tmp_path):
    folder = renamed(t5, tmp_path, lambda name: name)
    changed_file(folder, "config.json", d_ff=128)
    line = refusal(folder)
    assert "DenseReluDense.wi.weight is (64, 32), not (128, 32)" in line


def test_blocks_that_the_configuration_leaves_out_are_named(t5, tmp_path):
    folder = renamed(t5, tmp_path, lambda name: name)
    changed_file(folder, "config.json", num_decoder_layers=1)
    assert "hold more blocks than its config.json says, among them decoder.block.1." in refusal(folder)


def test_an_encoder_alone(t5, tmp_path):
    T5EncoderModel.from_pretrained(t5).save_pretrained(tmp_path)
    word_tokenizer(bart=False).save_pretrained(tmp_path)
    assert "it is a T5EncoderModel, which is an encoder alone" in refusal(tmp_path)
    changed_file(tmp_path, "config.json", architectures=None)  # as many programs leave it out
    assert "(t5), which writes no answers to texts" in refusal(tmp_path)
    line = refusal(renamed(t5, tmp_path / "claims", lambda name: None if name.startswith("decoder.") else name))
    assert "decoder.block.0.layer.0" in line
    assert "it is an encoder alone; give an encoder-decoder" in line


def test_a_base_model_without_its_head(tmp_path):
    llama = make_llama(tmp_path / "whole")
    LlamaModel.from_pretrained(llama).save_pretrained(tmp_path / "base")
    bare_word_tokenizer().save_pretrained(tmp_path / "base")
    line = refusal(tmp_path / "base")
    assert "saved as LlamaModel (llama), lack 1 of the 21 of a LlamaForCausalLM, which would be random: lm_head" in line
    assert "it is a base model, saved without the head that writes text" in line


def test_weights_that_are_tied_need_not_be_saved(bart, tmp_path):
    folder = renamed(bart, tmp_path, lambda name: None if name == "final_logits_bias" else name)
    changed_file(folder, "config.json", architectures=["BartModel"])  # facebook/bart-base says so
    assert "lm_head.weight" not in load_file(folder / "model.safetensors")
    load(folder)


@pytest.mark.parametrize(
    ("make", "named", "does"),
    [
        (lambda: RobertaForQuestionAnswering(RobertaConfig(**ENCODER)), "RobertaForQuestionAnswering", "marks a span"),
        (lambda: BertForMaskedLM(BertConfig(**ENCODER)), "BertForMaskedLM", "fills gaps"),
    ],
)
def test_encoders_are_told_by_their_heads(tmp_path, make, named, does):
    line = refusal(saved(make(), tmp_path))
    assert f"it is a {named}, which {does}" in line
    assert "give an encoder-decoder, such as google/flan-t5-base, or a causal model" in line


def test_a_bert_that_does_not_say_what_it_is_sees_ahead(tmp_path):
    save_random(BertForMaskedLM(BertConfig(**ENCODER)), word_tokenizer(bart=True), tmp_path)
    changed_file(tmp_path, "config.json", architectures=None)
    assert "cannot be asked: each of its tokens sees those after it" in refusal(tmp_path)


def test_classifiers_and_reward_models(gpt2, bart, tmp_path):
    for model, checkpoint in ((GPT2ForSequenceClassification, gpt2), (BartForSequenceClassification, bart)):
        folder = saved(model.from_pretrained(checkpoint), tmp_path / model.__name__)
        assert f"it is a {model.__name__}, which gives a text a score or a class" in refusal(folder)


def test_torchs_own_files_are_refused_with_the_command_that_converts_them(t5, tmp_path):
    shutil.copytree(t5, tmp_path, dirs_exist_ok=True)
    weights = load_file(tmp_path / "model.safetensors")
    names = sorted(weights)
    (tmp_path / "model.safetensors").unlink()
    for number, part in enumerate((names[::2], names[1::2]), 1):
        torch.save({name: weights[name] for name in part}, tmp_path / f"pytorch_model-0000{number}-of-00002.bin")
    line = refusal(tmp_path)
    assert "holds pytorch_model-00001-of-00002.bin but no safetensors" in line
    program, option, code = shlex.split(line.partition("convert them by ")[2])
    assert (program, option) == ("python", "-c")
    exec(code, {})
    load(tmp_path)
    assert load_file(tmp_path / "model.safetensors").keys() == weights.keys()


@pytest.mark.parametrize("kind", ["t5", "gpt2"])
def test_a_tokenizer_without_a_pad_token(request, tmp_path, kind):
    whole = request.getfixturevalue(kind)
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    changed_file(tmp_path, "tokenizer_config.json", pad_token=None)
    assert AutoTokenizer.from_pretrained(tmp_path).pad_token_id is None
    passages, coalitions = random_passages(3), random_coalitions(8, 3)
    own, other = (
        reader.generate(reader.encode(QUESTION, passages), coalitions)
        for reader in (load(folder, max_answer_tokens=4) for folder in (whole, tmp_path))
    )
    assert own == other


@pytest.mark.parametrize(("kind", "files"), [("t5", "spiece.model or tokenizer.json"), ("gpt2", "merges.txt or ")])
def test_a_folder_without_a_tokenizer(request, tmp_path, kind, files):
    """As Fusion-in-Decoder's code saves it; `transformers` would make a tokenizer to which every word is unknown."""
    shutil.copytree(request.getfixturevalue(kind), tmp_path, dirs_exist_ok=True)
    for path in tmp_path.glob("tokenizer*"):
        path.unlink()
    assert f"it has no tokenizer ({files}" in refusal(tmp_path)


def test_a_tokenizer_of_bytes_needs_no_file(tmp_path):
    config = T5Config(vocab_size=384, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, decoder_start_token_id=0)
    save_random(T5ForConditionalGeneration(config), ByT5Tokenizer(), tmp_path)
    assert not list(tmp_path.glob("tokenizer.json"))
    load(tmp_path)


def test_an_encoder_that_reads_in_windows(tmp_path):
    limits = {"max_encoder_position_embeddings": 128, "max_decoder_position_embeddings": 128, "attention_window": 8}
    line = refusal(saved(LEDForConditionalGeneration(LEDConfig(**BART, **limits)), tmp_path))
    assert "it is a LEDForConditionalGeneration (led): its encoder attends to windows" in line


def test_answers_longer_than_positions(bart):
    line = refusal(bart, max_answer_tokens=129)
    assert "writes at most 128 tokens, max_answer_tokens is 129; set reader.max_answer_tokens lower" in line
    load(bart, max_answer_tokens=128)


def test_a_chat_template_that_raises(llama, tmp_path):
    shutil.copytree(llama, tmp_path, dirs_exist_ok=True)
    (tmp_path / "chat_template.jinja").write_text("{{ raise_exception('A system message is needed') }}")
    assert "cannot be asked: TemplateError: A system message is needed" in refusal(tmp_path)


@pytest.mark.parametrize("kind", ["t5", "gpt2"])
@pytest.mark.parametrize("place", ["generation_config.json", "config.json"])
def test_a_rule_that_would_be_ignored(request, tmp_path, kind, place):
    shutil.copytree(request.getfixturevalue(kind), tmp_path, dirs_exist_ok=True)
    if place == "config.json":
        (tmp_path / "generation_config.json").unlink()  # as older checkpoints have it
    changed_file(tmp_path, place, encoder_no_repeat_ngram_size=3)
    assert "ask for encoder_no_repeat_ngram_size=3, which this reader does not apply; remove it" in refusal(tmp_path)


def test_generation_settings_that_cannot_be_read_are_not_passed_over(bart, tmp_path):
    shutil.copytree(bart, tmp_path, dirs_exist_ok=True)
    (tmp_path / "generation_config.json").write_text("{")
    assert "generation_config.json is damaged" in refusal(tmp_path)


def random_models() -> dict[str, Callable]:
    """Families that load and fail when they are asked."""
    decoder = {"num_encoder_layers": 2, "num_decoder_layers": 2, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64}
    decoder |= {"num_encoder_attention_heads": 4, "num_decoder_attention_heads": 4, "hidden_size": 32, **TOKENS}
    t5 = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "num_experts": 2, **TOKENS}
    both = EncoderDecoderConfig.from_encoder_decoder_configs(BertConfig(**ENCODER), BertConfig(**ENCODER))
    start = {"decoder_start_token_id": 0, **TOKENS}
    rwkv = RwkvConfig(hidden_size=32, num_hidden_layers=2, attention_hidden_size=32, intermediate_size=64, **TOKENS)
    return {
        "bert2bert": lambda: EncoderDecoderModel(EncoderDecoderConfig(**{**both.to_dict(), **start})),
        "ProphetNet": lambda: ProphetNetForConditionalGeneration(ProphetNetConfig(**decoder, decoder_start_token_id=0)),
        "Switch": lambda: SwitchTransformersForConditionalGeneration(
            SwitchTransformersConfig(**t5, decoder_start_token_id=0)
        ),
        "RWKV": lambda: RwkvForCausalLM(rwkv),
    }


@pytest.mark.parametrize("family", random_models())
def test_families_that_cannot_answer_are_refused_when_loaded_and_by_doctor(family, tmp_path, capfd):
    save_random(random_models()[family](), word_tokenizer(bart=True), tmp_path)
    line = refusal(tmp_path)
    assert "cannot be " in line
    if family == "Switch":
        settings = ["-s", f"reader.checkpoint={tmp_path}", "-s", "reader.max_block_tokens=64"]
        assert run(["doctor", "--json", *settings]) == 1
        checks = json.loads(capfd.readouterr().out)["checks"]
        assert [c["state"] for c in checks if (c["group"], c["name"]) == ("models", "reader")] == ["problem"]


def test_replies_end_at_the_tokenizers_end_too(gpt2, tmp_path):
    """A chat model's tokenizer knows the end of a turn; its generation settings may name the end of a text alone."""
    shutil.copytree(gpt2, tmp_path, dirs_exist_ok=True)
    prompt = "the old tower"
    said = load(gpt2, max_answer_tokens=6).model.complete([prompt])[0].text.split()
    last = next(word for word in said if word in WORDS)
    changed_file(tmp_path, "tokenizer_config.json", eos_token=last)
    reader = load(tmp_path, max_answer_tokens=6)
    token = reader.model.tokenizer.eos_token_id
    assert reader.model.tokenizer.convert_ids_to_tokens(token) == last
    assert reader.model.complete([prompt])[0].text.split() == said[: said.index(last)]
    assert reader.model.model.generation_config.eos_token_id == [1, token]


def test_the_trial_leaves_the_reader_as_it_was(gpt2, t5):
    passages, coalitions = random_passages(3), random_coalitions(8, 3)
    for checkpoint, plain in (
        (gpt2, PromptReader(CausalModel(gpt2, max_answer_tokens=7))),
        (t5, FiDReader(t5, max_answer_tokens=7)),
    ):
        own, other = (
            reader.generate(reader.encode(QUESTION, passages), coalitions)
            for reader in (load(checkpoint, max_answer_tokens=7, max_block_tokens=256), plain)
        )
        assert own == other
        assert max(len(answer.split()) for answer in own) > 2  # which is what the trial allows itself
