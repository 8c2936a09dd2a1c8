"""What pairs of players do beyond what each does alone."""

from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np

from attribution.attribution import output_index
from attribution.games import CachedGame, Game, Progress, Values
from attribution.pairs import draw_pairs


@dataclass(frozen=True, eq=False)
class Interactions:
    """Interactions of pairs, above zero where two players need each other and below where they repeat each other.

    Attributes:
        outputs: names of the outputs.
        values: (n_outputs, n_players, n_players), symmetric, zero on the diagonal.
        errors: standard errors, same shape; zero where all coalitions were evaluated.
        evaluations: number of distinct coalitions evaluated.
    """

    outputs: tuple[str, ...]
    values: Values
    errors: Values
    evaluations: int

    def top(self, k: int, output: int | str = 0) -> list[tuple[int, int, float, float]]:
        """The k pairs of largest magnitude for an output, by index or name: (player, player, value, error)."""
        if k < 0:
            raise ValueError(f"k must be 0 or more, got {k}")
        row = output_index(output, self.outputs)
        first, second = np.triu_indices(self.values.shape[1], 1)
        values, errors = self.values[row, first, second], self.errors[row, first, second]
        order = np.argsort(-np.abs(values), kind="stable")[:k]
        return [(int(first[i]), int(second[i]), float(values[i]), float(errors[i])) for i in order]


def minimum_budget(n_players: int) -> int:
    """Fewest evaluations that `interactions` can work with: the empty and full coalition, and one pair per unknown."""
    return int(min(2**n_players, 2 + 2 * (n_players + comb(n_players, 2))))


def interactions(
    game: Game,
    n_players: int,
    *,
    budget: int = 2000,
    seed: int = 0,
    batch_size: int = 1024,
    progress: Progress | None = None,
) -> Interactions:
    """Faithful Shapley interactions of pairs (Tsai, Yeh and Ravikumar 2023).

    The game is approximated by v(none) + the values of the members + the interactions of their pairs, in least squares
    under the weights of `KernelSampling`, and equals the game for all players and for none. Coalitions are drawn as in
    `KernelSampling`. With all coalitions the interactions are exact. Standard errors are those of the regression
    (HC3), with each coalition taken together with its complement.

    Args:
        game: callable from bool (n_coalitions, n_players) to (n_coalitions,) or (n_coalitions, n_outputs).
        n_players: number of players.
        budget: the most distinct coalitions to evaluate.
        seed: seed of the sampling.
        batch_size: the most coalitions in one call of `game`.
        progress: called as progress(evaluations, budget) after each call of `game`, and at the end as
            progress(evaluations, evaluations) if the budget was not spent.

    Raises:
        ValueError: a budget below the number of unknowns (the message names the minimum), or a game that returns a
            wrong shape or non-finite values.
    """
    n = n_players
    cached = CachedGame(game, n, batch_size=batch_size, budget=budget, progress=progress)
    pairs_of_players = list(combinations(range(n), 2))
    minimum = minimum_budget(n)
    if cached.budget < minimum:
        raise ValueError(f"interactions of {n} players need a budget of at least {minimum} evaluations, got {budget}")
    ends = cached(np.stack([np.zeros(n, np.bool_), np.ones(n, np.bool_)]))
    if n < 2:
        cached.finish()
        nothing = np.zeros((cached.n_outputs, n, n))
        return Interactions(cached.outputs, nothing, nothing, cached.evaluations)
    sample = draw_pairs(n, (cached.budget - 2) // 2, np.random.default_rng(seed))
    rows = np.concatenate([sample.pairs, ~sample.pairs])
    worth = cached(rows)
    cached.finish()
    ends = np.pad(ends, ((0, 0), (0, worth.shape[1] - ends.shape[1])))
    empty, total = ends[0], ends[1] - ends[0]
    first, second = np.array(pairs_of_players).T
    design = np.concatenate([rows, rows[:, first] & rows[:, second]], axis=1).astype(np.float64)
    # All unknowns sum to `total`: they are that, shared equally, plus a part that sums to zero, found by regression.
    centred = design - design.mean(axis=1, keepdims=True)
    targets = worth - empty - np.outer(design.mean(axis=1), total)
    weights = np.tile(sample.weights, 2)
    inverse = np.linalg.pinv((centred * weights[:, None]).T @ centred, rcond=1e-10, hermitian=True)
    influence = (centred * weights[:, None]) @ inverse
    found = influence.T @ targets
    residuals = targets - centred @ found
    # A pair is drawn as one: its two residuals count together, in their even part (all that interactions show in) and
    # their odd part, each corrected by its leverage.
    m = len(sample.pairs)
    own, other = (np.einsum("ku,ku->k", influence[:m], side) for side in (centred[:m], centred[m:]))
    variances = np.zeros_like(found)
    for sign in (1, -1):
        part = (residuals[:m] + sign * residuals[m:]) / 2 / np.maximum(1 - own - sign * other, 1e-9)[:, None]
        lever = influence[:m] + sign * influence[m:]
        variances += (lever**2 * sample.unseen[:, None]).T @ part**2
    values, errors = (np.zeros((worth.shape[1], n, n)) for _ in range(2))
    for target, source in ((values, found + total / design.shape[1]), (errors, np.sqrt(variances))):
        target[:, first, second] = target[:, second, first] = source[n:].T
    return Interactions(cached.outputs, values, errors, cached.evaluations)
