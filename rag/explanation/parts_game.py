"""The game over parts of passages: what the reader does when it sees some sentences or words only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from rag.explanation.parts import Part
from rag.readers.base import Coalitions, EncodedQuestion
from rag.readers.hidden_parts import Masking, PartsReader, Variant

Values = NDArray[np.float64]
Worth = Callable[[EncodedQuestion, Coalitions], Values]

VARIANTS_AT_ONCE = 16  # encoded together, read, and dropped: bounded memory, and few blocks that a row does not read


class PartsGame:
    """Worth of coalitions of parts.

    A passage with none of its parts in a coalition is left out, one with all of them is read whole, any other is a
    variant. Each variant is encoded once a call, for all coalitions that have it, and then forgotten.

    Args:
        reader: reads the variants.
        encoded: the question with the whole passages.
        players: for each passage the parts it was divided into, in order; the players are these, one after another.
        worth: what the encoded passages that a coalition shows are worth, `(n_coalitions,)`.
        masking: how parts are hidden.
        progress: called as progress(coalitions done, coalitions asked for) after each batch.

    Attributes:
        variants: number of variants encoded so far.
    """

    def __init__(
        self,
        reader: PartsReader,
        encoded: EncodedQuestion,
        players: Sequence[Sequence[Part]],
        worth: Worth,
        masking: Masking = "attention",
        progress: Callable[[int, int], None] | None = None,
    ):
        self.variants = 0
        self._reader, self._encoded, self._players = reader, encoded, players
        self._worth, self._masking, self._progress = worth, masking, progress
        self._done = self._asked = 0

    def __call__(self, coalitions: Coalitions, /) -> Values:
        """Worth of `(n_coalitions, n_parts)`, one column per player."""
        self._asked += len(coalitions)
        seen = np.zeros((len(coalitions), len(self._players)), dtype=bool)
        variants: list[Variant] = []
        # Which variant of each passage a coalition reads, -1 for none: the whole passage, or nothing of it.
        chosen = np.full(seen.shape, -1)
        for passage, (first, parts) in enumerate(zip(self._firsts(), self._players, strict=True)):
            rows = coalitions[:, first : first + len(parts)]
            seen[:, passage] = rows.all(axis=1)
            partial = rows.any(axis=1) & ~seen[:, passage]
            states, which = np.unique(rows[partial], axis=0, return_inverse=True)
            lengths = states @ np.array([part.end - part.start for part in parts])
            order = np.argsort(lengths, kind="stable")  # so that variants encoded together are of like length
            chosen[partial, passage] = len(variants) + np.argsort(order)[which.ravel()]
            variants += [_variant(passage, parts, states[state]) for state in order]
        values = np.empty(len(coalitions))
        for members, used in self._batches(chosen):
            values[members] = self._evaluate(seen[members], chosen[members], used, variants)
            self._done += len(members)
            if self._progress is not None:
                self._progress(self._done, self._asked)
        return values

    def _firsts(self) -> list[int]:
        """The first player of each passage."""
        return [0, *np.cumsum([len(parts) for parts in self._players[:-1]]).tolist()]

    def _batches(self, chosen: NDArray[np.intp]) -> list[tuple[NDArray[np.intp], list[int]]]:
        """Coalitions that are read together, and the variants that they need."""
        order = np.lexsort(chosen.T[::-1])
        batches: list[tuple[list[int], set[int]]] = [([], set())]
        for key, rows in groupby(order.tolist(), key=lambda row: tuple(chosen[row])):
            needed = set(key) - {-1}
            members, used = batches[-1]
            if members and (bool(used) != bool(needed) or len(used | needed) > VARIANTS_AT_ONCE):
                batches.append(([], set()))
            batches[-1][0].extend(rows)
            batches[-1][1].update(needed)
        return [(np.array(members, dtype=np.intp), sorted(used)) for members, used in batches if members]

    def _evaluate(
        self, seen: Coalitions, chosen: NDArray[np.intp], used: list[int], variants: Sequence[Variant]
    ) -> Values:
        encoded = self._encoded
        if used:
            self.variants += len(used)
            encoded = self._reader.extend(encoded, [variants[number] for number in used], self._masking)
        of_variants = (chosen[:, :, None] == np.array(used, dtype=np.intp)).any(axis=1)
        return self._worth(encoded, np.concatenate([seen, of_variants], axis=1))


def _variant(passage: int, parts: Sequence[Part], shown: NDArray[np.bool_]) -> Variant:
    hidden = [part for part, show in zip(parts, shown, strict=True) if not show]
    spans = tuple((part.start, part.end) for part in hidden if part.kind != "title")
    return Variant(passage, spans, any(part.kind == "title" for part in hidden))
