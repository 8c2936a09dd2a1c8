"""`explain`, the one call that attributes a game's outputs to its players, and `check`, which needs no game."""

from collections.abc import Sequence

from attribution.adjusted import RegressionAdjusted
from attribution.attribution import Attribution
from attribution.banzhaf import BanzhafSampling
from attribution.estimator import SEMIVALUES, Estimator, check_budget, check_semivalue, run
from attribution.exact import MAX_PLAYERS, exact_estimator
from attribution.games import Game, Progress
from attribution.gaussian_process import MAX_PLAYERS as FEW_PLAYERS
from attribution.gaussian_process import GaussianProcess
from attribution.kernel import KernelSampling
from attribution.permutation import PermutationSampling
from attribution.stopping import StoppingRule

ESTIMATORS = ("auto", "exact", "permutation", "kernel", "gaussian-process", "regression-adjusted", "banzhaf")
_OF = {
    "exact": SEMIVALUES,
    "permutation": ("shapley",),
    "kernel": ("shapley",),
    "gaussian-process": ("shapley",),
    "regression-adjusted": ("shapley",),
    "banzhaf": ("banzhaf",),
}
_BASELINES = ("leave-one-out", "first-in")
_WITH_PIVOTS = ("exact", "permutation")
_FEW = 1026  # evaluations up to which "auto" takes the Gaussian process, which then takes half a second itself


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

    The same arguments give the same values, whether or not a CachedGame already knows some coalitions, which are then
    not evaluated again. (A votes game that was used before also reports the answers that it gave then, with value 0.)

    Args:
        game: callable from bool (n_coalitions, n_players) to (n_coalitions,) or (n_coalitions, n_outputs).
            Hand in a CachedGame to share evaluations between calls.
        n_players: number of players.
        players: names of the players, by default "player 0", "player 1", ...
        estimator: "exact"; "permutation", "kernel", "gaussian-process" or "regression-adjusted" for Shapley; "banzhaf";
            or "auto": exact for at most 14 players if the budget admits all 2^n_players coalitions and neither
            `permutations` nor `until` is given; else "banzhaf", or for Shapley "permutation" for `permutations` or
            `pivots`, "gaussian-process" for at most 200 players, a budget of at most 1,026 and no `until`, and "kernel"
            for more.
        semivalue: "shapley" or "banzhaf", or the baselines "leave-one-out" and "first-in", which are always exact.
        p: inclusion probability of the Banzhaf value.
        budget: the most distinct coalitions to evaluate, including the full and the empty one.
        permutations: number of orderings for "permutation"; by default, and at most, as many as the budget admits.
        seed: seed of all sampling.
        progress: called as progress(evaluations, budget) after each call of `game`, where `budget` is the whole
            budget (but no more than 2^n_players), with `until` too. If fewer evaluations were needed, a last call
            progress(evaluations, evaluations) follows, so that a progress bar is full once, at the end.
        output: index or name of the output to explain, which the full or the empty coalition must show; by default
            the answer of the full coalition for votes, else output 0.
        batch_size: the most coalitions in one call of `game`.
        until: `TopKCertain` or `TargetError`, to stop before the budget is spent; exact values need all of it.
        pivots: whether pivots are needed. "auto" then chooses an estimator that gives them; they come with "exact"
            and "permutation", so never with sampled Banzhaf values.

    Raises:
        ValueError: before the game is called, for all that `check` refuses; later, for an unknown output, or a game
            that returns a wrong shape or non-finite values.
    """
    return run(
        _checked(estimator, semivalue, p, n_players, budget, permutations, until, pivots),
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


def check(
    n_players: int,
    *,
    estimator: str = "auto",
    semivalue: str = "shapley",
    p: float = 0.5,
    budget: int = 2000,
    permutations: int | None = None,
    until: StoppingRule | None = None,
    pivots: bool = False,
) -> None:
    """Find out without a game whether `explain` takes these arguments, which are described there.

    `explain` begins with the same check. Use it to find mistakes before a game is set up at some cost.

    Raises:
        ValueError: for unknown names, settings that contradict each other, too many players for the estimator, or a
            budget too small for it (the message names the minimum).
    """
    _checked(estimator, semivalue, p, n_players, budget, permutations, until, pivots)


def _checked(
    estimator: str,
    semivalue: str,
    p: float,
    n_players: int,
    budget: int,
    permutations: int | None,
    until: StoppingRule | None,
    pivots: bool,
) -> Estimator:
    """The estimator that the arguments ask for, if it can do as they say."""
    check_semivalue(semivalue, p)
    if estimator not in ESTIMATORS:
        raise ValueError(f"unknown estimator {estimator!r}; known: {', '.join(ESTIMATORS)}")
    if until is not None and (isinstance(until, type) or not isinstance(until, StoppingRule)):
        raise ValueError(f"`until` must be a stopping rule such as TopKCertain(5), got {until!r}")
    if estimator == "auto":
        enumerable = n_players <= MAX_PLAYERS and 2**n_players <= budget and permutations is None and until is None
        few = n_players <= FEW_PLAYERS and budget <= _FEW and until is None
        shapley = "permutation" if pivots or permutations is not None else "gaussian-process" if few else "kernel"
        samplers = {"shapley": shapley, "banzhaf": "banzhaf"}
        estimator = "exact" if enumerable else samplers.get(semivalue, "exact")
    if semivalue not in _OF[estimator]:
        raise ValueError(
            f"estimator {estimator!r} does not estimate semivalue {semivalue!r}; use {_able(semivalue)} or 'auto'"
        )
    if pivots and estimator not in _WITH_PIVOTS:
        raise ValueError(
            f"estimator {estimator!r} gives no pivots of semivalue {semivalue!r}; "
            f"use {_able(semivalue, _WITH_PIVOTS)}, or do without pivots"
        )
    if permutations is not None and estimator != "permutation":
        raise ValueError(f"permutations={permutations} applies to estimator 'permutation', not {estimator!r}")
    if estimator == "exact" and until is not None:
        if semivalue in _BASELINES:
            raise ValueError(f"semivalue {semivalue!r} is always computed exactly; leave `until` out")
        raise ValueError("exact values need all coalitions, so `until` cannot stop earlier; choose another estimator")
    chosen = _make(estimator, semivalue, p, permutations)
    check_budget(chosen, n_players, budget)
    return chosen


def _able(semivalue: str, among: Sequence[str] = tuple(_OF)) -> str:
    return ", ".join(repr(name) for name in among if semivalue in _OF[name])


def _make(estimator: str, semivalue: str, p: float, permutations: int | None) -> Estimator:
    if estimator == "exact":
        return exact_estimator(semivalue, p)
    if estimator == "kernel":
        return KernelSampling()
    if estimator == "gaussian-process":
        return GaussianProcess()
    if estimator == "regression-adjusted":
        return RegressionAdjusted()
    return PermutationSampling(permutations) if estimator == "permutation" else BanzhafSampling(p)
