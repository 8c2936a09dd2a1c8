import numpy as np
import pytest

from attribution import exact, explain


def test_by_hand():
    """A left glove needs one of two right ones: leaving a right one out loses nothing, none is worth a thing alone."""
    gloves = lambda c: np.minimum(c[:, 0], c[:, 1:].any(axis=1)).astype(float)  # noqa: E731
    out = explain(gloves, 3, semivalue="leave-one-out")
    first = explain(gloves, 3, semivalue="first-in")
    assert out.values[0].tolist() == [1.0, 0.0, 0.0]
    assert first.values[0].tolist() == [0.0, 0.0, 0.0]
    assert (out.semivalue, out.estimator, out.samples) == ("leave-one-out", "exact", None)


@pytest.mark.parametrize("semivalue", ["leave-one-out", "first-in"])
@pytest.mark.parametrize("n", [0, 1, 2, 9, 40])
def test_few_evaluations_and_the_definition(counting, semivalue, n):
    weights = np.random.default_rng(n).normal(size=n)
    game = counting(lambda c: np.sin(c @ weights)[:, None] * [1.0, 2.0])
    result = explain(game, n, semivalue=semivalue)
    assert result.evaluations == len(game.evaluated) == min(2**n, n + 2)
    for i in range(n):
        rows = np.zeros((2, n), dtype=bool) if semivalue == "first-in" else np.ones((2, n), dtype=bool)
        rows[0, i], rows[1, i] = True, False
        with_, without = game.game(rows)
        np.testing.assert_allclose(result.values[:, i], with_ - without, atol=1e-12)
    np.testing.assert_allclose(result.pivots, np.maximum(result.values, 0))
    assert not result.errors.any()


def test_they_are_always_exact(table):
    game = table(6)
    assert (
        exact(game, 6, semivalue="first-in").values.tolist() == explain(game, 6, semivalue="first-in").values.tolist()
    )
    with pytest.raises(ValueError, match="'permutation' does not estimate semivalue 'first-in'; use 'exact' or 'auto'"):
        explain(game, 6, semivalue="first-in", estimator="permutation")
    with pytest.raises(ValueError, match="applies to semivalue='banzhaf' only"):
        explain(game, 6, semivalue="leave-one-out", p=0.3)
    with pytest.raises(ValueError, match="needs a budget of at least 8 evaluations for 6 players, got 7"):
        explain(game, 6, semivalue="leave-one-out", budget=7)
