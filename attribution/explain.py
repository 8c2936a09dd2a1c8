"""`explain`: the one call that attributes a game's outputs to its players."""

from collections.abc import Sequence

from attribution.adjusted import RegressionAdjusted
from attribution.attribution import Attribution
from attribution.banzhaf import BanzhafSampling
from attribution.estimator import SEMIVALUES, Estimator, check_semivalue, run
from attribution.exact import MAX_PLAYERS, exact_estimator
from attribution.games import Game, Progress
from attribution.kernel import KernelSampling
from attribution.permutation import PermutationSampling
from attribution.stopping import StoppingRule

ESTIMATORS = ("auto", "exact", "permutation", "kernel", "regression-adjusted", "banzhaf")
_OF = {
    "exact": SEMIVALUES,
    "permutation": ("shapley",),
    "kernel": ("shapley",),
    "regression-adjusted": ("shapley",),
    "banzhaf": ("banzhaf",),
}


def explain(
    game: Game,
    n_players: int,
    *,
    players: Sequence[str] | None = None,
    estimator: str = "auto",
    semivalue: str = "shapley",
    p: float = 0.5,
    budget: int = 2000,
    permutations: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    output: int | str | None = None,
    batch_size: int = 1024,
    until: StoppingRule | None = None,
    pivots: bool = False,
) -> Attribution:
    """Attribute all outputs of a game to its players.

    The same arguments give the same values, whether or not a CachedGame already knows some coalitions; it
    only saves their evaluation. (A votes game used before also reports the answers met then, with value 0.)

    Args:
        game: callable from bool (n_coalitions, n_players) to (n_coalitions,) or (n_coalitions, n_outputs).
            Hand in a CachedGame to share evaluations between calls.
        n_players: number of players.
        players: names of the players, by default "player 0", "player 1", ...
        estimator: "exact"; "permutation", "kernel" or "regression-adjusted" for Shapley; "banzhaf"; or "auto": exact
            for at most 14 players if the budget admits all 2^n_players coalitions and neither `permutations` nor
            `until` is given; else "kernel" for Shapley ("permutation" for `permutations` or `pivots`), or "banzhaf".
        semivalue: "shapley" or "banzhaf", or the baselines "leave-one-out" and "first-in", which are always exact.
        p: inclusion probability of the Banzhaf value.
        budget: most distinct coalitions to evaluate, the full and the empty one included; never exceeded.
        permutations: number of orderings for "permutation", by default as many as the budget admits.
        seed: seed of all sampling.
        progress: called as progress(evaluations, budget) after each call of `game`.
        output: index or name of the output to explain, one that is known once the full and the empty
            coalition are evaluated; by default the answer of the full coalition for votes, else output 0.
        batch_size: most coalitions in one call of `game`.
        until: `TopKCertain` or `TargetError`, to stop before the budget is spent; exact values need all of it.
        pivots: whether pivots are needed, which makes "auto" choose an estimator that gives them.

    Raises:
        ValueError: for unknown names, settings that contradict each other, a budget too small for the
            estimator (the message names the minimum), or a game that returns a wrong shape or non-finite
            values.
    """
    check_semivalue(semivalue, p)
    return run(
        _choose(estimator, semivalue, p, n_players, budget, permutations, until, pivots),
        game,
        n_players,
        players=players,
        output=output,
        budget=budget,
        seed=seed,
        batch_size=batch_size,
        progress=progress,
        until=until,
    )


def _choose(
    estimator: str,
    semivalue: str,
    p: float,
    n_players: int,
    budget: int,
    permutations: int | None,
    until: StoppingRule | None,
    pivots: bool,
) -> Estimator:
    if estimator not in ESTIMATORS:
        raise ValueError(f"unknown estimator {estimator!r}; known: {', '.join(ESTIMATORS)}")
    if estimator == "auto":
        enumerable = n_players <= MAX_PLAYERS and 2**n_players <= budget and permutations is None and until is None
        shapley = "permutation" if pivots or permutations is not None else "kernel"
        samplers = {"shapley": shapley, "banzhaf": "banzhaf"}
        estimator = "exact" if enumerable else samplers.get(semivalue, "exact")
    if semivalue not in _OF[estimator]:
        able = ", ".join(repr(name) for name, semivalues in _OF.items() if semivalue in semivalues)
        raise ValueError(f"estimator {estimator!r} does not estimate semivalue {semivalue!r}; use {able} or 'auto'")
    if permutations is not None and estimator != "permutation":
        raise ValueError(f"permutations={permutations} applies to estimator 'permutation', not {estimator!r}")
    if estimator == "exact" and until is not None:
        raise ValueError("exact values need all coalitions, so `until` cannot stop earlier; choose another estimator")
    if estimator == "exact":
        return exact_estimator(semivalue, p)
    if estimator == "kernel":
        return KernelSampling()
    if estimator == "regression-adjusted":
        return RegressionAdjusted()
    return PermutationSampling(permutations) if estimator == "permutation" else BanzhafSampling(p)
