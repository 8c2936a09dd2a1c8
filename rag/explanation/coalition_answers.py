"""The reader's answers from subsets of one question's passages, each decoded once."""

from __future__ import annotations

import numpy as np

from rag.readers import EncodedQuestion, Reader
from rag.readers.base import Coalitions
from rag.readers.interruption import checkpoint


class CoalitionAnswers:
    """Answers of a reader for an encoded question; remembers them, so that no coalition is decoded twice."""

    def __init__(self, reader: Reader, encoded: EncodedQuestion):
        self._reader = reader
        self._encoded = encoded
        self._known: dict[bytes, str] = {}

    @property
    def decodes(self) -> int:
        """Number of distinct coalitions decoded so far."""
        return len(self._known)

    def __call__(self, coalitions: Coalitions) -> list[str]:
        """One answer per row of bool `(n_coalitions, n_passages)`."""
        keys = [row.tobytes() for row in np.packbits(coalitions, axis=1)]
        new: dict[bytes, int] = {}
        for position, key in enumerate(keys):
            if key not in self._known:
                new.setdefault(key, position)
        if new:
            checkpoint()
            said = self._reader.generate(self._encoded, coalitions[list(new.values())])
            self._known.update(zip(new, said, strict=True))
        return [self._known[key] for key in keys]

    def count_new(self, coalitions: Coalitions) -> int:
        """How many of the coalitions, all different, would have to be decoded."""
        return sum(row.tobytes() not in self._known for row in np.packbits(coalitions, axis=1))
