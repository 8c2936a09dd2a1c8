"""Pairs of complementary coalitions found by splitting groups of players, where there are few evaluations."""

from typing import NamedTuple

import numpy as np

from attribution.games import CachedGame, Coalitions, Values

_PARTS = 4  # into which a group is split


class _Group(NamedTuple):
    """Players [start, end), and what they add, (n_outputs,)."""

    start: int
    end: int
    value: Values


def split_pairs(game: CachedGame, n_pairs: int) -> Coalitions:
    """At most `n_pairs` distinct pairs, each given by its smaller coalition, bool (n_pairs, n_players).

    All players are split into four groups of neighbours, and each group is evaluated alone and as all but it. Then the
    group that adds most is split in the same way, until groups are single players or no split fits. What a group adds
    is the mean of what it is worth alone and of what is lost without it. Where few players matter, most of the pairs
    then are about those. AttriBoT (Liu et al. 2024, arXiv:2411.15102) leaves groups out, and then the sources in the
    groups of which the loss was largest; the value of a group alone finds evidence that stands twice, too.

    Outputs count in units of the largest value of a group for each of them.
    """
    n = game.n_players
    found: dict[bytes, Coalitions] = {}
    scale = np.zeros(0)
    groups = [_Group(0, n, np.zeros(0))]
    while True:
        order = sorted(range(len(groups)), key=lambda place: -_weight(groups[place], scale))
        for place in order:
            whole = groups[place]
            rows = _parts(n, whole)
            new = {_smaller(row).tobytes(): _smaller(row) for row in rows if len(rows) > 1}
            new = {key: row for key, row in new.items() if key not in found}
            if new and len(found) + len(new) <= n_pairs:
                break
        else:
            return np.stack(list(found.values())) if found else np.zeros((0, n), np.bool_)
        found |= new
        values = _values(game, rows)
        scale = np.maximum(np.pad(scale, (0, values.shape[1] - len(scale))), np.abs(values).max(axis=0))
        bounds = [int(row.argmax()) for row in rows]
        ends = [*bounds[1:], whole.end]
        groups[place : place + 1] = map(_Group, bounds, ends, values)


def _parts(n: int, group: _Group) -> Coalitions:
    """The parts that a group is split into, bool (n_parts, n_players)."""
    rows: Coalitions = np.zeros((min(_PARTS, group.end - group.start), n), np.bool_)
    for row, part in zip(rows, np.array_split(np.arange(group.start, group.end), len(rows)), strict=True):
        row[part] = True
    return rows


def _smaller(row: Coalitions) -> Coalitions:
    """The coalition or its complement, whichever is smaller; of two as large, the one with the first player."""
    size, n = int(row.sum()), len(row)
    return row if 2 * size < n or (2 * size == n and row[0]) else ~row


def _values(game: CachedGame, rows: Coalitions) -> Values:
    """What each group adds to none and to all others, on average, (n_groups, n_outputs)."""
    n = game.n_players
    ends = np.stack([np.zeros(n, np.bool_), np.ones(n, np.bool_)])
    worth = game(np.concatenate([rows, ~rows, ends]))
    alone, without = worth[: len(rows)], worth[len(rows) : -2]
    values: Values = (alone - worth[-2] + worth[-1] - without) / 2
    return values


def _weight(group: _Group, scale: Values) -> float:
    """What a group adds to any output, in units of the largest value for each; groups not evaluated come first.

    Rounding makes no two weights different, so the same groups are split on every machine.
    """
    if not len(group.value):
        return float("inf")
    known = scale[: len(group.value)]
    return round(float((np.abs(group.value) / np.where(known > 0, known, 1.0)).max()), 9)
