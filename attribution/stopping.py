"""When an estimate is certain enough to stop before the budget is spent."""

from dataclasses import dataclass
from math import log
from statistics import NormalDist
from typing import Protocol

import numpy as np

from attribution.attribution import descending
from attribution.games import Values


class StoppingRule(Protocol):
    """Decides on the values of the explained output."""

    @property
    def goal(self) -> str:
        """What holds once it is reached, as a clause."""
        ...

    def excess(self, values: Values, errors: Values, unseen: float, look: int) -> float:
        """How many times what is uncertain exceeds what may be; at most 1 to stop.

        Args:
            values: (n_players,).
            errors: their standard errors, (n_players,).
            unseen: what a player is worth that matters in one of as many samples as there were.
            look: number of looks at the data before this one.
        """
        ...


@dataclass(frozen=True)
class TopKCertain:
    """The k players of highest value cannot change any more, at a stated confidence.

    Every one of the first k must lie above every other player by more than chance: their difference, plus `margin`,
    must exceed z standard errors of it (errors of two players are taken as independent). z is that of a normal
    distribution, with the error probability shared among all k (n - k) comparisons (Bonferroni) and among all looks
    (1/2 for the first, 1/6 for the second, 1/12, 1/20 and so on), so that looking often costs no confidence.

    A player may also have shown nothing yet because it matters seldom. If adding it changes the worth of a part p of
    all coalitions, then a part p / 2 of them surprises: those with it, or those without. In m samples none does with
    probability exp(-p m / 2) at most, which is the error probability at p = 2 log(1 / (1 - confidence)) / m (the rule
    of three: Hanley and Lippman-Hand 1983); a difference must exceed that much of the spread of the worths too, the
    two taken together as independent. A later look can miss such a player only if an earlier one did, so nothing is
    shared among looks here, and the first surprise widens all errors, so nothing among players.

    Attributes:
        k: number of players.
        confidence: probability that the first k are right.
        margin: values no further apart count as tied: it does not matter which of them is in.
    """

    k: int
    confidence: float = 0.95
    margin: float = 0.01

    def __post_init__(self) -> None:
        """Raise ValueError for a k below 1, a confidence that is none, or a negative margin."""
        if self.k < 1:
            raise ValueError(f"k must be 1 or more, got {self.k}")
        if not 0 < self.confidence < 1:
            raise ValueError(f"confidence must lie between 0 and 1, both excluded, got {self.confidence}")
        if self.margin < 0:
            raise ValueError(f"margin must be 0 or more, got {self.margin}")

    @property
    def goal(self) -> str:
        """The clause, with confidence and margin."""
        first = "first is" if self.k == 1 else f"first {self.k} are"
        ties = f" (values within {self.margin:g} count as tied)" if self.margin else ""
        return f"the {first} certain at {100 * self.confidence:g}%{ties}"

    def excess(self, values: Values, errors: Values, unseen: float, look: int) -> float:
        """At most 1 if the first k are certain; always so for k players or fewer."""
        order = descending(values)
        first, others = order[: self.k], order[self.k :]
        if not len(others):
            return 0.0
        chance = (1 - self.confidence) / ((look + 1) * (look + 2) * len(first) * len(others))
        z = -NormalDist().inv_cdf(chance)
        gaps = values[first][:, None] - values[others]
        spread = np.hypot(errors[first][:, None], errors[others])
        rounding = 1e-12 * float(np.abs(values).max())
        return _ratio(np.hypot(z * spread, -2 * log(1 - self.confidence) * unseen), gaps + self.margin + rounding)


@dataclass(frozen=True)
class TargetError:
    """Every value's standard error is at most `error`."""

    error: float

    def __post_init__(self) -> None:
        """Raise ValueError for an error that is not above zero."""
        if not self.error > 0:
            raise ValueError(f"the target error must be above 0, got {self.error}")

    @property
    def goal(self) -> str:
        """The clause, with the error."""
        return f"no standard error is above {self.error:g}"

    def excess(self, values: Values, errors: Values, unseen: float, look: int) -> float:
        """At most 1 if all errors, with what is unseen, are small enough."""
        return _ratio(np.hypot(errors, unseen), np.full_like(errors, self.error))


def _ratio(uncertain: Values, room: Values) -> float:
    """The largest quotient; 0 / 0 counts as 0."""
    with np.errstate(divide="ignore"):
        return float(np.divide(uncertain, room, out=np.zeros_like(room), where=uncertain > 0).max(initial=0.0))
