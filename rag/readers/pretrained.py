"""Checkpoints of `transformers`: every weight is the checkpoint's own, or one line says why it cannot be used."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer
from transformers.utils import cached_file

from rag.readers.attention import SHARED_ATTENTION
from rag.readers.checkpoint_files import locate

HEADS = {
    "ForQuestionAnswering": "marks a span in a text and writes no answer",
    "ForMultipleChoice": "chooses among given answers and writes none",
    "ForSequenceClassification": "gives a text a score or a class and writes no answer",
    "RewardModel": "gives a text a score and writes no answer",
    "ForTokenClassification": "labels words and writes no answer",
    "ForMaskedLM": "fills gaps in a text that it sees whole and writes no answer",
    "ForNextSentencePrediction": "compares two texts and writes no answer",
    "EncoderModel": "is an encoder alone and writes no answer",
}
"""Endings of architectures, as config.json names them, that cannot be readers, whatever weights they share with one."""

UNSUITED = {
    "bigbird_pegasus": "its encoder attends to blocks of a text at random",
    "led": "its encoder attends to windows of a text, which must be padded to them",
    "pegasus_x": "its encoder attends to windows of a text, which must be padded to them",
}
"""Types of encoder-decoders that cannot encode a passage by itself, and why."""

FUSION_IN_DECODER = {r"^encoder\.encoder\.(.+)": r"encoder.\1", r"\.module\.": "."}
"""Names of weights as https://github.com/facebookresearch/FiD saves them, whose encoder and blocks are wrapped."""

WRAPPED = {r"^module\.(.+)": r"\1"}
"""Names of weights as torch's `DataParallel` saves them."""

INSTEAD = "give an encoder-decoder, such as google/flan-t5-base, or a causal model, such as Qwen/Qwen2.5-0.5B-Instruct"
_SHOWN = 3  # names of weights in a message
_NUMBER = re.compile(r"\d+")


def load_config(checkpoint: str | Path) -> Any:
    """The configuration of a checkpoint that may be a reader.

    Raises:
        ValueError: it is of an architecture that writes no answers.
        OSError: it cannot be found.
    """
    files = locate(checkpoint)
    config = AutoConfig.from_pretrained(files.model, trust_remote_code=False, **files.of_parts)
    for name in config.architectures or ():
        for ending, does in HEADS.items():
            if name.endswith(ending):
                raise ValueError(f"it is a {name}, which {does}; {INSTEAD}")
    if config.model_type in UNSUITED:
        raise ValueError(f"it is a {found(config)}: {UNSUITED[config.model_type]}; {INSTEAD}")
    known = (AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM)._model_mapping
    if type(config) not in known:
        raise ValueError(f"it is a {found(config)}, which writes no answers to texts; {INSTEAD}")
    return config


def load_seq2seq(
    checkpoint: str | Path, max_block_tokens: int, max_answer_tokens: int, dtype: torch.dtype = torch.float32
) -> tuple[Any, Any]:
    """An encoder-decoder with shared cross-attention, and its tokenizer; see `FiDReader` for what is raised."""
    config = load_config(checkpoint)
    if not config.is_encoder_decoder:
        raise ValueError(
            f"{checkpoint} is a {config.model_type} model without encoder and decoder; "
            "use an encoder-decoder checkpoint (T5, Flan-T5, BART, FiD)"
        )
    positions = getattr(config, "max_position_embeddings", None)
    limits = (("reads", "max_block_tokens", max_block_tokens), ("writes", "max_answer_tokens", max_answer_tokens))
    for does, name, tokens in limits:
        if positions is not None and positions < tokens:
            raise ValueError(
                f"{checkpoint} {does} at most {positions} tokens, {name} is {tokens}; set reader.{name} lower"
            )
    model = load_model(checkpoint, config, dtype, attn_implementation=SHARED_ATTENTION)
    return model, load_tokenizer(checkpoint)


def load_model(checkpoint: str | Path, config: Any, dtype: torch.dtype = torch.float32, **options: Any) -> Any:
    """The model of a configuration, with all of its weights from the checkpoint's safetensors.

    Args:
        checkpoint: its name or folder.
        config: of `load_config`.
        dtype: of the weights.
        **options: others of `from_pretrained`.

    Raises:
        ValueError: weights are missing or of another shape.
        OSError: there are no safetensors.
    """
    files = locate(checkpoint)
    auto = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    names = {**WRAPPED, **FUSION_IN_DECODER} if "t5" in config.model_type else WRAPPED
    with _own_words():
        loaded: Any = auto.from_pretrained(
            files.model,
            config=config,
            trust_remote_code=False,
            dtype=dtype,
            key_mapping=names,
            ignore_mismatched_sizes=True,  # so that they are named, below
            output_loading_info=True,
            **files.of_weights,
            **options,
        )
    model, info = loaded
    _check_complete(model, info, found(config))
    return (model if files.adapter is None else _merge(model, files.adapter)).eval()


def load_tokenizer(checkpoint: str | Path) -> Any:
    """The checkpoint's tokenizer; raises `OSError` if there is none, as `transformers` would make one without words."""
    files = locate(checkpoint)
    tokenizer = AutoTokenizer.from_pretrained(files.tokenizer, trust_remote_code=False, **files.of_parts)
    names = sorted(set(getattr(tokenizer, "vocab_files_names", {}).values()))  # none for tokenizers of bytes
    if names and files.gguf is None and not any(_has(files.tokenizer, name) for name in names):
        raise OSError(
            f"it has no tokenizer ({' or '.join(names)}); put the files of the one that it was trained with beside it, "
            "such as google-t5/t5-base's for Fusion-in-Decoder"
        )
    return tokenizer


def _has(checkpoint: str, file: str) -> bool:
    """Whether a folder, or a model of the hub, has a file."""
    missing = {"_raise_exceptions_for_missing_entries": False, "_raise_exceptions_for_connection_errors": False}
    return cached_file(checkpoint, file, **missing) is not None


def _merge(model: Any, adapter: Path) -> Any:
    """The model with the weights of an adapter merged into its own; raises `ValueError` if some do not fit."""
    from peft import PeftModel

    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Found missing adapter keys")
        try:
            adapted: Any = PeftModel.from_pretrained(model, str(adapter))
        except UserWarning as warning:
            raise ValueError(f"its adapter does not fit the model: {warning}") from None
    if not hasattr(adapted, "merge_and_unload"):
        kind = adapted.active_peft_config.peft_type.value
        raise ValueError(f"its adapter is of the kind {kind}, which cannot be merged into the model")
    return adapted.merge_and_unload()


def found(config: Any) -> str:
    """What a configuration says that a checkpoint is."""
    return f"{' or '.join(config.architectures or ['model without a named architecture'])} ({config.model_type})"


def _check_complete(model: Any, info: Mapping[str, Collection[Any]], of: str) -> None:
    expected = type(model).__name__
    missing = sorted(info["missing_keys"])
    if missing:
        total = len(model.state_dict())
        raise ValueError(
            f"its weights, saved as {of}, lack {len(missing)} of the {total} of a {expected}, which would be random: "
            f"{_some(missing)}; {_reason(model, missing)}"
        )
    if info["mismatched_keys"]:
        shapes = [f"{name} is {tuple(has)}, not {tuple(wants)}" for name, has, wants in sorted(info["mismatched_keys"])]
        raise ValueError(f"its weights are not of the shapes that its config.json says: {_some(shapes)}")
    blocks = {_NUMBER.sub("*", name) for name in model.state_dict()}
    if left := sorted(name for name in info["unexpected_keys"] if _NUMBER.sub("*", name) in blocks):
        raise ValueError(f"its weights hold more blocks than its config.json says, among them {_some(left)}")


def _reason(model: Any, missing: list[str]) -> str:
    """Why weights may be missing, and what to do."""
    head = model.get_output_embeddings()
    heads = {name for name, module in model.named_modules() if module is head}
    if all(name.rpartition(".")[0] in heads for name in missing):
        return "it is a base model, saved without the head that writes text; give the one with it"
    own = {name for name in model.state_dict() if name.startswith("decoder.")} - set(model.all_tied_weights_keys)
    if own and own <= set(missing):
        return f"it is an encoder alone; {INSTEAD}"
    return f"give the whole checkpoint, saved as {type(model).__name__}"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"


@contextmanager
def _own_words() -> Iterator[None]:
    """Without what `transformers` reports of weights, since `_check_complete` says what matters."""
    log = logging.getLogger("transformers")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)
