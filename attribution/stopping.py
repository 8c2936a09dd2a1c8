"""When an estimate is certain enough to stop before the budget is spent."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log, sqrt
from operator import index
from statistics import NormalDist
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from attribution.attribution import descending
from attribution.games import Values
from attribution.replicates import balanced_replicates

Scoring = Callable[[Values, Sequence[str], int], Values]
"""Called as scoring(values (n_outputs, n_players), names of the outputs, index of the explained output); returns
(n_players,), by which players are ordered, the highest first. It must not change the arrays."""

_WIDTH = sqrt(3)  # see `TopKCertain`


class Look(NamedTuple):
    """What a stopping rule sees of an estimate.

    Attributes:
        values: (n_outputs, n_players).
        errors: standard errors, same shape.
        deviations: what each group of draws adds to the error, (n_groups, n_outputs, n_players); None where exact.
        unseen: for each output, the value of a player that matters in one sample of as many as were drawn,
            (n_outputs,); zero where exact.
        outputs: names of the outputs.
        output: index of the explained output.
        number: of this look; 0 for the first.
    """

    values: Values
    errors: Values
    deviations: Values | None
    unseen: Values
    outputs: Sequence[str]
    output: int
    number: int


@runtime_checkable
class StoppingRule(Protocol):
    """Decides whether an estimate is certain enough."""

    @property
    def goal(self) -> str:
        """What holds once the rule is satisfied, as a clause."""
        ...

    def excess(self, look: Look) -> float:
        """The ratio of the uncertainty to what the rule allows; the rule is satisfied at 1 or less."""
        ...


def explained_values(values: Values, outputs: Sequence[str], output: int) -> Values:
    """The values of the explained output, (n_players,)."""
    row: Values = values[output]
    return row


@dataclass(frozen=True)
class TopKCertain:
    """The k players of highest score cannot change any more, at a stated confidence.

    Every one of the first k must lie above every other player by more than chance: the difference of their scores, plus
    `margin`, must exceed z standard errors of it. z is that of a normal distribution, with the error probability shared
    among all k (n - k) comparisons (Bonferroni) and among all looks (1/2 for the first, 1/6 for the second, 1/12, 1/20
    and so on), so that looking often costs no confidence.

    Scores are any function of the values, so their errors come from replicates of the values (balanced repeated
    replication, McCarthy 1969): values + and - a draw from their sampling error. The mean change of a difference is its
    bias, which is taken off, and the spread of the changes is its standard error. Scores such as a sum of positive
    parts have a kink: max(v, 0) is estimated too high where v is 0, by 0.4 standard errors of v. Replicates add their
    error to that of the estimate, so that they show too little of it: 0.4 (sqrt(1 + w^2) - 1) standard errors if they
    are w times as wide. With w = sqrt(3) it is the whole; changes are divided by w for the standard error.

    A player may also have shown nothing yet because it seldom matters. If adding it changes the worth of a fraction p
    of all coalitions, then a fraction p / 2 of them surprises: those with it, or those without. In m samples none does
    with probability exp(-p m / 2) at most, which is the error probability at p = 2 log(1 / (1 - confidence)) / m (the
    rule of three: Hanley and Lippman-Hand 1983). A difference must also exceed what a value of p, in one output or in
    one that has not been seen yet, can change in a score; the two uncertainties are combined as independent. Nothing is
    shared among looks here, because a later look can miss such a player only if an earlier one did; nor among players,
    because the first surprise widens all errors.

    Attributes:
        k: number of players.
        confidence: probability that the first k are right.
        margin: scores no further apart count as tied: it does not matter which of them is in.
        scores: what orders the players, a `Scoring`; by default the values of the explained output.
    """

    k: int
    confidence: float = 0.95
    margin: float = 0.01
    scores: Scoring = explained_values

    def __post_init__(self) -> None:
        """Raise ValueError for a k below 1, a confidence outside (0, 1), a negative margin or uncallable scores."""
        if index(self.k) < 1:
            raise ValueError(f"k must be 1 or more, got {self.k}")
        if not 0 < self.confidence < 1:
            raise ValueError(f"confidence must lie between 0 and 1, both excluded, got {self.confidence}")
        if not self.margin >= 0:
            raise ValueError(f"margin must be 0 or more, got {self.margin}")
        if not callable(self.scores):
            raise ValueError(f"scores must be a function of values, outputs and output, got {self.scores!r}")

    @property
    def goal(self) -> str:
        """The clause, with confidence and margin."""
        first = "first is" if self.k == 1 else f"first {self.k} are"
        ties = f" (values within {self.margin:g} count as tied)" if self.margin else ""
        return f"the {first} certain at {100 * self.confidence:g}%{ties}"

    def excess(self, look: Look) -> float:
        """At most 1 if the first k are certain; always so for k players or fewer.

        Raises:
            ValueError: if `scores` returns anything but a finite number for each player.
        """
        scores = self._score(look, look.values)
        order = descending(scores)
        first, others = order[: self.k, None], order[self.k :]
        if not others.size:
            return 0.0
        gaps = scores[first] - scores[others] + self.margin + 1e-12 * float(np.abs(scores).max())
        if look.deviations is None:
            return _ratio(np.zeros_like(gaps), gaps)
        chance = (1 - self.confidence) / ((look.number + 1) * (look.number + 2) * gaps.size)
        z = -NormalDist().inv_cdf(chance)
        draws = _WIDTH * balanced_replicates(look.deviations)
        changes = np.stack([self._score(look, look.values + draw) for draw in (*draws, *-draws)]) - scores
        bias = changes.mean(axis=0)
        covariance = (changes - bias).T @ (changes - bias) / len(changes) / _WIDTH**2
        variance = covariance.diagonal()
        spread = np.sqrt(np.maximum(variance[first] + variance[others] - 2 * covariance[first, others], 0.0))
        unseen = self._unseen(look)
        uncertain = np.hypot(z * spread, np.maximum(unseen[first], unseen[others]))
        return _ratio(uncertain, gaps - np.maximum(bias[first] - bias[others], 0.0))

    def _unseen(self, look: Look) -> Values:
        """How far each player's score moves at most with what may be unseen in one output, (n_players,)."""
        amounts = -2 * log(1 - self.confidence) * np.append(look.unseen, look.unseen.max())
        look = look._replace(outputs=(*look.outputs, "an output not seen yet"))
        values = np.pad(look.values, ((0, 1), (0, 0)))
        scores = self._score(look, values)
        most = np.zeros_like(scores)
        for row, amount in enumerate(amounts):
            for moved in (values[row] + amount, values[row] - amount):
                trial = values.copy()
                trial[row] = moved
                most = np.maximum(most, np.abs(self._score(look, trial) - scores))
        return most

    def _score(self, look: Look, values: Values) -> Values:
        scores = np.asarray(self.scores(values, look.outputs, look.output), dtype=np.float64)
        if scores.shape != values.shape[1:] or not np.isfinite(scores).all():
            raise ValueError(f"scores must return {values.shape[1]} finite numbers, one per player, got {scores!r}")
        return scores


@dataclass(frozen=True)
class TargetError:
    """The standard error of every value of the explained output is at most `error`."""

    error: float

    def __post_init__(self) -> None:
        """Raise ValueError for an error that is not above zero."""
        if not self.error > 0:
            raise ValueError(f"the target error must be above 0, got {self.error}")

    @property
    def goal(self) -> str:
        """The clause, with the error."""
        return f"no standard error is above {self.error:g}"

    def excess(self, look: Look) -> float:
        """At most 1 if all errors, together with what is unseen, are small enough."""
        errors = np.hypot(look.errors[look.output], look.unseen[look.output])
        return _ratio(errors, np.full_like(errors, self.error))


def _ratio(uncertain: Values, room: Values) -> float:
    """The largest quotient; 0 / 0 counts as 0, and no room as infinite."""
    with np.errstate(divide="ignore"):
        quotient = np.divide(uncertain, np.maximum(room, 0.0), out=np.zeros_like(room), where=uncertain > 0)
    return float(quotient.max(initial=0.0))
