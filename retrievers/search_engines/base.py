"""What retrievers have in common that search the index of a search engine."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, TypeVar
from urllib.parse import urlsplit

from retrievers.base import Progress, check_queries
from retrievers.dense.encoder import Encoder
from retrievers.errors import EngineError, IndexFormatError
from retrievers.passage import Hit, Passage
from retrievers.storage.index_folder import new_index, open_index

MODES = ("bm25", "dense", "hybrid")
FUSED = 100  # hits of each ranking that are fused, or k if a search asks for more
_FINGERPRINT = "encoder_fingerprint"
Self = TypeVar("Self", bound="SearchEngine")


class SearchEngine(ABC):
    """A retriever over an index that a search engine keeps.

    Hits come in the engine's order. The index folder that :meth:`save` writes holds no passages: only where the engine
    is, how it is asked, and the names of the environment variables that hold secrets.

    Args:
        settings: The constructor's arguments, JSON-serialisable.
        encoder: Makes the queries' vectors; None in mode ``"bm25"``.
    """

    kind: ClassVar[str]

    def __init__(self, settings: dict[str, Any], encoder: Encoder | None = None) -> None:
        """See the class."""
        self._settings = settings
        self._encoder = encoder

    @property
    @abstractmethod
    def passages(self) -> Sequence[Passage]:
        """All passages, read from the engine at every call, in its order."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of passages that the engine holds now."""

    @abstractmethod
    def _find(self, query: str, k: int) -> list[Hit]:
        """The ``k`` best passages of a query that is not blank."""

    def search(self, query: str, k: int = 10) -> list[Hit]:
        """The at most ``k`` passages that the engine ranks highest, best first.

        Raises:
            ValueError: The query is blank, or ``k`` is not a whole number from 1 on.
            EngineError: The engine cannot be asked, or what it answers cannot be used.
        """
        return self.search_many([query], k)[0]

    def search_many(self, queries: Sequence[str], k: int = 10) -> list[list[Hit]]:
        """:meth:`search` for each query."""
        check_queries(queries, k)
        return [self._find(query, k) for query in queries]

    def add(self, passages: Iterable[Passage | str], *, progress: Progress | None = None) -> None:
        """Raises :class:`EngineError`: this engine is only read."""
        raise EngineError(f"{self.kind}: the index is only read here; add passages with the engine's own tools")

    def remove(self, ids: Iterable[str]) -> int:
        """Raises :class:`EngineError`: this engine is only read."""
        raise EngineError(f"{self.kind}: the index is only read here; remove passages with the engine's own tools")

    @contextmanager
    def saving(self, folder: str | Path) -> Iterator[None]:
        """:meth:`save` at the end; passages go to the engine as they are added."""
        yield
        self.save(folder)

    def save(self, folder: str | Path) -> None:
        """Write an index folder that leads to the engine."""
        settings = dict(self._settings)
        if self._encoder is not None:
            settings[_FINGERPRINT] = self._encoder.fingerprint
        with new_index(folder, self.kind, settings, len(self)):
            pass

    @classmethod
    def load(cls: type[Self], folder: str | Path, *, verify: bool = True) -> Self:
        """Connect to the engine that an index folder leads to.

        Raises:
            FileNotFoundError: There is no such folder.
            IndexFormatError: The folder cannot be used, or the encoder has changed since it was written.
            EngineError: The engine cannot be asked.
        """
        settings = dict(open_index(folder, cls.kind, verify=verify).settings)
        made_by = settings.pop(_FINGERPRINT, None)
        try:
            engine = cls(**settings)
        except TypeError as error:
            raise IndexFormatError(f"{folder}: the settings in the manifest cannot be used: {error}") from error
        if made_by is not None and engine._encoder is not None and engine._encoder.fingerprint != made_by:
            raise IndexFormatError(
                f"{folder} was made with another encoder than {engine._encoder.name!r} is now; give the one that "
                "made the engine's vectors, and save again"
            )
        return engine

    def _vector(self, query: str) -> list[float]:
        assert self._encoder is not None, "only asked for in the modes that have an encoder"
        vector: list[float] = self._encoder.encode_queries([query])[0].tolist()
        return vector


def engine_encoder(mode: str, encoder: str | Encoder) -> Encoder | None:
    """The encoder that a mode needs, loaded; ``ValueError`` for an unknown mode."""
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
    if mode == "bm25":
        return None
    return encoder if isinstance(encoder, Encoder) else Encoder(encoder)


def secret(variable: str | None) -> str | None:
    """The value of an environment variable, or None without a name; ``EngineError`` if it is not set."""
    if variable is None:
        return None
    value = os.environ.get(variable)
    if not value:
        raise EngineError(f"token_env: the environment variable {variable} is not set")
    return value


def check_timeout(seconds: float) -> None:
    """Raise ``ValueError`` unless it is a time that can be waited."""
    if not 0 < seconds < float("inf"):
        raise ValueError(f"timeout must be above 0 and finite, got {seconds}")


def check_address(url: str) -> None:
    """Raise ``EngineError`` unless it is an http(s) address without a password, which would be stored."""
    try:
        parts = urlsplit(url)
        named = parts.scheme in ("http", "https") and bool(parts.hostname)
        _ = parts.port
    except ValueError as error:
        raise EngineError(f"{url!r} is no address: {error}") from None
    if not named:
        raise EngineError(f"{url!r} is no address; give one such as http://localhost:9200")
    if parts.username or parts.password:
        raise EngineError("the address holds a user or password; put the secret into a variable, named by token_env")
