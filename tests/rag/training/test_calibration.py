"""The fit of "no answer", on readings that were made to known rules."""

from __future__ import annotations

import numpy as np
import pytest

from rag.readers.embedded.no_answer import NoAnswerCalibration
from rag.training.calibration import FALSE_DECLINES, Readings, fit, lowest_threshold


def readings(lacking: int, holding: int) -> Readings:
    """Coalitions at each number of passages, some of which lack the answer.

    The logit of stopping at once is normal, with standard deviation 2 and mean -log(n) where the answer is held, and 2
    more where it is not. Where both kinds are as many, the log odds of the second are 0.5 · logit - 0.5 + 0.5 · log(n)
    (linear discriminant analysis).
    """
    rng = np.random.default_rng(0)
    sizes = np.repeat([1, 2, 5, 10, 20], lacking + holding)
    held = np.tile(np.arange(lacking + holding) >= lacking, 5)
    x = rng.normal(-np.log(sizes) + 2 * ~held, 2)
    return Readings(-np.log1p(np.exp(-x)), sizes, held)


@pytest.mark.parametrize(("lacking", "holding"), [(6000, 6000), (1500, 9000), (9000, 1500)])
def test_the_fit_finds_the_rule_that_made_the_readings(lacking, holding):
    """However many coalitions of either kind there are, the rule is the one for equally many."""
    found = fit(readings(lacking, holding))
    assert found.slope == pytest.approx(0.5, abs=0.03)
    assert found.intercept == pytest.approx(-0.5, abs=0.06)
    assert found.log_passages == pytest.approx(0.5, abs=0.03)


def test_one_passage_is_as_well_calibrated_as_twenty():
    """At each number of passages, about as many coalitions lack the answer as the mean probability says."""
    made = readings(4000, 4000)
    probabilities = fit(made).probability(made.log_p, made.n_passages)
    for size in (1, 2, 5, 10, 20):
        for low, high in ((0, 0.5), (0.5, 1)):
            some = (made.n_passages == size) & (probabilities >= low) & (probabilities < high)
            assert probabilities[some].mean() == pytest.approx(np.mean(~made.held[some]), abs=0.03)


def test_readings_that_can_be_separated_give_a_finite_fit():
    held = np.tile([True, False], 50)
    made = Readings(np.where(held, -9.0, -1e-9), np.ones(100, dtype=int), held)
    found = fit(made)
    assert 1 < found.slope < 100
    assert np.all((found.probability(made.log_p, 1) > 0.9) == ~held)


def test_a_stop_that_speaks_against_no_answer_gets_a_slope_near_zero():
    held = np.tile([True, False], 50)
    found = fit(Readings(np.where(held, -0.1, -3.0), np.ones(100, dtype=int), held))
    assert 0 < found.slope < 0.2


def test_without_both_kinds_nothing_is_fitted():
    only = Readings(np.full(4, -1.0), np.array([1, 2, 2, 3]), np.array([True, True, True, False]))
    assert fit(only) == NoAnswerCalibration()


@pytest.mark.parametrize("n", [1, 24, 25, 49, 50, 1000])
def test_the_lowest_threshold_declines_as_many_as_it_may(n):
    probabilities = np.random.default_rng(n).random(n)
    threshold = lowest_threshold(probabilities)
    most = int(FALSE_DECLINES * n)
    assert np.sum(probabilities >= threshold) == most
    assert np.sum(probabilities >= np.sort(probabilities)[::-1][most]) > most


def test_equal_probabilities_are_not_split_by_the_threshold():
    probabilities = np.repeat([0.2, 0.9], [60, 40])
    assert 0.9 < lowest_threshold(probabilities) <= 1
    assert lowest_threshold(np.ones(50)) == 1
