"""The families that docs/checkpoints.md lists: each answers a question as the library's own `generate` does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, Qwen2Tokenizer
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from rag.readers.loading import load_reader
from rag.readers.prompt.answer import find_answer
from rag.settings import ReaderSettings
from retrievers import Passage

from ..checkpoints import bare_word_tokenizer, save_random, word_tokenizer

QUESTION = "where is the old tower ?"
PASSAGES = [Passage("a", "the old stone tower"), Passage("b", "a red bridge in the north sea", "ferry")]
ROWS = np.array([[True, True], [False, True]])

BART = {"d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64}
BART |= {"encoder_attention_heads": 4, "decoder_attention_heads": 4, "max_position_embeddings": 128}
T5 = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
SEQ2SEQ: dict[str, tuple[str, dict[str, Any]]] = {
    "T5": ("t5", T5),
    "mT5": ("mt5", T5),
    "UMT5": ("umt5", T5),
    "LongT5": ("longt5", T5),
    "BART": ("bart", BART),
    "mBART": ("mbart", BART),
    "PLBart": ("plbart", BART),
    "Blenderbot": ("blenderbot", {**BART, "encoder_no_repeat_ngram_size": 0}),
    "Blenderbot Small": ("blenderbot-small", BART),
    "Marian": ("marian", BART),
    "M2M100 and NLLB": ("m2m_100", BART),
    "Pegasus": ("pegasus", BART),
}

DECODER = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
DECODER |= {"num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 512}
CAUSAL: dict[str, tuple[str, dict[str, Any]]] = {
    "Apertus": ("apertus", {}),
    "Arcee": ("arcee", {}),
    "BioGPT": ("biogpt", {}),
    "BitNet": ("bitnet", {}),
    "BLOOM": ("bloom", {}),
    "CodeGen": ("codegen", {"rotary_dim": 8}),
    "Cohere": ("cohere", {}),
    "Cohere 2": ("cohere2", {}),
    "DiffLlama": ("diffllama", {}),
    "ERNIE 4.5": ("ernie4_5", {}),
    "EXAONE 4": ("exaone4", {}),
    "Falcon": ("falcon", {"head_dim": None, "multi_query": False}),
    "Falcon Mamba": ("falcon_mamba", {"num_attention_heads": None, "num_key_value_heads": None, "head_dim": None}),
    "Gemma": ("gemma", {}),
    "Gemma 2": ("gemma2", {}),
    "Gemma 3": ("gemma3_text", {}),
    "GLM": ("glm", {}),
    "GLM-4": ("glm4", {}),
    "GPT-2": ("gpt2", {}),
    "GPT BigCode": ("gpt_bigcode", {}),
    "GPT-J": ("gptj", {"rotary_dim": 8}),
    "GPT Neo": ("gpt_neo", {"attention_types": [[["global", "local"], 1]]}),
    "GPT-NeoX": ("gpt_neox", {}),
    "Granite": ("granite", {}),
    "Granite MoE": ("granitemoe", {}),
    "Helium": ("helium", {}),
    "Hunyuan": ("hunyuan_v1_dense", {}),
    "LFM2": ("lfm2", {}),
    "Llama": ("llama", {}),
    "Mamba": ("mamba", {"num_attention_heads": None, "num_key_value_heads": None, "head_dim": None}),
    "Ministral": ("ministral", {}),
    "Mistral": ("mistral", {}),
    "Mixtral": ("mixtral", {}),
    "ModernBERT decoder": ("modernbert-decoder", {}),
    "MPT": ("mpt", {}),
    "Nemotron": ("nemotron", {}),
    "OLMo": ("olmo", {}),
    "OLMo 2": ("olmo2", {}),
    "OLMo 3": ("olmo3", {}),
    "OPT": ("opt", {"word_embed_proj_dim": 32, "ffn_dim": 64}),
    "Persimmon": ("persimmon", {}),
    "Phi": ("phi", {}),
    "Phi-3": ("phi3", {}),
    "Qwen2 and Qwen2.5": ("qwen2", {}),
    "Qwen3": ("qwen3", {}),
    "Seed-OSS": ("seed_oss", {}),
    "SmolLM3": ("smollm3", {}),
    "StableLM": ("stablelm", {}),
    "StarCoder2": ("starcoder2", {}),
    "XGLM": ("xglm", {"d_model": 32, "ffn_dim": 64, "attention_heads": 4, "num_layers": 2}),
}


def load(folder: Path) -> Any:
    return load_reader(ReaderSettings(checkpoint=str(folder), max_block_tokens=64, max_answer_tokens=4))


def config(kind: str, vocab_size: int, **values: Any) -> Any:
    tokens = {"vocab_size": vocab_size, "bos_token_id": 3, "eos_token_id": 1, "pad_token_id": 0}
    return CONFIG_MAPPING[kind](**tokens, **{name: value for name, value in values.items() if value is not None})


def byte_tokenizer() -> Qwen2Tokenizer:
    """Of a family whose tokenizer is always cut into bytes, whatever the file says."""
    letters = [chr(code) for code in (*range(33, 127), 288, 266)]
    return Qwen2Tokenizer({token: i for i, token in enumerate(["<pad>", "</s>", "<unk>", "<s>", *letters])}, [])


@pytest.mark.parametrize("family", SEQ2SEQ)
def test_an_encoder_decoder(family, tmp_path):
    kind, values = SEQ2SEQ[family]
    tokenizer = word_tokenizer(bart=values is not T5)
    model = AutoModelForSeq2SeqLM.from_config(config(kind, len(tokenizer), decoder_start_token_id=0, **values)).eval()
    reader = load(save_random(model, tokenizer, tmp_path))
    found = reader.generate(reader.encode(QUESTION, PASSAGES), ROWS)
    for row, answer in zip(ROWS, found, strict=True):
        texts = [
            f"question: {QUESTION} title: {PASSAGES[i].title} context: {PASSAGES[i].text}" for i in np.flatnonzero(row)
        ]
        with torch.inference_mode():
            blocks = [model.get_encoder()(**tokenizer(text, return_tensors="pt")).last_hidden_state for text in texts]
        states = torch.cat(blocks, 1)
        ids = model.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=states),
            attention_mask=torch.ones(states.shape[:2], dtype=torch.long),
            max_new_tokens=4,
            num_beams=1,
            do_sample=False,
        )
        assert answer == tokenizer.decode(ids[0], skip_special_tokens=True).strip()


@pytest.mark.parametrize("family", CAUSAL)
def test_a_causal_model(family, tmp_path):
    kind, values = CAUSAL[family]
    tokenizer = byte_tokenizer() if kind == "qwen2" else bare_word_tokenizer()
    model = AutoModelForCausalLM.from_config(config(kind, len(tokenizer), **{**DECODER, **values})).eval()
    reader = load(save_random(model, tokenizer, tmp_path))
    encoded = reader.encode(QUESTION, PASSAGES)
    found = reader.generate(encoded, ROWS)
    for prompt, answer in zip(reader.prompts(encoded, ROWS), found, strict=True):
        ids = tokenizer(prompt, return_tensors="pt").input_ids
        done = model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=4, pad_token_id=0
        )
        assert answer == find_answer(tokenizer.decode(done[0, ids.shape[1] :], skip_special_tokens=True))


def test_the_documentation_lists_them():
    text = " ".join((Path(__file__).parents[3] / "docs" / "checkpoints.md").read_text(encoding="utf-8").split())
    for families in (SEQ2SEQ, CAUSAL):
        assert ", ".join(list(families)[:-1]) + f" and {list(families)[-1]}." in text
