"""Tiny random checkpoints: their answers mean nothing, but every mechanism must hold for them too."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

WORDS = (
    "question title context : . ? the a of in is was who where when rock tower island sea ferry bird stone year "
    "north south east west old new high low red green one two three four five six seven eight nine ten light house "
    "keeper engine harbour storm winter summer fish whale ship captain road bridge tunnel hill"
).split()


def word_tokenizer(*, bart: bool) -> PreTrainedTokenizerFast:
    special = ["<pad>", "</s>", "<unk>", "<s>"]
    vocabulary = {word: i for i, word in enumerate([*special, *dict.fromkeys(WORDS)])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    pattern = "<s> $A </s>" if bart else "$A </s>"
    ids = [("<s>", 3), ("</s>", 1)] if bart else [("</s>", 1)]
    tokenizer.post_processor = processors.TemplateProcessing(single=pattern, special_tokens=ids)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", bos_token="<s>"
    )


def _save(model, tokenizer, folder: Path) -> Path:
    # Weights far from zero, so that what a decoder sees decides what it says.
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1 and "relative_attention_bias" not in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * (2.5 / parameter.shape[-1] ** 0.5))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_t5(folder: Path) -> Path:
    tokenizer = word_tokenizer(bart=False)
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        dropout_rate=0.0,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
    )
    return _save(T5ForConditionalGeneration(config), tokenizer, folder)


def make_bart(folder: Path, *, end_bias: float = 0.0, **generation) -> Path:
    tokenizer = word_tokenizer(bart=True)
    config = BartConfig(
        vocab_size=len(tokenizer),
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_position_embeddings=128,
        dropout=0.0,
        attention_dropout=0.0,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=3,
        decoder_start_token_id=1,
        forced_eos_token_id=None,
    )
    model = BartForConditionalGeneration(config)
    model.final_logits_bias[0, 1] = end_bias
    for name, value in generation.items():
        setattr(model.generation_config, name, value)
    return _save(model, tokenizer, folder)
