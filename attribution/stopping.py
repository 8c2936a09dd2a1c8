"""When an estimate is certain enough to stop before the budget is spent."""

from dataclasses import dataclass
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

    def reached(self, values: Values, errors: Values, look: int) -> bool:
        """Whether to stop; `values` and `errors` are (n_players,), `look` counts the looks at the data from 0."""
        ...


@dataclass(frozen=True)
class TopKCertain:
    """The k players of highest value cannot change any more, at a stated confidence.

    Every one of the first k must lie above every other player by more than chance: their difference, plus `margin`,
    must exceed z standard errors of it (errors of two players are taken as independent). z is that of a normal
    distribution, with the error probability shared among all k (n - k) comparisons (Bonferroni) and among all looks
    (half for the first, a quarter for the second, and so on), so that looking often costs no confidence.

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

    def reached(self, values: Values, errors: Values, look: int) -> bool:
        """Whether the first k are certain; always so for k players or fewer."""
        order = descending(values)
        first, others = order[: self.k], order[self.k :]
        if not len(others):
            return True
        chance = (1 - self.confidence) / 2 ** (look + 1) / (len(first) * len(others))
        z = NormalDist().inv_cdf(1 - chance)
        gaps = values[first][:, None] - values[others]
        spread = np.hypot(errors[first][:, None], errors[others])
        rounding = 1e-12 * float(np.abs(values).max())
        return bool((gaps + self.margin + rounding >= z * spread).all())


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

    def reached(self, values: Values, errors: Values, look: int) -> bool:
        """Whether all errors are small enough."""
        return bool((errors <= self.error).all())
