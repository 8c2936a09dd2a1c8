"""Mean and standard error of samples that arrive in blocks."""

import numpy as np

from attribution.games import Values
from attribution.replicates import N_GROUPS


class Moments:
    """Running mean and sum of squared deviations, merged block by block (Chan, Golub and LeVeque 1983).

    Stable where a running sum of squares is not: samples that are all equal have an error of zero.
    """

    def __init__(self, n_players: int, grouped: bool = False) -> None:
        """Start with no sample and no output; `grouped` also sums every 128th sample, for `deviations`."""
        self.count = 0
        self.mean: Values = np.zeros((0, n_players))
        self._squares: Values = np.zeros((0, n_players))
        self._sums: Values | None = np.zeros((N_GROUPS, 0, n_players)) if grouped else None

    def add(self, samples: Values) -> None:
        """Add (n_samples, n_outputs, n_players); outputs not seen before were zero in all earlier samples."""
        if len(samples) == 0:
            return
        grow = ((0, samples.shape[1] - len(self.mean)), (0, 0))
        mean, squares = np.pad(self.mean, grow), np.pad(self._squares, grow)
        total = self.count + len(samples)
        block_mean = samples.mean(axis=0)
        shift = block_mean - mean
        self.mean = mean + shift * (len(samples) / total)
        within = ((samples - block_mean) ** 2).sum(axis=0)
        self._squares = squares + within + shift**2 * (self.count * len(samples) / total)
        if self._sums is not None:
            rounds = np.pad(samples, ((0, -len(samples) % N_GROUPS), (0, 0), (0, 0)))
            sums = rounds.reshape(len(rounds) // N_GROUPS, N_GROUPS, *samples.shape[1:]).sum(axis=0)
            self._sums = np.pad(self._sums, ((0, 0), *grow)) + np.roll(sums, self.count, axis=0)
        self.count = total

    def standard_error(self) -> Values:
        """Standard error of the mean, (n_outputs, n_players); raises ValueError below two samples."""
        if self.count < 2:
            raise ValueError(f"a standard error needs at least 2 samples, the budget admitted {self.count}")
        result: Values = np.sqrt(self._squares / (self.count - 1) / self.count)
        return result

    def deviations(self) -> Values | None:
        """What each group adds to the error of the mean, (128, n_outputs, n_players); None if not grouped."""
        if self._sums is None:
            return None
        counts = (self.count + N_GROUPS - 1 - np.arange(N_GROUPS)) // N_GROUPS
        result: Values = (self._sums - counts[:, None, None] * self.mean) / (self.count * (self.count - 1)) ** 0.5
        return result
