"""Shapley values from few coalitions: those of a Gaussian process that is fitted to pairs of complements."""

from dataclasses import dataclass

import numpy as np

from attribution.design import most_informative
from attribution.games import CachedGame, Coalitions, Values
from attribution.kernel import KernelSampling, regression
from attribution.pairs import PairSample, PairSampling, Solution, draw_pairs, solution, weigh
from attribution.process import fit, posterior, prior
from attribution.replicates import N_GROUPS
from attribution.splitting import split_pairs

MAX_PLAYERS = 200
MAX_PAIRS = 1024
_FEW = 4  # evaluations for each player, below which pairs come from splitting groups
_CHOSEN = 31  # pairs up to which the others are chosen, which takes a tenth of a second
_POOL = 2048  # pairs to choose from, at most
_ROUNDING = 1e-9  # of the largest worth


@dataclass(frozen=True)
class GaussianProcess(PairSampling):
    """Values of the Gaussian process that explains the sampled pairs best, with the process's own uncertainty.

    The surrogate of ShaplEIG (arXiv 2606.02247). A game is a draw from a process with the covariance
    k(z, w) = s prod_r xi_r^[z_r != w_r] of two coalitions, with one xi_r in (0, 1) per player: a player whose xi is
    near 1 matters to nothing and gets nearly 0, where a regression would give it noise. xi, s and the variance of the
    noise maximise the posterior; log(-log xi_r) has a normal prior around log(1 / n_players) with deviation 2. A
    game's Shapley values are linear in it, so they have a normal distribution given what was evaluated, whose mean
    and covariance are integrals of products, exact by Gauss-Legendre quadrature.

    It differs from the source in this:

    - Shapley values depend on (v(S) - v(all but S)) / 2 alone, so the process is fitted to that, on the pairs of
      `KernelSampling`, under the covariance (k(z, w) - k(z, not w)) / 2. Its value for (all, none) has no noise, so
      that values sum to v(all) - v(none).
    - What is unlike from pair to pair belongs to the game: it is not averaged away as an error of measurement would be,
      and the values hold its share for the pairs that were evaluated. With all pairs they are exact.
    - s has a closed form and is put into the likelihood. Every output has its own; all have xi and the noise in common,
      which maximise the mean of their likelihoods. With xi of its own for each output, all votes of the embedded reader
      together were estimated no better, and the work would grow with the number of outputs.
    - The noise is at least 0.03 s where some output has fewer different targets than half of the pairs, as votes have.
      Such a game may turn on combinations of players of which a sample shows few. With less noise those few are taken
      at their word, and values and errors come out worse. Elsewhere, as with log-probabilities, it is at least 0.001 s.
    - Where there are few evaluations for the players, the pairs are no mere draws: see `choose`, `split_pairs`,
      `most_informative`, and docs/leaderboard.md for what they gain.
    - Parameters are fitted to at most 128 of the pairs, spread over the sample, and improved on all in eight steps.
    - A standard error is the larger of two: the deviation of the posterior, given the parameters, and the error that
      the regression of `KernelSampling` would have if it were made on what each pair differs from its prediction by all
      others. The first alone is too small where the game is unlike a draw from any such process.

    Time grows with the cube of the pairs, so at most 1,024 are evaluated (2,050 evaluations), and a larger budget is
    left unspent. It takes up to 200 players. Where the drawn pairs show nothing of a player that matters, errors say
    nothing of it either.
    """

    name = "gaussian-process"

    def minimum_budget(self, n_players: int) -> int:
        """Empty and full coalition and one pair; raises ValueError above 200 players."""
        if n_players > MAX_PLAYERS:
            raise ValueError(
                f"estimator {self.name!r} takes at most {MAX_PLAYERS} players, got {n_players}; "
                "use 'kernel' or 'permutation'"
            )
        return int(min(2**n_players, 4))

    def pairs_within(self, game: CachedGame) -> int:
        """Half of what is left after the empty and the full coalition, and no more than 1,024."""
        return min(super().pairs_within(game), MAX_PAIRS)

    def choose(self, game: CachedGame, rng: np.random.Generator, n_pairs: int, *, growing: bool) -> PairSample:
        """Drawn pairs, unless there is more than one evaluation for each player, and fewer than four or up to 64.

        Up to one pair for each player comes from splitting groups then. Up to 64 evaluations, the others are those that
        say the most of the values.
        """
        n = game.n_players
        informed = n_pairs <= _CHOSEN
        if growing or 2 * n_pairs <= n or (not informed and 2 * n_pairs >= _FEW * n - 2):
            return draw_pairs(n, n_pairs, rng)
        pairs = split_pairs(game, min(n_pairs, n))
        candidates = draw_pairs(n, max(n_pairs, min(_POOL, 2 ** (n - 1) - 1)) if informed else n_pairs, rng).pairs
        known = set(map(bytes, np.packbits(pairs, axis=1)))
        others = candidates[[bytes(row) not in known for row in np.packbits(candidates, axis=1)]]
        if informed:
            return weigh(_extended(game, pairs, others, n_pairs))
        places = np.linspace(0, len(others), n_pairs - len(pairs), endpoint=False).astype(np.intp)
        return weigh(np.concatenate([pairs, others[places]]))

    def solve(self, sample: PairSample, odd: Values, total: Values, *, deviations: bool) -> Solution:
        """Fit the process and condition it on all pairs; all pairs there are need no process."""
        if not sample.unseen.any():
            return KernelSampling().solve(sample, odd, total, deviations=deviations)
        n = sample.pairs.shape[1]
        signs = _signs(sample.pairs)
        targets = np.concatenate([total[None], odd + np.outer(signs[1:].sum(axis=1) / n, total)]) / 2
        values, errors = np.zeros((2, len(total), n))
        draws = np.zeros((N_GROUPS if deviations else 0, len(total), n))
        moving = np.abs(targets).max(axis=0) > 0
        if moving.any():
            found = posterior(fit(signs, targets[:, moving]), signs, targets[:, moving])
            left = found.surprises[1:] * np.sqrt(sample.unseen)[:, None]
            missed = solution(found.values, left, regression(sample)[1], deviations=deviations)
            values[moving] = found.values
            own = np.sqrt(np.outer(found.scales.diagonal(), np.maximum(found.covariance.diagonal(), 0.0)))
            errors[moving] = np.maximum(own, missed.errors)
            if missed.deviations is not None:
                normal = np.random.default_rng(0).standard_normal((N_GROUPS, moving.sum(), n)) / N_GROUPS**0.5
                both = _root(found.scales) @ normal @ _root(found.covariance).T + missed.deviations
                # One factor for all players of an output, so that what all win stays what it is.
                squares = (errors[moving] ** 2).sum(axis=1), (own**2 + missed.errors**2).sum(axis=1)
                draws[:, moving] = both * np.sqrt(squares[0] / np.maximum(squares[1], 1e-300))[:, None]
        return Solution(values, errors, draws if deviations else None)


def _extended(game: CachedGame, pairs: Coalitions, others: Coalitions, n_pairs: int) -> Coalitions:
    """The pairs and as many of the others as are missing to `n_pairs`, those that say the most of the values.

    They are chosen in rounds, each a quarter as large as all before, and four pairs or more; after each, the process is
    fitted anew.
    """
    while len(pairs) < n_pairs:
        signs, targets = _signs(pairs), _targets(game, pairs)
        moving = np.abs(targets).max(axis=0) > 0
        process = fit(signs, targets[:, moving]) if moving.any() else prior(pairs.shape[1])
        count = min(n_pairs - len(pairs), max(4, len(pairs) // 4))
        best = most_informative(process, signs, _signs(others)[1:], count)
        pairs = np.concatenate([pairs, others[best]])
        others = np.delete(others, best, axis=0)
    return pairs


def _signs(pairs: Coalitions) -> Values:
    """Of the full coalition and these pairs, as `fit` takes them, (1 + n_pairs, n_players)."""
    return np.where(np.concatenate([np.ones((1, pairs.shape[1]), np.bool_), pairs]), 1.0, -1.0)


def _targets(game: CachedGame, pairs: Coalitions) -> Values:
    """Half of what the full coalition and each of these is worth more than its complement, (1 + n_pairs, n_outputs).

    A difference by rounding is none.
    """
    rows = np.concatenate([np.ones((1, pairs.shape[1]), np.bool_), pairs])
    worth = game(np.concatenate([rows, ~rows]))
    halves: Values = (worth[: len(rows)] - worth[len(rows) :]) / 2
    return np.where(np.abs(halves) > _ROUNDING * np.abs(worth).max(axis=0), halves, 0.0)


def _root(covariance: Values) -> Values:
    """A matrix whose product with its transpose is the covariance, negative parts by rounding left out."""
    parts, directions = np.linalg.eigh(covariance)
    root: Values = directions * np.sqrt(np.maximum(parts, 0.0))
    return root
