"""A leaderboard of estimators of Shapley values on frozen games of a reader, ours and other libraries'.

Example: python -m eval.own_tables.leaderboard eval/games/openqa-even.npz --utility votes --markdown
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from attribution import ESTIMATORS, exact, explain
from eval.own_tables.games import CountedGame, FrozenGames, Values
from eval.own_tables.peers import Peer, peers
from eval.statistics import bootstrap_intervals
from eval.tables import Table

BUDGETS = (16, 32, 64, 128, 256, 512)
FIRST = 5
_SAME = 1e-9  # exact values no further apart are the same, and one no further from 0 is that of a null player

Estimate = Callable[[CountedGame, int, int], tuple[Values, Values | None]]
"""Called as estimate(game, budget, seed); gives values and standard errors, `(n_players,)` each, if there are any."""


class Scores(NamedTuple):
    """Of an estimator at a budget.

    Attributes:
        squared: mean squared error of each game, `(n_games,)`.
        order: share of the pairs of one of the first five players and any player of another exact value that are
            estimated in the right order, one half for ties; mean over games in which values differ.
        null: mean absolute estimate of players whose exact value is 0; NaN if there are none.
        seconds: of processor time, the game's answers looked up.
        coverage: share of exact values within 1.96 standard errors, in games that are not constant; NaN without errors.
    """

    squared: Values
    order: float
    null: float
    seconds: float
    coverage: float


Found = Mapping[str, Mapping[int, Scores | None]]
"""By estimator and budget; None where the budget is too small for it."""


def leaderboard(tables: Sequence[Values], budgets: Sequence[int], seeds: int, others: Sequence[Peer]) -> Found:
    """Scores of every estimator on these games.

    Args:
        tables: worth of `all_coalitions`, `(2^n_players,)` each.
        budgets: numbers of distinct coalitions.
        seeds: runs of each game, of which the mean counts.
        others: estimators of other libraries.
    """
    estimates: dict[str, Estimate] = {
        f"ours, {name}": partial(_ours, name) for name in ESTIMATORS if name not in ("auto", "exact", "banzhaf")
    }
    estimates |= {peer.name: partial(_theirs, peer) for peer in others}
    truths = [exact(game := CountedGame(table), game.n_players).values[0] for table in tables]
    return {
        name: {budget: score(estimate, budget, tables, truths, seeds) for budget in budgets}
        for name, estimate in estimates.items()
    }


def score(
    estimate: Estimate, budget: int, tables: Sequence[Values], truths: Sequence[Values], seeds: int
) -> Scores | None:
    """Scores of one estimator, or None if the budget is too small for it."""
    squared, order, null, covered, seconds = [], [], [], [], []
    for number, (table, truth) in enumerate(zip(tables, truths, strict=True)):
        errors = []
        for seed in range(number * seeds, (number + 1) * seeds):  # every game has its own
            started = time.process_time()
            try:
                values, deviations = estimate(CountedGame(table), budget, seed)
            except ValueError as error:
                if "needs a budget of at least" in str(error):
                    return None
                raise
            seconds.append(time.process_time() - started)
            errors.append(values - truth)
            order += right_order(values, truth)
            null += np.abs(values[np.abs(truth) <= _SAME]).tolist()
            if deviations is not None and np.ptp(table) > 0:
                covered += (np.abs(values - truth) <= 1.96 * deviations + _SAME).tolist()
        squared.append(np.mean(np.square(errors)))
    return Scores(np.array(squared), _mean(order), _mean(null), _mean(seconds), _mean(covered))


def right_order(values: Values, truth: Values) -> list[float]:
    """The share of pairs in the right order, as in `Scores`; nothing where no values differ."""
    first = np.argsort(-truth, kind="stable")[:FIRST, None]
    apart = truth[first] - truth
    differing = np.abs(apart) > _SAME
    # Estimates may differ by rounding alone.
    estimated = np.round(values[first] - values, 12)
    right = np.where(estimated == 0, 0.5, np.sign(estimated) == np.sign(apart))[differing]
    return [float(right.mean())] if right.size else []


def tables_of(found: Found, utility: str, n_games: int, seeds: int) -> list[Table]:
    """One table of each score, and what our estimators have more of squared error than the best of the others."""
    budgets = list(next(iter(found.values())))

    def table(title: str, how: str, cell: Callable[[Scores], str], only: str = "") -> Table:
        rows = [
            [name, *("–" if scores is None else cell(scores) for scores in at.values())]
            for name, at in found.items()
            if name.startswith(only)
        ]
        return Table(["estimator", *map(str, budgets)], rows, title, how)

    best = {budget: _best(found, budget) for budget in budgets}
    rows = [["best of the others", *(name or "–" for name in best.values())]]
    for name, at in found.items():
        if name.startswith("ours"):
            rows.append([name, *(_difference(at[budget], found, best[budget], budget) for budget in budgets)])
    how = (
        f"{utility.capitalize()} of {n_games} questions, {seeds} seeds; means over questions, 95 % bootstrap intervals."
    )
    tables = [
        table("Mean squared error, thousandths", how, lambda s: _interval(1000 * s.squared)),
        Table(
            ["estimator", *map(str, budgets)],
            rows,
            "Mean squared error less that of the best of the others, thousandths",
            "Paired by question; below zero is better. The best is chosen by the same runs.",
        ),
        table(
            "Order",
            "Pairs of one of the first five and any other, of different value, in the right order, per cent.",
            lambda s: f"{100 * s.order:.1f}",
        ),
        table(
            "Coverage of 95 % intervals",
            "Exact values within 1.96 standard errors, per cent.",
            lambda s: "–" if np.isnan(s.coverage) else f"{100 * s.coverage:.1f}",
            "ours",
        ),
        table("Milliseconds", "Processor time of an estimate.", lambda s: f"{1000 * s.seconds:.3g}"),
    ]
    if any(scores and not np.isnan(scores.null) for at in found.values() for scores in at.values()):
        how = "Mean absolute estimate, thousandths."
        tables.insert(3, table("Players whose exact value is 0", how, lambda s: f"{1000 * s.null:.3g}"))
    return tables


def _ours(name: str, game: CountedGame, budget: int, seed: int) -> tuple[Values, Values | None]:
    found = explain(game, game.n_players, estimator=name, budget=budget, seed=seed)
    return found.values[0], found.errors[0]


def _theirs(peer: Peer, game: CountedGame, budget: int, seed: int) -> tuple[Values, Values | None]:
    return peer.within(game, budget, seed), None


def _mean(numbers: Sequence[float]) -> float:
    return float(np.mean(numbers)) if len(numbers) else float("nan")


def _best(found: Found, budget: int) -> str | None:
    means = {
        name: float(scores.squared.mean())
        for name, at in found.items()
        if (scores := at[budget]) is not None and not name.startswith("ours")
    }
    return min(means, key=means.__getitem__, default=None)


def _difference(mine: Scores | None, found: Found, other: str | None, budget: int) -> str:
    theirs = None if other is None else found[other][budget]
    return "–" if mine is None or theirs is None else _interval(1000 * (mine.squared - theirs.squared), "+")


def _interval(samples: Values, sign: str = "") -> str:
    """Mean and 95 % interval with three digits; rounding errors are zero."""
    low, high = bootstrap_intervals(samples[:, None])[:, 0].tolist()
    numbers = (number if abs(number) > 1e-6 else 0.0 for number in (float(samples.mean()), low, high))
    mean, low, high = (f"{number:{sign}.3g}" for number in numbers)
    return f"{mean} [{low}, {high}]"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the leaderboard; the exit code is 1 if the games cannot be read or a library is missing."""
    parser = argparse.ArgumentParser(
        prog="python -m eval.own_tables.leaderboard", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("games", type=Path, help="file of frozen games: .npz")
    parser.add_argument("--utility", choices=("votes", "likelihood"), default="votes")
    parser.add_argument("--budgets", type=int, nargs="+", default=BUDGETS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--games-limit", type=int, help="only so many of the games, the first ones")
    parser.add_argument("--ours", action="store_true", help="leave other libraries out")
    parser.add_argument("--markdown", action="store_true", help="print as Markdown")
    chosen = parser.parse_args(arguments)
    try:
        games = FrozenGames.load(chosen.games)
        tables = list(games.votes if chosen.utility == "votes" else games.likelihoods)[: chosen.games_limit]
        found = leaderboard(tables, chosen.budgets, chosen.seeds, [] if chosen.ours else peers())
    except (ImportError, ValueError, OSError, KeyError) as error:
        sys.stderr.write(f"eval.own_tables.leaderboard: {error}\n")
        return 1
    for table in tables_of(found, chosen.utility, len(tables), chosen.seeds):
        table.print(chosen.markdown)
    return 0


if __name__ == "__main__":
    sys.exit(main())
