"""Players in nested groups, such as passages, their sentences and their words."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Places = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Group:
    """A group of parts, or, without parts, a single player.

    Players have no numbers of their own: a tree's players are its nodes without parts, from left to right, and that
    is the order of a coalition's columns.

    Attributes:
        name: its name, which need not be unique.
        parts: its parts, which are groups too.
    """

    name: str
    parts: tuple["Group", ...] = ()

    @property
    def n_players(self) -> int:
        """Number of players in it."""
        return sum(part.n_players for part in self.parts) if self.parts else 1

    def walk(self) -> Iterator["Group"]:
        """The group itself, then each part, followed by the part's own parts (depth first)."""
        yield self
        for part in self.parts:
            yield from part.walk()

    def spans(self) -> npt.NDArray[np.intp]:
        """The first player of each node of `walk` and the player after its last one, (n_nodes, 2)."""
        found: list[tuple[int, int]] = []

        def visit(group: Group, first: int) -> int:
            place = len(found)
            found.append((first, first))
            end = first
            for part in group.parts:
                end = visit(part, end)
            end = end if group.parts else first + 1
            found[place] = (first, end)
            return end

        visit(self, 0)
        return np.array(found, dtype=np.intp)


def sample_places(tree: Group, n_orders: int, shared: int, rng: np.random.Generator) -> Places:
    """Each player's place in random nested orders, (n_orders, shared, n_players).

    A nested order is a random order of the tree's parts, within each part a random order of its parts, and so on down
    to the players. The second axis holds orders that differ in the order of the tree's own parts alone.
    """
    outer = _places(tree, n_orders * shared, rng).reshape(n_orders, shared, -1)
    return outer + _inside(tree, n_orders, rng)[:, None]


def _inside(group: Group, n_orders: int, rng: np.random.Generator) -> Places:
    """Each player's place in its part of a group, (n_orders, n_players)."""
    parts = [_places(part, n_orders, rng) + _inside(part, n_orders, rng) for part in group.parts]
    return np.concatenate(parts, axis=1) if parts else np.zeros((n_orders, 1), dtype=np.intp)


def _places(group: Group, n_orders: int, rng: np.random.Generator) -> Places:
    """How many players of a group's other parts come before each player's part, (n_orders, n_players)."""
    if not group.parts:
        return np.zeros((n_orders, 1), dtype=np.intp)
    sizes = np.array([part.n_players for part in group.parts], dtype=np.intp)
    orders = rng.permuted(np.tile(np.arange(len(sizes)), (n_orders, 1)), axis=1)
    before = np.cumsum(sizes[orders], axis=1) - sizes[orders]
    places = np.empty_like(before)
    np.put_along_axis(places, orders, before, axis=1)
    return np.repeat(places, sizes, axis=1)
