"""Games for comparisons: worth looked up in a table, and evaluations counted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from retrievers.storage.atomic import replace_file

Coalitions = npt.NDArray[np.bool_]
Values = npt.NDArray[np.float64]


class CountedGame:
    """A game that looks worth up in a table and counts its evaluations.

    Args:
        table: worth of `all_coalitions(n_players)`, (2^n_players,).

    Attributes:
        calls: evaluations so far, repeated coalitions included.
    """

    def __init__(self, table: Values) -> None:
        """Count from 0; raises ValueError if the length is no power of two."""
        self.n_players = len(table).bit_length() - 1
        if len(table) != 2**self.n_players:
            raise ValueError(f"a table has 2^n_players entries, got {len(table)}")
        self._table = table
        self._bits = 1 << np.arange(self.n_players)
        self._evaluated: npt.NDArray[np.bool_] = np.zeros(len(table), dtype=np.bool_)
        self.calls = 0

    @property
    def distinct(self) -> int:
        """Different coalitions evaluated so far."""
        return int(self._evaluated.sum())

    def __call__(self, coalitions: npt.ArrayLike, /) -> Values:
        """Worth of (n_coalitions, n_players), or of one coalition; players that are in are those not zero."""
        rows = np.atleast_2d(np.asarray(coalitions) != 0) @ self._bits
        self.calls += len(rows)
        self._evaluated[rows] = True
        return self._table[rows]


@dataclass(frozen=True)
class FrozenGames:
    """What a reader makes of every coalition of the passages of some questions.

    Attributes:
        ids: of the questions, n_questions of them.
        answers: number of the answer that each coalition gives, integers (n_questions, 2^n_players), in the order of
            `all_coalitions`; answers are numbered within a question as they appear.
        likelihoods: log-probability of the answer of all passages, (n_questions, 2^n_players).
    """

    ids: tuple[str, ...]
    answers: npt.NDArray[np.integer]
    likelihoods: Values

    @property
    def votes(self) -> Values:
        """1 where a coalition gives the answer of all passages, else 0: (n_questions, 2^n_players)."""
        return (self.answers == self.answers[:, -1:]).astype(np.float64)

    def save(self, path: Path) -> None:
        """Write a compressed .npz, whole or not at all; log-probabilities are rounded to 1 / 1024."""
        rounded = (np.round(self.likelihoods * 1024) / 1024).astype(np.float32)
        answers = self.answers.astype(np.uint16)
        with replace_file(path) as building, building.open("wb") as file:
            np.savez_compressed(file, ids=np.array(self.ids), answers=answers, likelihoods=rounded)

    @classmethod
    def load(cls, path: Path) -> FrozenGames:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            ids, answers, likelihoods = file["ids"], file["answers"], file["likelihoods"]
        return cls(tuple(ids.tolist()), answers.astype(np.intp), likelihoods.astype(np.float64))
