"""A checkpoint's generation settings: which of them are honoured, and which are refused."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessorList
from transformers.generation import logits_process as library

BIASES = ("sequence_bias", "bad_words_ids")
SINGLE_TOKENS = ("decoder_start_token_id", "bos_token_id", "forced_bos_token_id", "forced_eos_token_id")
FORBIDDING = (*BIASES, "suppress_tokens", "begin_suppress_tokens")
"""Fields that forbid or favour tokens, whatever the text before the answer is."""

HONOURED = {
    *FORBIDDING,
    *SINGLE_TOKENS,
    *("eos_token_id", "repetition_penalty", "no_repeat_ngram_size", "min_length", "min_new_tokens"),
    *("exponential_decay_length_penalty", "remove_invalid_values"),
}
HARMLESS = {
    # How to search: a reader's answers are greedy by definition, as `Reader.generate` says.
    *("do_sample", "temperature", "top_k", "top_p", "min_p", "top_h", "typical_p", "epsilon_cutoff", "eta_cutoff"),
    *("num_beams", "num_beam_groups", "diversity_penalty", "early_stopping", "length_penalty", "penalty_alpha"),
    *("num_return_sequences", "renormalize_logits"),
    # How long an answer may be: `max_answer_tokens` says so.
    *("max_length", "max_new_tokens"),
    # How to compute, which changes no answer.
    *("use_cache", "cache_implementation", "cache_config", "max_cache_len", "low_memory", "prefill_chunk_size"),
    *("compile_config", "disable_compile", "continuous_batching_config", "use_mtp", "speculation_type"),
    *("is_assistant", "num_assistant_tokens", "num_assistant_tokens_schedule", "assistant_confidence_threshold"),
    *("assistant_early_exit", "assistant_lookbehind", "target_lookbehind", "assistant_ensemble_weight"),
    *("prompt_lookup_num_tokens", "max_matching_ngram_size", "pad_token_id"),
    # What to return, and where the settings come from.
    *("output_attentions", "output_hidden_states", "output_scores", "output_logits", "return_dict_in_generate"),
    *("transformers_version", "_from_model_config"),
}
REFUSED = {
    **{"encoder_repetition_penalty": 1.0, "encoder_no_repeat_ngram_size": 0, "guidance_scale": 1.0},
    **dict.fromkeys(("max_time", "stop_strings", "watermarking_config", "dola_layers", "constraints")),
    **{"force_words_ids": None, "token_healing": False},
}
"""Fields that would change answers and are not applied, each with the value, beside None, at which it does nothing.

A field of a newer `transformers` that stands in none of these lists is refused unless it is None.
"""


@dataclass(frozen=True)
class Rules:
    """How a checkpoint generates greedily: first token, last tokens, and what forbids or forces others."""

    start: int
    stops: frozenset[int]
    processors: LogitsProcessorList


def decoding_rules(model: Any, max_answer_tokens: int) -> Rules:
    """The own rules of greedy generation of an encoder-decoder, in the order in which `generate` applies them.

    Raises:
        ValueError: a setting would be ignored, names a token that does not exist, or there is no token to start with.
    """
    config, device = model.generation_config, model.device
    check_applied(config)
    check_tokens(config, model.config.vocab_size, (*BIASES, *SINGLE_TOKENS))
    start = config.bos_token_id if config.decoder_start_token_id is None else config.decoder_start_token_id
    if not isinstance(start, int):
        raise ValueError(
            "the checkpoint's generation settings must name one decoder_start_token_id or bos_token_id; "
            f"they name {start}"
        )
    stops = end_tokens(config)
    end = torch.tensor(stops, device=device) if stops else None
    rules = LogitsProcessorList()
    if config.sequence_bias:
        rules.append(library.SequenceBiasLogitsProcessor(config.sequence_bias))
    if config.repetition_penalty not in (None, 1.0):
        rules.append(library.RepetitionPenaltyLogitsProcessor(config.repetition_penalty))
    if config.no_repeat_ngram_size:
        rules.append(library.NoRepeatNGramLogitsProcessor(config.no_repeat_ngram_size))
    if config.bad_words_ids:
        rules.append(library.NoBadWordsLogitsProcessor(config.bad_words_ids, end))
    # `min_length` counts the start token; `min_new_tokens` takes its place.
    least = (config.min_length or 0) if config.min_new_tokens is None else 1 + config.min_new_tokens
    if least and end is not None:
        rules.append(library.MinLengthLogitsProcessor(least, end, device=str(device)))
    if config.forced_bos_token_id is not None:
        rules.append(library.ForcedBOSTokenLogitsProcessor(config.forced_bos_token_id))
    if config.forced_eos_token_id is not None:
        length = max_answer_tokens + 1
        rules.append(library.ForcedEOSTokenLogitsProcessor(length, config.forced_eos_token_id, device=str(device)))
    if config.remove_invalid_values:
        rules.append(library.InfNanRemoveLogitsProcessor())
    if config.exponential_decay_length_penalty is not None and end is not None:
        rules.append(library.ExponentialDecayLengthPenalty(config.exponential_decay_length_penalty, end, 1))
    if config.suppress_tokens:
        rules.append(library.SuppressTokensLogitsProcessor(config.suppress_tokens, device=str(device)))
    if config.begin_suppress_tokens:
        begin = 1 if config.forced_bos_token_id is None else 2
        rules.append(
            library.SuppressTokensAtBeginLogitsProcessor(config.begin_suppress_tokens, begin, device=str(device))
        )
    return Rules(start, frozenset(stops), rules)


def end_tokens(config: GenerationConfig, *others: int | None) -> list[int]:
    """The tokens that end an answer by the generation settings, and `others` (None: no token)."""
    own = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
    return [token for token in dict.fromkeys((*own, *others)) if token is not None]


def through_end(tokens: Sequence[int], ends: Container[int]) -> Sequence[int]:
    """The tokens up to the first that ends an answer, and that one; all if none does."""
    return tokens[: next((place for place, token in enumerate(tokens, 1) if token in ends), len(tokens))]


def check_tokens(config: GenerationConfig, vocab_size: int, names: Iterable[str]) -> None:
    """Raise `ValueError` if one of the fields `names` holds a token beyond the vocabulary.

    Generation would fail on such a token at the first question. Suppressed and end tokens that do not exist do nothing.
    """
    for name in names:
        unknown = [token for token in _tokens(getattr(config, name, None)) if not 0 <= token < vocab_size]
        if unknown:
            raise ValueError(
                f"the checkpoint's generation settings name token {unknown[0]} in {name}, but its vocabulary has "
                f"{vocab_size:,} tokens, from 0; correct the checkpoint's generation_config.json"
            )


def _tokens(value: Any) -> Iterator[int]:
    """The whole numbers in a field, however nested; biases are fractional numbers."""
    if isinstance(value, int):
        yield value
    elif isinstance(value, list | tuple | Mapping):
        for part in value:
            yield from _tokens(part)


def check_applied(config: GenerationConfig) -> None:
    """Raise `ValueError` if generation settings ask for what no reader applies."""
    known = GenerationConfig().to_dict()  # other fields are those of the model's authors; `generate` ignores them too
    for name in known.keys() - HONOURED - HARMLESS:
        value = getattr(config, name, None)
        if value is not None and value != REFUSED.get(name):
            raise ValueError(
                f"the checkpoint's generation settings ask for {name}={value}, which this reader does not apply; "
                "remove it from the checkpoint's generation_config.json"
            )
