"""Tiny random checkpoints: their answers mean nothing, but every mechanism must hold for them too."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MPNetConfig,
    MPNetModel,
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


def bare_word_tokenizer() -> PreTrainedTokenizerFast:
    """As causal models have it: nothing is set before or after a text."""
    tokenizer = word_tokenizer(bart=True)
    tokenizer.backend_tokenizer.post_processor = processors.Sequence([])
    return tokenizer


def randomize(model) -> None:
    """Give a model weights far from zero, so that what a decoder sees decides what it says."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1 and "relative_attention_bias" not in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * (2.5 / parameter.shape[-1] ** 0.5))


def save_random(model, tokenizer, folder: Path) -> Path:
    randomize(model)
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
    return save_random(T5ForConditionalGeneration(config), tokenizer, folder)


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
    return save_random(model, tokenizer, folder)


CHAT = (
    "{% for message in messages %}<s>{{ message['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<s>{% endif %}"
)


def make_gpt2(folder: Path) -> Path:
    """Learnt positions: padding that shifts them shows."""
    tokenizer = bare_word_tokenizer()
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=512, n_embd=32, n_layer=2, n_head=4, bos_token_id=3, eos_token_id=1
    )
    return save_random(GPT2LMHeadModel(config), tokenizer, folder)


def make_llama(folder: Path, **generation) -> Path:
    """Rotary positions, fewer key heads than query heads, and a chat template."""
    tokenizer = bare_word_tokenizer()
    tokenizer.chat_template = CHAT
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        bos_token_id=3,
        eos_token_id=1,
        pad_token_id=0,
    )
    model = LlamaForCausalLM(config)
    for name, value in generation.items():
        setattr(model.generation_config, name, value)
    return save_random(model, tokenizer, folder)


def make_mpnet(folder: Path) -> Path:
    """With the vocabulary of the real one, and weights that make its states differ from token to token."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 8, "num_attention_heads": 4, "intermediate_size": 64}
    model = MPNetModel(MPNetConfig(max_position_embeddings=514, **sizes))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                parameter.mul_(8 if "embeddings" not in name else 20)
    model.save_pretrained(folder)
    return folder
