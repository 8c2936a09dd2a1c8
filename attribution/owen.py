"""Owen values: Shapley values of players in nested groups, such as passages, their sentences and their words."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import comb

import numpy as np
import numpy.typing as npt

from attribution.attribution import output_index
from attribution.games import CachedGame, Coalitions, Game, Progress, Values, all_coalitions
from attribution.groups import Group, sample_places
from attribution.moments import Moments

MAX_EXACT = 2**16  # coalitions that `exact_owen` evaluates at most
_BLOCK_BYTES = 2**26  # of coalitions laid out at a time


@dataclass(frozen=True, eq=False)
class OwenValues:
    """Values of all nodes of a tree of players for the outputs of a game.

    A group's value is exactly the sum of its parts' values; that of the whole tree is what all players together add.

    Attributes:
        tree: the players in their groups.
        outputs: names of the outputs.
        values: (n_outputs, n_nodes), nodes in the order of `Group.walk`.
        errors: standard errors, same shape, zero where exact.
        full: worth of the coalition of all players, (n_outputs,).
        empty: worth of the coalition of none, (n_outputs,).
        output: index of the explained output.
        evaluations: number of distinct coalitions evaluated.
        permutations: number of nested orders; None where exact.
    """

    tree: Group
    outputs: tuple[str, ...]
    values: Values
    errors: Values
    full: Values
    empty: Values
    output: int
    evaluations: int
    permutations: int | None


def owen(
    game: Game,
    tree: Group,
    *,
    permutations: int = 64,
    shared: int = 4,
    seed: int = 0,
    output: int | str | None = None,
    batch_size: int = 2**16,
    progress: Progress | None = None,
) -> OwenValues:
    """Estimate Owen values (Owen 1977; for more than two levels Winter 1989) over nested random orders.

    A nested order keeps every group together: the groups come in random order, within each the parts, and so on. A
    player's Owen value is its mean marginal contribution over all nested orders. Every order has its reverse in the
    sample (antithetic pairs). `shared` pairs make one draw: they differ only in the order of the outermost groups, so
    that costly work on a part of a group, such as encoding a text with words left out, serves several coalitions of
    the other groups. Each draw is unbiased, and standard errors are taken over draws.

    Args:
        game: callable from bool (n_coalitions, n_players) to (n_coalitions,) or (n_coalitions, n_outputs).
        tree: the players in their groups; with one level the values are Shapley values.
        permutations: number of nested orders, a multiple of 2 x `shared` and at least twice that.
        shared: pairs of orders with the same orders inside the outermost groups.
        seed: seed of the sampling.
        output: index or name of the output to explain, by default the answer of the full coalition for votes, else 0.
        batch_size: most coalitions in one call of `game`.
        progress: called as progress(orders done, permutations).

    Raises:
        ValueError: for a number of permutations that does not fit, or a game that returns a wrong shape or
            non-finite values.
    """
    if shared < 1:
        raise ValueError(f"`shared` must be 1 pair of orders or more, got {shared}")
    draw = 2 * shared
    if permutations % draw or permutations < 2 * draw:
        raise ValueError(
            f"permutations must be a multiple of 2 x shared = {draw}, and at least {2 * draw} for a standard error; "
            f"got permutations={permutations}, shared={shared}"
        )
    n, rng = tree.n_players, np.random.default_rng(seed)
    cached = CachedGame(game, n, batch_size=batch_size)
    ends = np.stack([np.ones(n, dtype=np.bool_), np.zeros(n, dtype=np.bool_)])
    cached(ends)
    spans = tree.spans()
    moments = Moments(len(spans))
    left = permutations // draw
    block = max(1, _BLOCK_BYTES // (draw * (n + 1) * max(1, n)))
    while left:
        drawn = min(block, left)
        places = sample_places(tree, drawn, shared, rng)
        places = np.concatenate([places, n - 1 - places], axis=1).reshape(drawn * draw, n)
        # A player is among the first k of an order if its place is below k.
        prefixes = places[:, None, :] < np.arange(n + 1)[:, None]
        worth = cached(prefixes.reshape(-1, n)).reshape(len(places), n + 1, -1)
        steps = np.take_along_axis(np.diff(worth, axis=1), places[..., None], axis=1).swapaxes(1, 2)
        moments.add(_sums(steps.reshape(drawn, draw, -1, n).mean(axis=1), spans))
        left -= drawn
        if progress is not None:
            progress(permutations - left * draw, permutations)
    return _gather(cached, ends, tree, moments.mean, moments.standard_error(), output, permutations)


def exact_owen(game: Game, tree: Group, *, output: int | str | None = None) -> OwenValues:
    """Exact Owen values, by the closed form.

    At each level from the tree down to a player, all coalitions of the other parts count with their Shapley weight
    1 / (m C(m-1, s)); a player's marginal contribution to their union is weighted with the product over the levels.

    Raises:
        ValueError: if that takes more than 65,536 coalitions, or if the game returns a wrong shape or non-finite
            values.
    """
    n = tree.n_players
    contexts = list(_contexts(tree, np.zeros((1, n), dtype=np.bool_), np.ones(1), 0))
    cached = CachedGame(game, n)
    ends = np.stack([np.ones(n, dtype=np.bool_), np.zeros(n, dtype=np.bool_)])
    cached(ends)
    worth = []
    for player, (without, _) in enumerate(contexts):
        worth.append(cached(np.concatenate([without, without | (np.arange(n) == player)])))
    values = np.zeros((cached.n_outputs, n))
    for player, ((_, weights), found) in enumerate(zip(contexts, worth, strict=True)):
        before, after = np.split(found, 2)
        values[: found.shape[1], player] = weights @ (after - before)
    sums = _sums(values[None], tree.spans())[0]
    return _gather(cached, ends, tree, sums, np.zeros_like(sums), output, None)


def _contexts(
    group: Group, outside: Coalitions, weights: Values, first: int
) -> Iterator[tuple[Coalitions, npt.NDArray[np.float64]]]:
    """For each player of a group the coalitions that may precede it, and their weights."""
    if not group.parts:
        yield outside, weights
        return
    m = len(group.parts)
    sizes = [part.n_players for part in group.parts]
    if len(outside) * 2 ** (m - 1) > MAX_EXACT:
        raise ValueError(f"exact Owen values of {group.name!r} need more than {MAX_EXACT} coalitions; use owen()")
    subsets = all_coalitions(m - 1)
    shapley = np.array([1.0 / (m * comb(m - 1, int(size))) for size in subsets.sum(axis=1)])
    for place, part in enumerate(group.parts):
        siblings = np.insert(subsets, place, False, axis=1)
        rows = np.repeat(outside, len(siblings), axis=0)
        rows[:, first : first + sum(sizes)] = np.tile(np.repeat(siblings, sizes, axis=1), (len(outside), 1))
        start = first + sum(sizes[:place])
        yield from _contexts(part, rows, np.outer(weights, shapley).ravel(), start)


def _sums(values: Values, spans: npt.NDArray[np.intp]) -> Values:
    """Sums over each node's players: (..., n_players) to (..., n_nodes)."""
    until = np.concatenate([np.zeros((*values.shape[:-1], 1)), np.cumsum(values, axis=-1)], axis=-1)
    sums: Values = until[..., spans[:, 1]] - until[..., spans[:, 0]]
    return sums


def _gather(
    game: CachedGame,
    ends: Coalitions,
    tree: Group,
    values: Values,
    errors: Values,
    output: int | str | None,
    permutations: int | None,
) -> OwenValues:
    full, empty = game(ends)
    if output is None:
        output = int(full.argmax()) if game.utility == "votes" else 0
    return OwenValues(
        tree,
        game.outputs,
        values,
        errors,
        full,
        empty,
        output_index(output, game.outputs),
        game.evaluations,
        permutations,
    )
