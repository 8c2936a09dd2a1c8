"""How far estimates are from exact Shapley values, ours and other libraries', at the same numbers of evaluations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from attribution import ESTIMATORS, VotesGame, exact, explain
from eval.benchmark.result import Progress, Section
from eval.benchmark.settings import BenchmarkSettings
from eval.own_tables.games import CountedGame, Values, all_coalitions
from eval.own_tables.peers import peers
from eval.selection import Example
from eval.statistics import bootstrap_intervals
from eval.tables import Table
from rag.readers import Reader

DEFAULT = "ours (default)"

Estimate = Callable[[CountedGame, int, int], Values]
"""Called as estimate(game, budget, seed); gives the values, `(n_players,)`, or raises ValueError for a small budget."""


class Errors(NamedTuple):
    """Per question, each `(n_questions,)`: mean squared and mean absolute error; and what was spent on average."""

    squared: Values
    absolute: Values
    distinct: float
    calls: float


Found = Mapping[str, Mapping[int, Errors | str]]
"""By estimator and budget, its errors, or why there are none."""


def check_libraries() -> None:
    """Raise ImportError, naming the command to install, if a library to compare with is missing."""
    peers()


def accuracy(settings: BenchmarkSettings, reader: Reader, examples: Sequence[Example], progress: Progress) -> Section:
    """Compare on the votes for each question's answer from its first passages; raises ValueError if none has enough."""
    n, total = settings.players, 2 * len(examples)
    tables = []
    for number, (question, passages) in enumerate(examples, start=1):
        if len(passages) >= n:
            encoded = reader.encode(question.text, passages[:n])
            tables.append(votes_table(partial(reader.generate, encoded), n))
        progress(number, total)
    if not tables:
        raise ValueError(f"no question has {n} passages; lower players")
    estimates: dict[str, Estimate] = {**ours(), **{peer.name: peer.within for peer in peers()}}
    found = {}
    for number, (name, estimate) in enumerate(estimates.items(), start=1):
        found[name] = {budget: measure(estimate, budget, tables, settings.seeds) for budget in settings.budgets}
        progress(len(examples) + number * len(examples) // len(estimates), total)
    return _section(settings, tables, found)


def votes_table(generate: Callable[[Any], Sequence[str]], n_players: int) -> Values:
    """1 where a coalition gives the answer of all passages, else 0: (2^n_players,)."""
    votes = VotesGame(generate)(all_coalitions(n_players))
    table: Values = votes[:, votes[-1].argmax()]
    return table


def ours() -> dict[str, Estimate]:
    """Our estimators of Shapley values by name."""
    names = [name for name in ESTIMATORS if name not in ("exact", "banzhaf")]
    return {DEFAULT if name == "auto" else f"ours, {name}": partial(_ours, name) for name in names}


def _ours(name: str, game: CountedGame, budget: int, seed: int) -> Values:
    return explain(game, game.n_players, estimator=name, budget=budget, seed=seed).values[0]


def measure(estimate: Estimate, budget: int, tables: Sequence[Values], seeds: int) -> Errors | str:
    """Errors of an estimator over all games, each the mean over seeds; or why the budget is too small for it."""
    squared, absolute, distinct, calls = [], [], [], []
    for number, table in enumerate(tables):
        truth = exact(game := CountedGame(table), game.n_players).values[0]
        errors = []
        for seed in range(number * seeds, (number + 1) * seeds):  # every question has its own
            game = CountedGame(table)
            try:
                errors.append(estimate(game, budget, seed) - truth)
            except ValueError as error:
                if "needs a budget of at least" in str(error):
                    return str(error)
                raise
            distinct.append(game.distinct)
            calls.append(game.calls)
        squared.append(np.mean(np.square(errors)))
        absolute.append(np.mean(np.abs(errors)))
    return Errors(np.array(squared), np.array(absolute), float(np.mean(distinct)), float(np.mean(calls)))


def _section(settings: BenchmarkSettings, tables: Sequence[Values], found: Found) -> Section:
    constant = sum(bool(np.ptp(table) == 0) for table in tables)
    how = (
        f"Votes of {len(tables)} questions, the first {settings.players} passages each ({constant} of the games are "
        f"constant), against exact values; {settings.seeds} seeds; at each number of distinct evaluations, every "
        "method with the most effort that fits it on average. Means over questions with 95 % bootstrap intervals."
    )
    paired = (
        "Paired by question, with 95 % bootstrap intervals; below zero is better. The best is chosen by the same runs."
    )
    spent = "Distinct coalitions, and in brackets all evaluations, repeated ones included."
    best = {budget: _best_peer(found, budget) for budget in settings.budgets}
    mine = {name: at for name, at in found.items() if name.startswith("ours")}

    def table(title: str, how: str, shown: Found, cell: Callable[[Errors, int], str], *first: list[str]) -> Table:
        rows = [
            [name, *("–" if isinstance(errors, str) else cell(errors, budget) for budget, errors in at.items())]
            for name, at in shown.items()
        ]
        return Table(["estimator", *map(str, settings.budgets)], [*first, *rows], title, how)

    def difference(errors: Errors, budget: int) -> str:
        other = found[best[budget] or ""][budget] if best[budget] else ""
        return "–" if isinstance(other, str) else _cell(errors.squared - other.squared, "+")

    shown = [
        table("Mean squared error, thousandths", how, found, lambda errors, _: _cell(errors.squared)),
        table("Mean absolute error, thousandths", "The same runs.", found, lambda errors, _: _cell(errors.absolute)),
        table(
            "Mean squared error less that of the best of the others, thousandths",
            paired,
            mine,
            difference,
            ["best of the others", *(name or "–" for name in best.values())],
        ),
        table("Evaluations spent", spent, found, lambda errors, _: f"{errors.distinct:,.0f} ({errors.calls:,.0f})"),
    ]
    kept = {
        "questions": len(tables),
        "constant_games": constant,
        "best_other": {str(budget): name for budget, name in best.items()},
        "errors": {name: {str(budget): _numbers(one) for budget, one in at.items()} for name, at in found.items()},
    }
    return Section("accuracy", shown, kept)


def _best_peer(found: Found, budget: int) -> str | None:
    means = {
        name: float(errors.squared.mean())
        for name, at in found.items()
        if isinstance(errors := at[budget], Errors) and not name.startswith("ours")
    }
    return min(means, key=means.__getitem__, default=None)


def _interval(samples: Values) -> tuple[float, float]:
    """95 % bootstrap interval of a mean."""
    low, high = bootstrap_intervals(samples[:, None])[:, 0].tolist()
    return low, high


def _cell(samples: Values, sign: str = "") -> str:
    """Mean and interval in thousandths with three digits; rounding errors are zero."""
    numbers = (1000 * number for number in (float(samples.mean()), *_interval(samples)))
    mean, low, high = (f"{number if abs(number) > 1e-6 else 0:{sign}.3g}" for number in numbers)
    return f"{mean} [{low}, {high}]"


def _numbers(errors: Errors | str) -> dict[str, Any]:
    if isinstance(errors, str):
        return {"missing": errors}
    return {
        "squared": float(errors.squared.mean()),
        "squared_interval": _interval(errors.squared),
        "absolute": float(errors.absolute.mean()),
        "absolute_interval": _interval(errors.absolute),
        "distinct": errors.distinct,
        "calls": errors.calls,
        "squared_by_question": errors.squared.tolist(),
    }
