"""The reader that the settings name."""

from __future__ import annotations

import torch
from transformers import AutoConfig

from rag.readers.base import Reader
from rag.readers.prompt.reader import LanguageModel, PromptReader
from rag.settings import ReaderSettings
from rag.settings_base import SettingsError


def load_reader(settings: ReaderSettings | str | None = None) -> Reader:
    """Load the embedded reader, a checkpoint or an endpoint.

    Args:
        settings: those of the reader, or its checkpoint alone, such as "google/flan-t5-base"; None is the embedded one.

    Raises:
        SettingsError: the device is not there, the checkpoint cannot be loaded, or the endpoint's token is not set.
    """
    if not isinstance(settings, ReaderSettings):
        settings = ReaderSettings() if settings is None else ReaderSettings(checkpoint=settings)
    if settings.is_endpoint:
        return _endpoint(settings)
    try:
        torch.empty(0, device=settings.device)
    except (RuntimeError, AssertionError) as error:
        raise SettingsError(f"reader.device: {settings.device!r} cannot be used here: {error}") from None
    options = settings.model_dump(
        include={"max_block_tokens", "max_passage_tokens", "max_answer_tokens", "memory_mb", "device", "dtype"}
    )
    if settings.is_embedded:
        from rag.readers.embedded import EmbeddedReader
        from rag.readers.embedded.weights import WEIGHTS

        options["no_answer_threshold"] = settings.no_answer_threshold
        return EmbeddedReader(WEIGHTS if settings.checkpoint == "embedded" else settings.checkpoint, **options)
    try:
        config = AutoConfig.from_pretrained(settings.checkpoint, trust_remote_code=False)
        if not config.is_encoder_decoder:
            return _causal(settings)
        if settings.prompt is not None or settings.chat_template_kwargs:
            name = "prompt" if settings.prompt is not None else "chat_template_kwargs"
            raise ValueError(f"it is an encoder-decoder and takes no prompt; leave reader.{name} out")
        from rag.readers.fid import FiDReader

        return FiDReader(settings.checkpoint, **options)
    except Exception as error:  # transformers and tokenizers meet damaged files with errors of every kind
        kind = "" if isinstance(error, OSError | ValueError) else f"{type(error).__name__}: "
        raise SettingsError(f"reader.checkpoint: {settings.checkpoint!r} cannot be loaded: {kind}{error}") from error


def _causal(settings: ReaderSettings) -> Reader:
    from rag.readers.prompt.causal import CausalModel

    shared = {"max_answer_tokens", "memory_mb", "device", "dtype", "chat_template_kwargs"}
    options = settings.model_dump(include=shared)
    return _prompt_reader(CausalModel(settings.checkpoint, **options), settings)


def _endpoint(settings: ReaderSettings) -> Reader:
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
        raise SettingsError(f"reader.checkpoint: {settings.checkpoint!r} cannot be used: {error}") from None
    return _prompt_reader(endpoint, settings)


def _prompt_reader(model: LanguageModel, settings: ReaderSettings) -> Reader:
    options = settings.model_dump(include={"max_block_tokens", "max_passage_tokens", "max_answer_tokens"})
    return PromptReader(model, template=settings.prompt, **options)
