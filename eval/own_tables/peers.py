"""Estimators of Shapley values from other libraries, all run on the same counted game.

Each library states its effort in its own unit: permutations, samples, a budget. `fitting_amount` finds how much of it
costs a given number of distinct coalitions, so that a library is not charged for repeating a coalition.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from importlib.util import find_spec
from typing import Any

import numpy as np

from eval.own_tables.games import CountedGame, Values

INSTALL = "pip install 'ragshap[bench]'"
_SEEDS = 5  # over which the number of distinct coalitions is averaged


@dataclass(frozen=True)
class Peer:
    """An estimator of another library.

    Attributes:
        name: library and class.
        estimate: called as estimate(game, amount, seed); returns the values (n_players,).
        least: smallest amount it works with, by number of players.
    """

    name: str
    estimate: Callable[[CountedGame, int, int], Values]
    least: Callable[[int], int] = lambda n_players: 1

    def within(self, game: CountedGame, budget: int, seed: int) -> Values:
        """The values by the most effort that fits a budget of distinct coalitions; ValueError if none fits."""
        amount = fitting_amount(self, game.n_players, budget)
        if amount is None:
            raise ValueError(f"{self.name} needs a budget of at least what its least effort takes, got {budget}")
        return self.run(game, amount, seed)

    def run(self, game: CountedGame, amount: int, seed: int) -> Values:
        """The values, (n_players,), without warnings, and with numpy's global generator as it was before."""
        state = np.random.get_state()  # captum and shap draw from it
        np.random.seed(seed)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return self.estimate(game, amount, seed)
        finally:
            np.random.set_state(state)


def peers() -> list[Peer]:
    """All of them; raises ImportError, naming the command to install, if a library is missing."""
    missing = [name for name in ("captum", "shap", "shapiq") if find_spec(name) is None]
    if missing:
        raise ImportError(f"the comparison with other libraries needs {', '.join(missing)}: {INSTALL}")
    one = partial(_shapiq, "KernelSHAP")
    return [
        Peer("captum ShapleyValueSampling", partial(_captum, "ShapleyValueSampling")),
        Peer("captum KernelShap", partial(_captum, "KernelShap"), least=lambda n: n + 2),
        Peer("shap PermutationExplainer", _shap_permutations),
        Peer("shap KernelExplainer", _shap_kernel, least=lambda n: n),
        Peer("shapiq PermutationSamplingSV", partial(_shapiq, "PermutationSamplingSV"), least=lambda n: n + 1),
        Peer("shapiq KernelSHAP", one, least=lambda n: n + 2),
        Peer("shapiq KernelSHAP, paired", partial(one, pairing_trick=True), least=lambda n: n + 2),
        Peer("shapiq UnbiasedKernelSHAP", partial(_shapiq, "UnbiasedKernelSHAP"), least=lambda n: n + 2),
        Peer("shapiq SVARM", partial(_shapiq, "SVARM"), least=lambda n: 2 * n + 2),
        Peer("shapiq kADDSHAP", partial(_shapiq, "kADDSHAP", max_order=2), least=lambda n: n + 2),
        Peer("shapiq KernelSHAPIQ", partial(_shapiq, "KernelSHAPIQ", max_order=2, index="SII"), least=lambda n: n + 2),
    ]


@cache
def fitting_amount(peer: Peer, n_players: int, budget: int) -> int | None:
    """The largest amount that costs at most `budget` distinct coalitions on average; None if the least costs more.

    Which coalitions are drawn does not depend on their worth, so it is measured on a random game.
    """
    table = np.random.default_rng(0).random(2**n_players)

    def fits(amount: int) -> bool:
        spent = []
        for seed in range(_SEEDS):
            game = CountedGame(table)
            peer.run(game, amount, seed)
            spent.append(game.distinct)
        return float(np.mean(spent)) <= budget

    low = peer.least(n_players)
    if not fits(low):
        return None
    high = 2 * low
    while fits(high):
        low, high = high, 2 * high
        if high > 100 * 2**n_players:  # all coalitions are within the budget
            return low
    while high - low > max(1, low // 100):
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _captum(name: str, game: CountedGame, amount: int, seed: int) -> Values:
    import captum.attr
    import torch

    def forward(rows: Any) -> Any:
        return torch.from_numpy(game(rows.numpy()))

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        players = torch.ones(1, game.n_players, dtype=torch.float64)
        found = getattr(captum.attr, name)(forward).attribute(players, n_samples=amount, perturbations_per_eval=64)
    values: Values = found[0].double().numpy()
    return values


def _shap_permutations(game: CountedGame, amount: int, seed: int) -> Values:
    import shap

    n = game.n_players
    explainer = shap.PermutationExplainer(game, shap.maskers.Independent(np.zeros((1, n))), seed=seed)
    found = explainer(np.ones((1, n)), max_evals=amount * (2 * n + 1), silent=True)
    values: Values = np.asarray(found.values, dtype=np.float64).reshape(n)
    return values


def _shap_kernel(game: CountedGame, amount: int, seed: int) -> Values:
    import shap

    n = game.n_players
    explainer = shap.KernelExplainer(game, np.zeros((1, n)))
    found = explainer.shap_values(np.ones((1, n)), nsamples=amount, l1_reg=False, silent=True)
    values: Values = np.asarray(found, dtype=np.float64).reshape(n)
    return values


def _shapiq(name: str, game: CountedGame, amount: int, seed: int, **options: Any) -> Values:
    import shapiq.approximator

    n = game.n_players
    found = getattr(shapiq.approximator, name)(n, random_state=seed, **options).approximate(amount, game)
    return np.array([found[(player,)] for player in range(n)], dtype=np.float64)
