"""The reader that the settings name."""

from __future__ import annotations

import logging
from typing import Any

import torch

from rag.bfloat16 import SLOW, computes_bfloat16
from rag.readers.base import Reader
from rag.readers.prompt.reader import LanguageModel, PromptReader
from rag.settings import ReaderSettings
from rag.settings_base import SettingsError

_LOG = logging.getLogger(__name__)
_LONGEST = 1000  # characters of what a library says of a checkpoint


def load_reader(settings: ReaderSettings | str | None = None, key: str = "reader") -> Reader:
    """Load the embedded reader, a checkpoint or an endpoint.

    Args:
        settings: those of the reader, or its checkpoint alone, such as "google/flan-t5-base"; None is the embedded one.
        key: where the settings stand, for messages.

    Raises:
        SettingsError: the device is not there, the checkpoint cannot be loaded or asked, or the endpoint's token is not
            set.
    """
    if not isinstance(settings, ReaderSettings):
        settings = ReaderSettings() if settings is None else ReaderSettings(checkpoint=settings)
    if settings.is_endpoint:
        return _endpoint(settings, key)
    settings = settings.resolved()
    try:
        torch.empty(0, device=settings.device)
    except (RuntimeError, AssertionError) as error:
        raise SettingsError(f"{key}.device: {settings.device!r} cannot be used here: {error}") from None
    if settings.dtype == "bfloat16" and computes_bfloat16(settings.device) is False:
        _LOG.warning("%s.dtype: this processor %s; leave the setting out", key, SLOW)
    options = settings.model_dump(
        include={"max_block_tokens", "max_passage_tokens", "max_answer_tokens", "memory_mb", "device", "dtype"}
    )
    if folder := settings.embedded_folder:
        from rag.readers.embedded import EmbeddedReader

        return EmbeddedReader(folder, no_answer_threshold=settings.no_answer_threshold, **options)
    return _checkpoint(settings, options, key)


def _checkpoint(settings: ReaderSettings, options: dict[str, Any], key: str) -> Reader:
    """Load an encoder-decoder or a causal language model, and ask it a trial question."""
    from rag.readers.fid import FiDReader
    from rag.readers.pretrained import found, load_config
    from rag.readers.prompt.causal import CausalModel
    from rag.readers.trial import ask_trial

    of, done = "", "loaded"
    try:
        config = load_config(settings.checkpoint)
        of = f", a {found(config)},"
        model: FiDReader | CausalModel
        reader: Reader
        if config.is_encoder_decoder:
            if settings.prompt is not None or settings.chat_template_kwargs:
                name = "prompt" if settings.prompt is not None else "chat_template_kwargs"
                raise ValueError(f"it is an encoder-decoder and takes no prompt; leave {key}.{name} out")
            reader = model = FiDReader(settings.checkpoint, **options)
        else:
            shared = {"max_answer_tokens", "memory_mb", "device", "dtype", "chat_template_kwargs"}
            model = CausalModel(settings.checkpoint, **settings.model_dump(include=shared))
            reader = _prompt_reader(model, settings)
        done = "asked"
        ask_trial(reader, model)
    except Exception as error:  # transformers and tokenizers meet damaged files with errors of every kind
        kind = "" if isinstance(error, OSError | ValueError) else f"{type(error).__name__}: "
        said = " ".join(str(error).split())
        said = said if len(said) <= _LONGEST else f"{said[:_LONGEST]}…"
        raise SettingsError(f"{key}.checkpoint: {settings.checkpoint!r}{of} cannot be {done}: {kind}{said}") from error
    return reader


def _endpoint(settings: ReaderSettings, key: str) -> Reader:
    from rag.readers.prompt.cache import default_path
    from rag.readers.prompt.endpoint import Endpoint

    url, _, model = settings.checkpoint.partition("#")
    options = settings.endpoint.model_dump()
    options["headers"] = {name: value.get_secret_value() for name, value in settings.endpoint.headers.items()}
    if options["cache"] == "default":
        options["cache"] = default_path()
    try:
        endpoint = Endpoint(url, model, max_answer_tokens=settings.max_answer_tokens, **options)
    except (OSError, ValueError) as error:
        raise SettingsError(f"{key}.checkpoint: {settings.checkpoint!r} cannot be used: {error}") from None
    return _prompt_reader(endpoint, settings)


def _prompt_reader(model: LanguageModel, settings: ReaderSettings) -> Reader:
    options = settings.model_dump(include={"max_passage_tokens", "max_answer_tokens"})
    return PromptReader(model, template=settings.prompt, **options)
