"""Coalitions drawn with their complements, stratified by size, and what the estimators over them share."""

from abc import ABC, abstractmethod
from itertools import combinations
from math import comb
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from attribution.estimator import Estimate, exact_estimate
from attribution.games import CachedGame, Coalitions, Values
from attribution.replicates import group_sums

_CHUNK = 256  # coalitions drawn at a time
_ENUMERATE = 4096  # classes of at most so many pairs are listed and shuffled; of larger ones pairs are drawn


class PairSampling(ABC):
    """Shapley values from pairs of complementary coalitions."""

    semivalue = "shapley"
    p = None

    def minimum_budget(self, n_players: int) -> int:
        """Empty and full coalition, and one pair more than there are values to solve for."""
        return int(min(2**n_players, 2 + 2 * n_players))

    def estimate(self, game: CachedGame, rng: np.random.Generator, *, deviations: bool = False) -> Estimate:
        """Draw pairs within the budget of `game` and solve."""
        n = game.n_players
        empty, full = game(np.stack([np.zeros(n, np.bool_), np.ones(n, np.bool_)]))
        total = full - empty
        if n < 2:
            values = np.repeat(total[:, None], n, axis=1)
            return exact_estimate(values)
        sample = self.choose(game, rng, self.pairs_within(game), growing=deviations)
        m = len(sample.pairs)
        worth = game(np.concatenate([sample.pairs, ~sample.pairs]))
        # The number of outputs may have grown; those not seen in the full and empty coalition are 0 there.
        total = np.pad(total, (0, worth.shape[1] - len(total)))
        odd = worth[:m] - worth[m:] - np.outer(2 * sample.pairs.sum(axis=1) / n - 1, total)
        found = self.solve(sample, odd, total, deviations=deviations)
        if not sample.unseen.any():
            return exact_estimate(found.values)
        return Estimate(found.values, found.errors, None, 2 * m, found.deviations)

    def pairs_within(self, game: CachedGame) -> int:
        """Half of what the budget leaves after the empty and the full coalition."""
        return (game.budget - 2) // 2

    def choose(self, game: CachedGame, rng: np.random.Generator, n_pairs: int, *, growing: bool) -> "PairSample":
        """The pairs to evaluate, by default drawn; with `growing`, a larger sample must begin with a smaller one."""
        return draw_pairs(game.n_players, n_pairs, rng)

    @abstractmethod
    def solve(self, sample: "PairSample", odd: Values, total: Values, *, deviations: bool) -> "Solution":
        """Values and their errors.

        Args:
            sample: the pairs.
            odd: what each coalition is worth more than its complement, less what equal shares of `total` would make
                of it, (n_pairs, n_outputs).
            total: v(all) - v(none), (n_outputs,).
            deviations: whether they are needed.
        """


class Solution(NamedTuple):
    """Values, (n_outputs, n_players), their standard errors, and deviations as in `Estimate` if they were needed."""

    values: Values
    errors: Values
    deviations: Values | None


def solution(values: Values, left: Values, levers: Values, *, deviations: bool) -> Solution:
    """Errors of values from what each pair brings into them.

    That is the product of what the pair leaves unexplained, `left` (n_pairs, n_outputs), and of its lever on the
    values, `levers` (n_pairs, n_players). The variance of a value is the sum of its squares.
    """
    errors = np.sqrt((left**2).T @ levers**2)
    return Solution(values, errors, group_sums(left, levers) if deviations else None)


class PairSample(NamedTuple):
    """Coalitions drawn with their complements, distinct pairs.

    Attributes:
        pairs: bool (n_pairs, n_players), the smaller coalition of each pair.
        weights: (n_pairs,), the Shapley kernel's weight of all pairs that each stands for; they sum to 1.
        unseen: (n_pairs,), the fraction of the pairs of its size that were not drawn.
    """

    pairs: Coalitions
    weights: Values
    unseen: Values


def draw_pairs(n: int, n_pairs: int, rng: np.random.Generator) -> PairSample:
    """Distinct pairs of sizes 1 to n / 2; a larger number begins with those of a smaller one.

    The pairs of a size stand at even distances on a line, the closer together the larger the size's share. The first
    pairs of all sizes together are taken, so that the others share what a size with few pairs leaves.
    """
    sizes = range(1, n // 2 + 1)
    # Sizes s and n - s make one class, so the middle one of an even n has half the share of the others.
    shares = [(1 + (2 * size < n)) / (size * (n - size)) ** 0.5 for size in sizes]
    counts = [comb(n, size) // (1 + (2 * size == n)) for size in sizes]
    lines = [(np.arange(min(count, n_pairs)) + 0.5) / share for count, share in zip(counts, shares, strict=True)]
    owner = np.repeat(np.arange(len(lines)), [len(line) for line in lines])
    first = np.argsort(np.concatenate(lines), kind="stable")[:n_pairs]
    quota = np.bincount(owner[first], minlength=len(lines)).tolist()
    drawn = [
        _distinct(n, size, count, take, seed)
        for size, count, take, seed in zip(sizes, counts, quota, rng.spawn(len(counts)), strict=True)
    ]
    return weigh(np.concatenate(drawn))


def weigh(pairs: Coalitions) -> PairSample:
    """Distinct pairs, given by the smaller coalition of each, with their weights and what was not drawn of each size.

    A pair stands for its share of all pairs of its size.
    """
    n, sizes = pairs.shape[1], pairs.sum(axis=1).tolist()
    taken = np.bincount(sizes, minlength=n + 1).tolist()
    # In proportion to the coalitions of a class times their weight 1 / (C(n, s) s (n - s)): C(n, s) cancels, which is
    # beyond the range of floats for some 1,000 players.
    weights = np.array([(1 + (2 * size < n)) / taken[size] / (size * (n - size)) for size in sizes])
    unseen = np.array([1 - taken[size] / (comb(n, size) // (1 + (2 * size == n))) for size in sizes])
    return PairSample(pairs, weights / weights.sum(), unseen)


def _distinct(n: int, size: int, count: int, take: int, rng: np.random.Generator) -> Coalitions:
    """The first `take` of a random order of the pairs of one size, `(take, n)`."""
    if count <= _ENUMERATE:
        listed = list(combinations(range(n), size))[:count]  # of the middle size the first half: one of each pair
        chosen = [listed[i] for i in rng.permutation(count)[:take]]
        return _rows(n, chosen)
    found: dict[bytes, Coalitions] = {}
    while len(found) < take:
        drawn = rng.random((min(_CHUNK, take - len(found)), n)).argsort(axis=1).argsort(axis=1) < size
        if 2 * size == n:
            drawn ^= ~drawn[:, :1]  # the one of each pair that has player 0
        for row in drawn:
            found.setdefault(row.tobytes(), row)
            if len(found) == take:
                break
    return np.stack(list(found.values())) if found else np.zeros((0, n), np.bool_)


def _rows(n: int, members: list[tuple[int, ...]]) -> Coalitions:
    rows: npt.NDArray[np.bool_] = np.zeros((len(members), n), np.bool_)
    for row, those in enumerate(members):
        rows[row, list(those)] = True
    return rows
