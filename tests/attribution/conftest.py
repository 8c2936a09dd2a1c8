"""Toy games whose values are known, and a game that records what it evaluates."""

import numpy as np
import pytest


class CountingGame:
    """Records every coalition that it evaluates, and the size of every batch."""

    def __init__(self, game):
        self.game = game
        self.evaluated = []
        self.batches = []

    def __call__(self, coalitions):
        self.evaluated += [row.tobytes() for row in coalitions]
        self.batches.append(len(coalitions))
        return self.game(coalitions)


def weighted_voting(quota, weights):
    """1 for the coalitions whose weights reach the quota."""
    return lambda coalitions: (coalitions @ np.asarray(weights) >= quota).astype(float)


def table_game(n_players, n_outputs=1, seed=0):
    """An arbitrary game: every coalition has its own random worth."""
    table = np.random.default_rng(seed).normal(size=(2**n_players, n_outputs))
    return lambda coalitions: table[coalitions @ (1 << np.arange(n_players))]


def reader(coalitions):
    """A made-up reader of four passages: what it answers from each coalition."""

    def answer(a, b, c, d):
        if a and b:
            return "The Eiffel Tower"
        if a:
            return "eiffel tower!"
        if b and c:
            return "Louvre"
        return "the" if d else "Paris"

    return [answer(*row) for row in coalitions]


@pytest.fixture
def counting():
    return CountingGame


@pytest.fixture
def voting():
    return weighted_voting


@pytest.fixture
def table():
    return table_game


@pytest.fixture
def reads():
    return reader


@pytest.fixture
def slow_semivalue():
    """Values and pivots of one output by the definition: (n_players,) each, in plain loops."""
    from itertools import combinations, permutations

    def shapley(game, n):
        values, pivots, orders = np.zeros(n), np.zeros(n), list(permutations(range(n)))
        for order in orders:
            row = np.zeros((1, n), dtype=bool)
            before = np.asarray(game(row)).ravel()[0]
            for player in order:
                row[0, player] = True
                after = np.asarray(game(row)).ravel()[0]
                values[player] += (after - before) / len(orders)
                pivots[player] += max(0.0, after - before) / len(orders)
                before = after
        return values, pivots

    def banzhaf(game, n, p):
        values, pivots = np.zeros(n), np.zeros(n)
        for player in range(n):
            others = [i for i in range(n) if i != player]
            for size in range(n):
                for members in combinations(others, size):
                    row = np.zeros((2, n), dtype=bool)
                    row[:, list(members)] = True
                    row[1, player] = True
                    without, with_ = np.asarray(game(row)).ravel()
                    weight = p**size * (1 - p) ** (n - 1 - size)
                    values[player] += weight * (with_ - without)
                    pivots[player] += weight * max(0.0, with_ - without)
        return values, pivots

    return lambda game, n, p=None: shapley(game, n) if p is None else banzhaf(game, n, p)
