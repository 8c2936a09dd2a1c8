"""The reader that the settings name."""

from __future__ import annotations

import torch

from rag.readers.base import Reader
from rag.settings import ReaderSettings, SettingsError


def load_reader(settings: ReaderSettings | None = None) -> Reader:
    """Load the embedded reader or a checkpoint; raises `SettingsError` for a device that is not there."""
    settings = settings or ReaderSettings()
    try:
        torch.empty(0, device=settings.device)
    except (RuntimeError, AssertionError) as error:
        raise SettingsError(f"reader.device: {settings.device!r} cannot be used here: {error}") from None
    options = settings.model_dump(include={"max_block_tokens", "max_answer_tokens", "memory_mb", "device"})
    if settings.is_embedded:
        from rag.readers.embedded import EmbeddedReader
        from rag.readers.embedded.weights import WEIGHTS

        options["no_answer_threshold"] = settings.no_answer_threshold
        return EmbeddedReader(WEIGHTS if settings.checkpoint == "embedded" else settings.checkpoint, **options)
    from rag.readers.fid import FiDReader

    try:
        return FiDReader(settings.checkpoint, dtype=settings.dtype, **options)
    except (OSError, ValueError) as error:
        raise SettingsError(f"reader.checkpoint: {settings.checkpoint!r} cannot be loaded: {error}") from None
