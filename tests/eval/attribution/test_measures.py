"""Each measure against a slow computation written from its definition."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import rankdata

from eval.attribution.agreement import kendall, spearman, stability
from eval.attribution.evidence import evidence, pair_evidence
from eval.attribution.faithfulness import area, curve_measures, curves, datamodelling_score, drop_and_hold, prefixes


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def worth(rng, n: int):
    """A game without any structure, as a table."""
    table = -5 * rng.random(2**n)
    return lambda rows: table[rows @ (1 << np.arange(n))][:, None]


def test_curves_remove_and_add_one_passage_after_another(rng):
    game, scores = worth(rng, 5), np.array([0.1, 0.9, 0.1, -0.2, 0.5])
    found = curves(game, scores)
    order = [1, 4, 0, 2, 3]
    for k in range(6):
        removed = np.array([[passage not in order[:k] for passage in range(5)]])
        assert found.deletion[k] == game(removed)[0, 0]
        assert found.insertion[k] == game(~removed)[0, 0]
    assert found.deletion[0] == found.insertion[5]


def test_prefixes_of_an_order():
    assert prefixes([2, 0, 1]).astype(int).tolist() == [[0, 0, 0], [0, 0, 1], [1, 0, 1], [1, 1, 1]]


def test_area_by_trapezoids():
    assert area(np.array([1.0, 0.5, 0.0])) == pytest.approx(0.5)
    assert area(np.array([1.0, 0.0, 0.0, 0.0])) == pytest.approx(1 / 6)
    assert area(np.full(9, 0.3)) == pytest.approx(0.3)


def test_drops_holds_and_areas_are_of_the_right_curves(rng):
    scores = rng.random(4)
    game = worth(rng, 4)
    along, votes = curves(game, scores), curves(worth(rng, 4), scores)
    found = curve_measures(along, votes) | drop_and_hold(game, scores)
    assert found["drop@1"] == along.deletion[0] - along.deletion[1]
    assert found["drop@3"] == along.deletion[0] - along.deletion[3]
    assert found["drop@5"] == along.deletion[0] - along.deletion[4], "of four passages only four can go"
    assert found["hold@1"] == along.insertion[1] - along.insertion[4]
    assert found["hold@5"] == 0, "all four are there"
    assert found["deletion"] == pytest.approx(area(np.exp(along.deletion)))
    assert found["insertion:votes"] == pytest.approx(area(votes.insertion))


def test_datamodelling_score_correlates_ranks_of_sums(rng):
    scores, rows, log_probability = rng.normal(size=6), rng.random((40, 6)) < 0.5, -rng.random(40)
    sums = [sum(score for score, seen in zip(scores, row, strict=True) if seen) for row in rows]
    expected = np.corrcoef(rankdata(sums), rankdata(log_probability))[0, 1]
    assert datamodelling_score(scores, rows, log_probability) == pytest.approx(expected)


def test_correlations_by_their_definitions(rng):
    one, other = rng.integers(0, 4, 9).astype(float), rng.integers(0, 4, 9).astype(float)
    assert spearman(one, other) == pytest.approx(np.corrcoef(rankdata(one), rankdata(other))[0, 1])
    signs = [(np.sign(one[i] - one[j]), np.sign(other[i] - other[j])) for i, j in combinations(range(9), 2)]
    agree, untied = sum(a * b for a, b in signs), [sum(s[side] != 0 for s in signs) for side in (0, 1)]
    assert kendall(one, other) == pytest.approx(agree / math.sqrt(untied[0] * untied[1]))


@pytest.mark.parametrize("measure", [spearman, kendall])
def test_constants_and_rounding(measure):
    rising = np.array([1.0, 2.0, 3.0])
    assert measure(np.ones(3), rising) == 0
    assert math.isnan(measure(rising, np.ones(3)))
    tied = np.array([0.1 + 0.2, 0.3, 1.0])
    assert measure(tied, np.array([1.0, 1.0, 2.0])) == pytest.approx(1)


def test_stability_is_a_mean_over_pairs_of_runs():
    runs = [np.array(r, dtype=float) for r in ([6, 5, 4, 3, 2, 1], [6, 5, 4, 3, 1, 2], [1, 2, 3, 4, 5, 6])]
    found = stability(runs)
    assert found["stability"] == pytest.approx(np.mean([1 - 6 * 2 / 210, -1, -1 + 6 * 2 / 210]))
    assert found["overlap@5"] == pytest.approx(np.mean([4 / 5, 4 / 5, 4 / 5]))
    assert stability([np.zeros(3), np.zeros(3)]) == {"stability": 1, "overlap@5": 1}
    assert stability([np.zeros(3), np.arange(3.0)])["stability"] == 0


def test_evidence_by_hand():
    found = evidence(np.array([0.1, 0.9, 0.4, 0.2]), ["a", "b", "c", "d"], {"b", "d"})
    assert found["AP"] == pytest.approx((1 + 2 / 3) / 2)
    assert found["Rprec"] == 0.5
    # Ranks 1 and 3 of the relevant b and d; the ideal has 1 and 2 (Järvelin and Kekäläinen 2002).
    assert found["nDCG@10"] == pytest.approx((1 + 1 / math.log2(4)) / (1 + 1 / math.log2(3)))
    assert evidence(np.array([1.0, 0.0]), ["a", "b"], {"a", "elsewhere"})["AP"] == pytest.approx(0.5)


def test_pairs_by_hand():
    scores = np.zeros((4, 4))
    for worth, (one, other) in zip([3, 5, 1, 4, 2, 6], combinations(range(4), 2), strict=True):
        scores[one, other] = scores[other, one] = worth
    # Falling: cd, ac, bc, ab, bd, ad; relevant are ab, ac, bc.
    assert pair_evidence(scores, list("abcd"), set("abc"))["pairs.AP"] == pytest.approx((1 / 2 + 2 / 3 + 3 / 4) / 3)
    # Sums: ab 5, ac 4, ad 7, bc 1, bd 4, cd 3.
    assert pair_evidence(np.array([4.0, 1, 0, 3]), list("abcd"), {"a", "c"})["pairs.AP"] == pytest.approx(1 / 3)
    assert pair_evidence(scores, list("abcd"), {"a"}) == {}
