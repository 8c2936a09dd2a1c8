"""The calibrated probability of "no answer", and the threshold from which it is given."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rag.scores import logit


@dataclass(frozen=True)
class NoAnswerCalibration:
    """P = sigmoid(slope · logit(p) + intercept + log_passages · log(max(n, 1))).

    `p` is the probability that the decoder stops at once, and `n` is the number of passages in the coalition. This is
    Platt's scaling (1999) with one more term: the decoder stops at once the less often, the more passages it reads.
    The default is the identity.
    """

    slope: float = 1.0
    intercept: float = 0.0
    log_passages: float = 0.0

    def probability(self, log_p: NDArray[np.float64], n_passages: ArrayLike) -> NDArray[np.float64]:
        """Calibrated probabilities, in the shape of `log_p` (natural logarithms of `p`) and `n_passages`."""
        return 0.5 + 0.5 * np.tanh((self.slope * logit(log_p) + self._shift(n_passages)) / 2)

    def raw_threshold(self, threshold: float, n_passages: ArrayLike) -> NDArray[np.float64]:
        """The `p` at which the calibrated probability reaches `threshold`, per number of passages.

        It is infinite where the threshold is 1 or out of reach.
        """
        if threshold == 1:
            return np.full(np.shape(n_passages), np.inf)
        reached = (np.log(threshold) - np.log1p(-threshold) - self._shift(n_passages)) / self.slope
        return np.where(reached > logit(np.array(0.0)), np.inf, 0.5 + 0.5 * np.tanh(reached / 2))

    def _shift(self, n_passages: ArrayLike) -> NDArray[np.float64]:
        return self.intercept + self.log_passages * np.log(np.maximum(n_passages, 1))
