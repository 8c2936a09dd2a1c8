"""Owen values against plain enumeration of nested orders, Shapley values, another library and known results."""

from itertools import chain, permutations, product

import numpy as np
import pytest

from attribution import Group, VotesGame, exact, exact_owen, owen


def group(*parts):
    """Nested groups from nested tuples of names."""
    return Group("", tuple(group(*part) if isinstance(part, tuple) else Group(part) for part in parts))


TREES = {
    "two unions": group(("a", "b"), ("c", "d", "e")),
    "unions and single players": group("a", ("b", "c"), "d", ("e", "f")),
    "three levels": group("a", (("b", "c"), "d"), (("e", "f"), "g")),
    "a union of one": group(("a",), ("b", ("c",))),
}


def nested_orders(tree, first=0):
    """All orders of a tree's players that keep every group together, in plain loops."""
    if not tree.parts:
        return [[first]]
    within = []
    for part in tree.parts:
        within.append(nested_orders(part, first))
        first += part.n_players
    return [list(chain(*chosen)) for order in permutations(within) for chosen in product(*order)]


def by_enumeration(game, tree):
    n, orders = tree.n_players, nested_orders(tree)
    values = np.zeros(n)
    for order in orders:
        row = np.zeros((1, n), dtype=bool)
        before = np.ravel(game(row))[0]
        for player in order:
            row[0, player] = True
            after = np.ravel(game(row))[0]
            values[player] += (after - before) / len(orders)
            before = after
    return values


def players(result):
    return result.values[0, [not node.parts for node in result.tree.walk()]]


@pytest.mark.parametrize("name", TREES)
def test_the_closed_form_is_the_mean_over_all_nested_orders(table, name):
    tree = TREES[name]
    game = table(tree.n_players, seed=3)
    np.testing.assert_allclose(players(exact_owen(game, tree)), by_enumeration(game, tree), atol=1e-12)


@pytest.mark.parametrize("name", TREES)
def test_estimates_are_within_their_errors(table, name):
    tree = TREES[name]
    game = table(tree.n_players, seed=4)
    truth, result = exact_owen(game, tree), owen(game, tree, permutations=4096, shared=4)
    assert 0 < result.errors.max() < 0.1
    np.testing.assert_array_less(np.abs(result.values - truth.values), 4 * result.errors + 1e-9)


def test_errors_are_calibrated(table):
    """Over 200 seeds z-scores spread by one, although orders of a draw share what is inside the groups.

    With 31 degrees of freedom the spread of a t variable is 1.03; 200 of them give it to about 0.05.
    """
    tree = TREES["three levels"]
    game = table(tree.n_players, seed=5)
    truth = exact_owen(game, tree).values[0, 1:]
    results = [owen(game, tree, permutations=256, shared=4, seed=seed) for seed in range(200)]
    z = np.array([(result.values[0, 1:] - truth) / result.errors[0, 1:] for result in results])
    np.testing.assert_allclose(z.std(axis=0), 1.03, atol=0.2)
    np.testing.assert_allclose(z.mean(axis=0), 0.0, atol=4 / np.sqrt(200))


@pytest.mark.parametrize("estimate", [exact_owen, owen])
def test_a_groups_value_is_the_sum_of_its_parts(table, estimate):
    tree = TREES["three levels"]
    result = estimate(table(tree.n_players, n_outputs=2, seed=6), tree)
    value = {id(node): column for node, column in zip(tree.walk(), result.values.T, strict=True)}
    for node in tree.walk():
        if node.parts:
            np.testing.assert_allclose(value[id(node)], sum(value[id(part)] for part in node.parts), atol=1e-12)
    np.testing.assert_allclose(result.values[:, 0], result.full - result.empty, atol=1e-12)


def test_the_tree_of_one_level_gives_shapley_values(table):
    game, flat = table(6, seed=7), group(*"abcdef")
    shapley = exact(game, 6).values[0]
    np.testing.assert_allclose(players(exact_owen(game, flat)), shapley, atol=1e-12)
    estimate = owen(game, flat, permutations=8192, shared=1)
    np.testing.assert_array_less(np.abs(players(estimate) - shapley), 4 * estimate.errors[0, 1:])


def test_an_unopened_group_has_the_value_that_it_has_opened(table):
    """A group's value does not depend on how it is divided (the quotient game property)."""
    game = table(5, seed=8)
    opened = exact_owen(game, group(("a", "b"), ("c", "d", "e"))).values[0]
    closed = exact_owen(lambda rows: game(np.repeat(rows, [2, 1, 1, 1], axis=1)), group("ab", ("c", "d", "e"))).values
    assert opened[1] == pytest.approx(closed[0, 1], abs=1e-12)


def test_two_of_three_who_agree_beforehand_share_the_majority(voting):
    """Owen (1977): in simple majority of three, the union of two takes all."""
    game = voting(2, [1, 1, 1])
    np.testing.assert_allclose(players(exact_owen(game, group(("a", "b"), "c"))), [0.5, 0.5, 0.0])


def test_agreement_with_the_partition_explainer_of_shap(table):
    """Values that shap 0.51, which recurses from the root, gave for this game and tree (importing it takes long)."""
    tree = group((("a", "b"), "c"), (("d", "e"), "f"))
    found = [0.37925909, -0.11869734, 0.97307281, 0.82508121, 0.41614491, 0.71483859]
    np.testing.assert_allclose(players(exact_owen(table(6, seed=9), tree)), found, atol=1e-8)


def test_only_the_walks_own_coalitions_are_evaluated(counting):
    """An unopened group is one step; an opened one as many as it has players; never the same coalition twice."""
    tree = group("a", "b", ("c", "d", "e"), "f")
    game = counting(lambda rows: rows.sum(axis=1))
    result = owen(game, tree, permutations=4, shared=1)
    assert len(set(game.evaluated)) == len(game.evaluated) == result.evaluations <= 2 + 4 * (tree.n_players - 1)
    for row in game.evaluated:
        inside = np.frombuffer(row, dtype=bool)
        assert inside.shape == (6,)


def test_orders_that_share_the_inside_cost_few_states_of_it():
    """Eight pairs of outer orders a draw, yet one order of the words and its reverse."""
    tree = group("a", "b", "c", ("d", "e", "f", "g", "h", "i"))
    evaluated = []
    game = lambda rows: evaluated.append(rows) or rows.sum(axis=1)  # noqa: E731
    owen(game, tree, permutations=32, shared=8)
    states = {tuple(row[3:]) for row in np.concatenate(evaluated)}
    assert len(states) <= 2 + 2 * 2 * 5  # empty, full, and 5 between them for each of 2 draws and their reverses
    assert len({tuple(row) for row in np.concatenate(evaluated)}) > 2 * len(states)


def test_answers_that_appear_late_count_as_zero_before():
    tree = TREES["three levels"]
    answer = lambda row: f"size {row.sum()}" if row[0] else "first"  # noqa: E731
    votes = VotesGame(lambda rows: [answer(row) for row in rows], normalize=str)
    result = owen(votes, tree, permutations=64, shared=2, batch_size=3)
    assert result.outputs[result.output] == "size 7"
    for output, name in enumerate(result.outputs):
        plain = lambda rows, name=name: np.array([answer(row) == name for row in rows], float)  # noqa: E731
        np.testing.assert_allclose(
            result.values[output], owen(plain, tree, permutations=64, shared=2).values[0], atol=1e-12
        )


@pytest.mark.parametrize(("n", "shared"), [(0, 1), (2, 1), (6, 2), (8, 4), (30, 4)])
def test_wrong_numbers_of_permutations_are_refused(n, shared):
    with pytest.raises(ValueError, match="multiple of 2 x shared"):
        owen(lambda rows: rows.sum(axis=1), TREES["two unions"], permutations=n, shared=shared)


def test_a_single_player_and_too_many_for_exact():
    alone = owen(lambda rows: 3.0 * rows[:, 0], Group("a"))
    assert alone.values.tolist() == [[3.0]]
    assert exact_owen(lambda rows: 3.0 * rows[:, 0], Group("a")).values.tolist() == [[3.0]]
    with pytest.raises(ValueError, match="more than 65536 coalitions"):
        exact_owen(lambda rows: rows.sum(axis=1), group(*map(str, range(18))))


def test_pairs_that_share_no_order_are_refused_by_name():
    with pytest.raises(ValueError, match="`shared` must be 1 pair of orders or more, got 0"):
        owen(lambda c: c.sum(axis=1), Group("all", (Group("a"), Group("b"))), shared=0)
