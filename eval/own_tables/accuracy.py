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
from eval.own_tables.peers import Peer, fitting_amount, peers
from eval.selection import Example
from eval.statistics import bootstrap_intervals
from eval.tables import Table
from rag.readers import Reader

DEFAULT = "ours (default)"


class Method(NamedTuple):
    """An estimator at one budget: run(game, seed) gives the values; `note` says why there is none."""

    run: Callable[[CountedGame, int], Values] | None
    note: str = ""


class Errors(NamedTuple):
    """Per question, each (n_questions,): mean squared and mean absolute error, and what was spent."""

    squared: Values
    absolute: Values
    distinct: float
    calls: float


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
    methods = ours() | others(n, settings.budgets)
    found: dict[str, dict[int, Errors | str]] = {}
    for number, (name, at) in enumerate(methods.items(), start=1):
        found[name] = {budget: measure(at(budget), tables, settings.seeds) for budget in settings.budgets}
        progress(len(examples) + number * len(examples) // len(methods), total)
    return _section(settings, tables, found)


def votes_table(generate: Callable[[Any], Sequence[str]], n_players: int) -> Values:
    """1 where a coalition gives the answer of all passages, else 0: (2^n_players,)."""
    votes = VotesGame(generate)(all_coalitions(n_players))
    table: Values = votes[:, votes[-1].argmax()]
    return table


def ours() -> dict[str, Callable[[int], Method]]:
    """Our estimators of Shapley values by name: each maps a budget to a method."""
    names = [name for name in ESTIMATORS if name not in ("exact", "banzhaf")]
    return {DEFAULT if name == "auto" else f"ours, {name}": partial(_ours, name) for name in names}


def others(n_players: int, budgets: Sequence[int]) -> dict[str, Callable[[int], Method]]:
    """The other libraries' estimators by name, with the effort that fits each budget."""
    found: dict[str, Callable[[int], Method]] = {}
    for peer in peers():
        fitting = {budget: fitting_amount(peer, n_players, budget) for budget in budgets}

        found[peer.name] = partial(_other, peer, fitting)
    return found


def _other(peer: Peer, fitting: Mapping[int, int | None], budget: int) -> Method:
    amount = fitting[budget]
    if amount is None:
        return Method(None, f"{peer.name} takes more at its least effort")
    return Method(lambda game, seed: peer.run(game, amount, seed))


def _ours(name: str, budget: int) -> Method:
    def run(game: CountedGame, seed: int) -> Values:
        return explain(game, game.n_players, estimator=name, budget=budget, seed=seed).values[0]

    return Method(run)


def measure(method: Method, tables: Sequence[Values], seeds: int) -> Errors | str:
    """Errors of a method over all games, each the mean over seeds; or why it cannot run."""
    if method.run is None:
        return method.note
    squared, absolute, distinct, calls = [], [], [], []
    for number, table in enumerate(tables):
        n = len(table).bit_length() - 1
        truth = exact(CountedGame(table), n).values[0]
        offs = []
        for seed in range(number * seeds, (number + 1) * seeds):  # every question has its own
            game = CountedGame(table)
            try:
                offs.append(method.run(game, seed) - truth)
            except ValueError as error:
                if "needs a budget of at least" in str(error):
                    return str(error)
                raise
            distinct.append(game.distinct)
            calls.append(game.calls)
        squared.append(np.mean(np.square(offs)))
        absolute.append(np.mean(np.abs(offs)))
    return Errors(np.array(squared), np.array(absolute), float(np.mean(distinct)), float(np.mean(calls)))


def _interval(samples: Values) -> tuple[float, float]:
    """95 % bootstrap interval of a mean."""
    low, high = bootstrap_intervals(samples[:, None])[:, 0].tolist()
    return low, high


def _section(
    settings: BenchmarkSettings, tables: Sequence[Values], found: dict[str, dict[int, Errors | str]]
) -> Section:
    budgets = settings.budgets
    constant = sum(bool(np.ptp(table) == 0) for table in tables)
    how = (
        f"Votes of {len(tables)} questions, the first {settings.players} passages each ({constant} of the games are "
        f"constant), against exact values; {settings.seeds} seeds; at each number of distinct evaluations, every "
        "method with the most effort that fits it on average. Means over questions with 95 % bootstrap intervals."
    )
    best = {budget: _best_peer(found, budget) for budget in budgets}

    def table(title: str, how: str, cell: Callable[[str, int], str], names: Sequence[str], *first: list[str]) -> Table:
        rows = [*first, *([name, *(cell(name, budget) for budget in budgets)] for name in names)]
        return Table(["estimator", *map(str, budgets)], rows, title, how)

    squared = "Mean squared error, thousandths"
    paired = (
        "Paired by question, with 95 % bootstrap intervals; below zero is better. The best is chosen by the same runs."
    )
    spent = "Distinct coalitions, and in brackets all evaluations, repeated ones included."
    mine = [name for name in found if name.startswith("ours")]
    best_names = ["best of the others", *(name or "–" for name in best.values())]
    shown = [
        table(squared, how, lambda name, b: _cell(found[name][b], "squared"), [*found]),
        table(
            "Mean absolute error, thousandths", "The same runs.", lambda n, b: _cell(found[n][b], "absolute"), [*found]
        ),
        table(
            "Mean squared error less that of the best of the others, thousandths",
            paired,
            lambda name, budget: _paired(found, name, best[budget], budget),
            mine,
            best_names,
        ),
        table("Evaluations spent", spent, lambda name, b: _spent(found[name][b]), [*found]),
    ]
    numbers = {name: {str(b): _numbers(at[b]) for b in budgets} for name, at in found.items()}
    kept = {"questions": len(tables), "constant_games": constant, "best_other": {str(b): best[b] for b in budgets}}
    return Section("accuracy", shown, {**kept, "errors": numbers})


def _best_peer(found: dict[str, dict[int, Errors | str]], budget: int) -> str | None:
    means = {
        name: float(errors.squared.mean())
        for name, at in found.items()
        if isinstance(errors := at[budget], Errors) and not name.startswith("ours")
    }
    return min(means, key=means.__getitem__, default=None)


def _cell(errors: Errors | str, kind: str) -> str:
    if isinstance(errors, str):
        return "–"
    samples = 1000 * getattr(errors, kind)
    low, high = _interval(samples)
    return f"{_short(samples.mean())} [{_short(low)}, {_short(high)}]"


def _spent(errors: Errors | str) -> str:
    return "–" if isinstance(errors, str) else f"{errors.distinct:,.0f} ({errors.calls:,.0f})"


def _paired(found: dict[str, dict[int, Errors | str]], name: str, best: str | None, budget: int) -> str:
    one, other = found[name][budget], found[best][budget] if best else ""
    if isinstance(one, str) or isinstance(other, str):
        return "–"
    difference = 1000 * (one.squared - other.squared)
    low, high = _interval(difference)
    return f"{_short(difference.mean(), '+')} [{_short(low, '+')}, {_short(high, '+')}]"


def _short(number: float, sign: str = "") -> str:
    """Three digits; rounding errors are zero."""
    return f"{number if abs(number) > 1e-6 else 0:{sign}.3g}"


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
