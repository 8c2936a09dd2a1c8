"""Adapters of PEFT and GGUF files as readers, against the models that they were made from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from rag.provenance import reader_checksum
from rag.readers.loading import load_reader
from rag.settings import ReaderSettings
from rag.settings_base import SettingsError
from retrievers import Passage

from ..checkpoints import randomize
from .conftest import random_coalitions, random_passages

QUESTION = "where is the old tower ?"


def load(checkpoint: Path):
    return load_reader(ReaderSettings(checkpoint=str(checkpoint), max_block_tokens=64, max_answer_tokens=5))


def answers(reader) -> list[str]:
    encoded = reader.encode(QUESTION, random_passages(4))
    return reader.generate(encoded, random_coalitions(10, 4))


def adapt(base: Path, folder: Path, auto, targets: list[str]) -> Path:
    """Save an adapter that changes much, and the model in which it is merged."""
    peft = pytest.importorskip("peft", reason="pip install peft")
    torch.manual_seed(0)
    config = peft.LoraConfig(r=2, target_modules=targets, init_lora_weights=False, lora_alpha=16)
    model = peft.get_peft_model(auto.from_pretrained(base), config)
    model.peft_config["default"].base_model_name_or_path = str(base)
    model.save_pretrained(folder / "adapter")
    model.merge_and_unload().save_pretrained(folder / "merged")
    AutoTokenizer.from_pretrained(base).save_pretrained(folder / "merged")
    return folder / "adapter"


@pytest.mark.parametrize(
    ("kind", "auto", "targets"),
    [("t5", AutoModelForSeq2SeqLM, ["q", "v"]), ("llama", AutoModelForCausalLM, ["q_proj", "o_proj"])],
)
def test_an_adapter_is_read_with_the_model_it_names(request, tmp_path, kind, auto, targets):
    base = request.getfixturevalue(kind)
    adapter = adapt(base, tmp_path, auto, targets)
    found = answers(load(adapter))
    assert found == answers(load(tmp_path / "merged"))
    assert found != answers(load(base))


def test_the_checksum_of_an_adapter_holds_for_the_model_below_too(t5, tmp_path):
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    shutil.copytree(t5, base)
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base)}))

    def checksum() -> str:
        return reader_checksum(ReaderSettings(checkpoint=str(adapter)))

    before = checksum()
    assert checksum() == before
    (base / "config.json").write_text((base / "config.json").read_text() + " ")
    below = checksum()
    (adapter / "note").write_text("changed")
    assert len({before, below, checksum()}) == 3


def test_adapters_that_do_not_fit_are_refused_in_one_line(t5, tmp_path):
    adapter = adapt(t5, tmp_path, AutoModelForSeq2SeqLM, ["q", "v"])

    def refusal(message: str) -> None:
        with pytest.raises(SettingsError, match=message) as error:
            load(adapter)
        assert "\n" not in str(error.value)

    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**config, "target_modules": ["q", "v", "o"]}))
    refusal("its adapter does not fit the model: Found missing adapter keys")
    (adapter / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": None}))
    refusal("does not name the model that it adapts")
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    refusal(r"an adapter without adapter_model\.safetensors")
    shutil.copy(t5 / "config.json", adapter)
    refusal("it holds a model and, in adapter_config.json, an adapter")


def write_gguf(model: LlamaForCausalLM, tokens: list[str], path: Path) -> Path:
    """As llama.cpp's convert_hf_to_gguf.py writes a Llama, with the queries' and keys' rows in its order."""
    gguf = pytest.importorskip("gguf", reason="pip install gguf")
    config, writer = model.config, gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * len(tokens))
    writer.add_token_merges(["t h"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, weight in model.state_dict().items():
        values = weight.numpy()
        for part, heads in (("q_proj", config.num_attention_heads), ("k_proj", config.num_key_value_heads)):
            if f".{part}." in name:
                split = values.reshape(heads, 2, values.shape[0] // heads // 2, values.shape[1])
                values = np.ascontiguousarray(split.swapaxes(1, 2).reshape(values.shape))
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_gguf_file_is_the_model_it_was_made_from(tmp_path):
    pytest.importorskip("accelerate", reason="pip install accelerate")
    letters = [chr(code) for code in (*range(33, 127), 288, 266)]  # of byte-level BPE: "Ġ" is a space, "Ċ" a new line
    tokens = ["<s>", "</s>", *letters, "th"]
    config = LlamaConfig(
        vocab_size=len(tokens),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        tie_word_embeddings=False,
        rms_norm_eps=1e-6,
    )
    model = LlamaForCausalLM(config).eval()
    randomize(model)
    reader = load(write_gguf(model, tokens, tmp_path / "tiny.gguf"))
    ids = reader.model.tokenizer("the old tower", return_tensors="pt").input_ids
    assert [tokens[token] for token in ids[0].tolist()] == ["th", *"eĠoldĠtower"]
    with torch.inference_mode():
        torch.testing.assert_close(reader.model.model(ids).logits, model(ids).logits, atol=1e-4, rtol=1e-4)
    assert reader.model.model.generation_config.eos_token_id == [1]
    encoded = reader.encode(QUESTION, [Passage("a", "the old stone tower")])
    assert len(reader.generate(encoded, random_coalitions(2, 1))) == 2
    with pytest.raises(SettingsError, match="there is no such file"):
        load(tmp_path / "other.gguf")
