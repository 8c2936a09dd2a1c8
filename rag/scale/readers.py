"""What processes that share the work are told of their reader, so that all results are made with one."""

from __future__ import annotations

from typing import Any

from rag.provenance import reader_checksum
from rag.readers import Reader
from rag.readers.loading import load_reader
from rag.scale.executor import Executor
from rag.settings import ReaderSettings
from rag.settings_base import SettingsError


def reader_or_checksum(reader: Reader | None, checksum: Any, executor: Executor) -> Reader | str:
    """What a worker is told of its reader; `SettingsError` for a loaded one where others would have to load it."""
    if reader is None:
        return str(checksum)
    if executor.remote:
        raise SettingsError("a loaded reader stays in this process; name it in the settings, as reader.checkpoint")
    return reader


def load_same_reader(settings: ReaderSettings, reader: Reader | str, key: str = "reader") -> Reader:
    """The reader given, or the one that the settings name, loaded where the work is done.

    Raises `ValueError` if its checksum is not the one given; the message says where the settings stand, `key`.
    """
    if not isinstance(reader, str):
        return reader
    checksum = reader
    if (found := reader_checksum(settings)) != checksum:
        raise ValueError(
            f"{key}.checkpoint: {settings.checkpoint!r} holds other weights on a node ({found[:12]}) than where the "
            f"command runs ({checksum[:12]}); put the same ones on every node"
        )
    return load_reader(settings, key)
