"""How likely "no answer" is, and from where it is given: fitted to held-out questions after training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from rag.questions import QuestionSet
from rag.readers.embedded.model import CopyReaderConfig
from rag.readers.embedded.no_answer import NoAnswerCalibration
from rag.readers.embedded.reader import EmbeddedReader
from rag.scores import logit
from rag.training.sampling import Example

FALSE_DECLINES = 0.04  # most of the coalitions that hold the answer may be declined
_PULL = 1e-3  # towards the identity; it decides where the data do not, as when they can be separated


class Readings(NamedTuple):
    """What a reader makes of coalitions of held-out passages, one entry for each that is not empty."""

    log_p: NDArray[np.float64]  # of stopping at once
    n_passages: NDArray[np.int64]
    held: NDArray[np.bool_]  # whether the passage with the answer is in


def read(reader: EmbeddedReader, data: QuestionSet, examples: Sequence[Example]) -> Readings:
    """Let a reader read the examples' coalitions, without the empty ones, which no retriever ever gives it."""
    log_p, sizes, held = [np.zeros(0)], [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=bool)]
    for example in examples:
        passages = [data.passages[index] for index in example.passages]
        encoded = reader.encode(data.questions[example.question].text, passages)
        rows = example.coalitions[example.coalitions.any(axis=1)]
        log_p.append(reader.score(encoded, rows, [""])[:, 0])
        sizes.append(encoded.state.map.spread(rows).sum(axis=1))  # a long passage counts as its blocks
        held.append(rows[:, example.holder])
    return Readings(np.concatenate(log_p), np.concatenate(sizes), np.concatenate(held))


def fit(readings: Readings) -> NoAnswerCalibration:
    """The calibration under which what is known of the coalitions is likeliest (logistic regression).

    The coalitions with and without the answer count alike at each number of passages, so that the calibrated
    probability supposes that the passages hold the answer to half of the questions, however many passages there are.
    A number of passages at which only one kind occurs is left out. Without any coalition, it is the identity.
    """
    weight = _balance(readings)
    x = torch.from_numpy(logit(readings.log_p))
    passages = torch.from_numpy(np.log(readings.n_passages))
    target, weights = torch.from_numpy(~readings.held).double(), torch.from_numpy(weight / max(1.0, weight.sum()))
    # The slope is positive, since a likelier stop can only speak for "no answer".
    free = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([free], max_iter=200, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        scores = free[0].exp() * x + free[1] + free[2] * passages
        errors = torch.nn.functional.binary_cross_entropy_with_logits(scores, target, weights, reduction="sum")
        total = errors + _PULL * free.square().sum()
        total.backward()
        return total

    optimizer.step(loss)
    log_slope, intercept, log_passages = free.tolist()
    return NoAnswerCalibration(round(float(np.exp(log_slope)), 4), round(intercept, 4), round(log_passages, 4))


def lowest_threshold(probabilities: NDArray[np.float64]) -> float:
    """The lowest threshold at which few of the coalitions that hold the answer are declined.

    It stands halfway between the last probability that must not be declined and the next higher one, so that rounding
    does not decide. It is not the threshold with the most right answers: a wrong answer and none count alike there, so
    that a reader that is often wrong would best decline most of the time.

    Args:
        probabilities: calibrated probabilities of "no answer" of coalitions that hold the answer, `(n,)`, at least one.
    """
    ranked = np.sort(probabilities)[::-1]
    kept = ranked[int(FALSE_DECLINES * len(ranked))]
    return float((kept + np.min(ranked[ranked > kept], initial=1.0)) / 2)


def calibrate(reader: EmbeddedReader, data: QuestionSet, examples: Sequence[Example]) -> CopyReaderConfig:
    """The reader's configuration with what concerns "no answer" fitted to held-out examples, if there are any."""
    readings, config = read(reader, data, examples), reader.model.config
    if not readings.held.any():
        return config
    fitted = fit(readings)
    probabilities = fitted.probability(readings.log_p, readings.n_passages)
    return replace(
        config,
        no_answer_threshold=lowest_threshold(probabilities[readings.held]),
        no_answer_slope=fitted.slope,
        no_answer_intercept=fitted.intercept,
        no_answer_log_passages=fitted.log_passages,
    )


def _balance(readings: Readings) -> NDArray[np.float64]:
    """Weights `(n,)` with the same sum for both kinds of coalitions at each number of passages."""
    weights = np.zeros(len(readings.held))
    for size in np.unique(readings.n_passages):
        at = readings.n_passages == size
        kinds = [at & readings.held, at & ~readings.held]
        if all(kind.any() for kind in kinds):
            for kind in kinds:
                weights[kind] = at.sum() / (2 * kind.sum())
    return weights
