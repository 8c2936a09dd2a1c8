"""Means over the cases of each game."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from eval.comparison import ComparisonResult, make_rows
from eval.controlled.settings import ControlledRun
from eval.statistics import Floats

MEASURES = ("first", "equal", "last", "elsewhere")
_Records = Sequence[Mapping[str, Any]]


class Shares(NamedTuple):
    """The mean share of each kind of passage in a method's absolute scores, with its sign; one entry per passage.

    Targets come in the order in which they were made, then the passages against, then the others by falling share.
    """

    targets: list[float]
    against: list[float]
    others: list[float]


@dataclass(frozen=True)
class ControlledResult(ComparisonResult):
    """The methods' rows; a metric is named after its game, as "duplicate.first". `curves` holds `Shares` by game.

    Attributes:
        cases: by game, how many the reader played, and how many questions were tried for these.
    """

    FORMAT = "ragshap-controlled-games"

    cases: Mapping[str, tuple[int, int]]

    def to_dict(self) -> dict[str, Any]:
        """As for every comparison, with the numbers of cases."""
        cases = {game: {"played": played, "tried": tried} for game, (played, tried) in self.cases.items()}
        shares = {game: {name: one._asdict() for name, one in own.items()} for game, own in self.curves.items()}
        return {**super().to_dict(), "curves": shares, "cases": cases}


def summarise(
    run: ControlledRun,
    tried: Mapping[str, _Records],
    made_with: Mapping[str, Any],
    warnings: Sequence[str],
) -> ControlledResult:
    """The result of a run from the records of the questions that were tried, by game and in the order of trying."""
    played: dict[str, _Records] = {}
    cases: dict[str, tuple[int, int]] = {}
    for game, records in tried.items():
        places = [place for place, record in enumerate(records) if "methods" in record][: run.limit]
        played[game] = [records[place] for place in places]
        cases[game] = len(places), places[-1] + 1 if len(places) == run.limit else len(records)
    counted = [record for records in played.values() for record in records]
    table = {method: _scores(counted, method) for method in run.systems()}
    base = run.baseline()
    few = [f"{game}: the reader plays {n} of {of} cases" for game, (n, of) in cases.items() if n < run.limit]
    return ControlledResult(
        run=run,
        rows=tuple(make_rows(table, {method: None if method == base else base for method in table}, run.report)),
        curves={game: {method: _shares(own, method) for method in table} for game, own in played.items() if own},
        ids=tuple(record["id"] for record in counted),
        scores=table,
        made_with=made_with,
        warnings=(*warnings, *few),
        cases=cases,
    )


def _scores(records: _Records, method: str) -> dict[str, Floats]:
    """By metric, each case's measure, NaN for cases of other games."""
    metrics = dict.fromkeys(
        (record["game"], measure) for record in records for measure in record["methods"][method]["measures"]
    )
    return {
        f"{game}.{measure}": np.array(
            [r["methods"][method]["measures"].get(measure) if r["game"] == game else None for r in records],
            dtype=np.float64,
        )
        for game, measure in metrics
    }


def _shares(records: _Records, method: str) -> Shares:
    kinds = []
    for record in records:
        scores = np.array(record["methods"][method]["scores"])
        shares = scores / (np.abs(scores).sum() or 1.0)
        targets, against = record["targets"], record["against"]
        others = np.delete(shares, [*targets, *against])
        kinds.append((shares[targets], shares[against], np.sort(others)[::-1]))
    return Shares(*(np.mean(kind, axis=0).round(4).tolist() for kind in zip(*kinds, strict=True)))
