"""Games for comparisons: worth looked up in a table, and evaluations counted."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Coalitions = npt.NDArray[np.bool_]
Values = npt.NDArray[np.float64]


def all_coalitions(n_players: int) -> Coalitions:
    """Every coalition, bool (2^n_players, n_players); bit i of the row's number says whether player i is in."""
    return (np.arange(2**n_players)[:, None] >> np.arange(n_players) & 1).astype(np.bool_)


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
