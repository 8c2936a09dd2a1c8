"""Tests and intervals against enumeration, scipy and closed forms."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from eval.statistics import bootstrap_intervals, holm, randomisation_test


def enumerated(differences: list[float]) -> float:
    """Share of all sign patterns, zeros' signs included, whose sum is at least as far from zero."""
    observed = abs(sum(differences))
    sums = [
        abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(differences))
    ]
    return sum(total >= observed - 1e-12 for total in sums) / len(sums)


@pytest.mark.parametrize(
    "differences", [[1, 1, 1, 0, -1, 1, 1], [0.1, 0.2, 0.3, -0.4, 0.7], [0, 0], [1, -1], [0.3] * 9, []]
)
def test_small_samples_are_exact(differences):
    assert randomisation_test(np.array(differences, dtype=float)) == pytest.approx(enumerated(differences))


def test_drawn_signs_come_close_to_all_signs():
    differences = np.random.default_rng(3).normal(0.35, 1, 15)
    exact = randomisation_test(differences, draws=2**15)
    assert exact == pytest.approx(enumerated(differences.tolist()))
    drawn = randomisation_test(differences, draws=20_000)
    assert drawn != exact
    assert abs(drawn - exact) < 4 * np.sqrt(exact * (1 - exact) / 20_000)


def test_agrees_with_scipy_on_many_questions():
    stats = pytest.importorskip("scipy.stats")
    scores = np.random.default_rng(0).integers(0, 2, size=(2, 300)).astype(float)
    scores[0, :40] = 1
    theirs = stats.permutation_test(
        scores, lambda a, b, axis: (a - b).mean(axis), permutation_type="samples", n_resamples=4_999, rng=1
    )
    assert randomisation_test(scores[0] - scores[1], draws=20_000) == pytest.approx(theirs.pvalue, abs=0.015)


def test_a_clear_difference_has_the_smallest_p_that_the_draws_allow():
    assert randomisation_test(np.ones(200), draws=10_000) == pytest.approx(1 / 10_001)


def test_no_difference_is_rejected_as_often_as_the_level_says():
    rng = np.random.default_rng(5)
    p_values = np.array([randomisation_test(rng.normal(size=12), draws=5000) for _ in range(400)])
    assert abs((p_values <= 0.1).mean() - 0.1) < 4 * np.sqrt(0.1 * 0.9 / 400)


def test_holm_by_hand():
    # 0.01 * 4, 0.015 * 3 = 0.045, 0.03 * 2, then no less than the one before.
    assert holm([0.03, 0.01, 0.05, 0.015]) == pytest.approx([0.06, 0.04, 0.06, 0.045])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_intervals_have_the_width_of_the_normal_approximation():
    scores = np.random.default_rng(1).binomial(1, [0.5, 0.2], size=(800, 2)).astype(float)
    low, high = bootstrap_intervals(scores)
    error = 1.96 * scores.std(axis=0) / np.sqrt(800)
    assert low == pytest.approx(scores.mean(axis=0) - error, abs=0.004)
    assert high == pytest.approx(scores.mean(axis=0) + error, abs=0.004)


def test_intervals_of_a_constant_are_a_point_and_columns_share_their_resamples():
    scores = np.column_stack([np.ones(30), np.arange(30.0), np.arange(30.0) + 1])
    low, high = bootstrap_intervals(scores, draws=500)
    assert low[0] == high[0] == pytest.approx(1)
    assert low[2] - low[1] == pytest.approx(1)
    assert np.array_equal(bootstrap_intervals(scores, draws=500), np.array([low, high]))
