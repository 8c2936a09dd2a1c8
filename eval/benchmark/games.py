"""Games for comparisons: worth looked up in a table, evaluations counted, and the coalitions of random orderings."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from attribution import Game

Coalitions = npt.NDArray[np.bool_]
Values = npt.NDArray[np.float64]


def all_coalitions(n_players: int) -> Coalitions:
    """Every coalition, bool (2^n_players, n_players); bit i of the row's number says whether player i is in."""
    return (np.arange(2**n_players)[:, None] >> np.arange(n_players) & 1).astype(np.bool_)


def tabulate(game: Game, n_players: int) -> Values:
    """What all coalitions are worth, (2^n_players,), from one call; raises ValueError if the game has many outputs."""
    values = np.asarray(game(all_coalitions(n_players)), dtype=np.float64)
    if values.shape != (2**n_players,):
        raise ValueError(f"the game returned shape {values.shape}, expected ({2**n_players},): one output")
    return values


class CountedGame:
    """A game that looks its worth up in a table and counts what was asked.

    Args:
        table: (2^n_players,), as `tabulate` gives it.

    Attributes:
        calls: coalitions asked for so far, the same one again counted again.
    """

    def __init__(self, table: Values) -> None:
        """Start with nothing asked; raises ValueError if the length is no power of two."""
        self.n_players = len(table).bit_length() - 1
        if len(table) != 2**self.n_players:
            raise ValueError(f"a table has 2^n_players entries, got {len(table)}")
        self._table = table
        self._bits = 1 << np.arange(self.n_players)
        self._asked: npt.NDArray[np.bool_] = np.zeros(len(table), dtype=np.bool_)
        self.calls = 0

    @property
    def distinct(self) -> int:
        """Different coalitions asked for so far."""
        return int(self._asked.sum())

    def __call__(self, coalitions: npt.ArrayLike, /) -> Values:
        """Worth of (n_coalitions, n_players), or of one coalition; players that are in are those not zero."""
        rows = np.atleast_2d(np.asarray(coalitions) != 0) @ self._bits
        self.calls += len(rows)
        self._asked[rows] = True
        return self._table[rows]


def permutation_coalitions(n_players: int, permutations: int, seed: int) -> Coalitions:
    """The coalitions that random orderings pass through, bool (permutations * n_players, n_players).

    Each ordering gives the n_players prefixes from the first player alone to all players.
    """
    rng = np.random.default_rng(seed)
    places = rng.permuted(np.tile(np.arange(n_players), (permutations, 1)), axis=1)
    return (places[:, None, :] < np.arange(1, n_players + 1)[:, None]).reshape(-1, n_players)


def evenly(coalitions: Coalitions, count: int) -> Coalitions:
    """`count` of the coalitions at even distances in the order of their sizes, or all if there are no more."""
    order = np.argsort(coalitions.sum(axis=1), kind="stable")
    places = (np.arange(count) + 0.5) * len(order) / count
    return coalitions[order[places.astype(int)]] if count < len(order) else coalitions
