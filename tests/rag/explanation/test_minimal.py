from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from attribution.games import all_coalitions
from rag.explanation.minimal import minimal_sets
from rag.readers.base import EncodedQuestion
from rag.session import Session
from retrievers import Passage


class TableReader:
    """Answers by a rule from the set of visible passages; counts what it decodes."""

    name = "table"

    def __init__(self, rule):
        self.rule = rule
        self.decoded: list[frozenset[int]] = []

    def encode(self, question, passages):
        return EncodedQuestion(question, tuple(passages), (0,) * len(passages), 0, None)

    def generate(self, encoded, coalitions):
        sets = [frozenset(np.flatnonzero(row).tolist()) for row in coalitions]
        self.decoded += sets
        return [self.rule(members) for members in sets]


def session_of(reader, n) -> Session:
    return Session(reader, "which?", [Passage(str(i), "text") for i in range(n)])


def find(rule, n, limit=10_000, order=None):
    reader = TableReader(rule)
    sets = minimal_sets(session_of(reader, n), order or list(range(n)), limit)
    assert len(set(reader.decoded)) == len(reader.decoded), "nothing is decoded twice"
    return *sets, reader


def members(found) -> frozenset[int]:
    return frozenset(int(name) for name in found.passages)


def random_rule(n, seed, answers=("a", "b", "")):
    rng = np.random.default_rng(seed)
    table = {}
    for size in range(n + 1):
        for chosen in combinations(range(n), size):
            table[frozenset(chosen)] = str(rng.choice(answers))
    return table.__getitem__


def smallest_by_brute_force(rule, n):
    everything = frozenset(range(n))
    full = rule(everything)
    sets = [frozenset(chosen) for size in range(n + 1) for chosen in combinations(range(n), size)]
    enough = next(chosen for chosen in sets if rule(chosen) == full)
    needed = next((chosen for chosen in sets if rule(everything - chosen) != full), None)
    return len(enough), None if needed is None else len(needed)


@pytest.mark.parametrize("seed", range(20))
def test_the_smallest_sets_are_those_of_brute_force(seed):
    n = 6
    # Few votes for "a" beside the full set make the sets large.
    rule = random_rule(n, seed, ("a", *"bcdefgh"[: seed % 8 + 1]))
    enough, needed, _ = find(rule, n)
    expected = smallest_by_brute_force(rule, n)
    assert (len(enough.passages), needed and len(needed.passages)) == expected
    full = rule(frozenset(range(n)))
    assert enough.answer == rule(members(enough)) == full
    assert enough.proof == "smallest"
    if needed is not None:
        assert needed.answer == rule(frozenset(range(n)) - members(needed)) != full
        assert needed.proof == "smallest"


def threshold(least):
    """Enough are so many of the passages 0 to 4, or 8 and 9."""
    return lambda seen: "yes" if len(seen & set(range(5))) >= least or {8, 9} <= seen else ""


@pytest.mark.parametrize("limit", [12, 40, 80, 200, 2000])
def test_what_is_claimed_of_a_set_is_true_whatever_was_allowed(limit):
    n, rule = 14, threshold(4)
    enough, needed, reader = find(rule, n, limit)
    assert len(reader.decoded) <= 2 * limit + 1
    for found, does in (
        (enough, lambda chosen: rule(chosen) == "yes"),
        (needed, lambda chosen: rule(frozenset(range(n)) - chosen) != "yes"),
    ):
        if found is None:
            assert limit < 40
            continue
        chosen = members(found)
        assert does(chosen)
        if found.proof != "none":
            assert not any(does(chosen - {i}) for i in chosen)
    if limit >= 200:
        assert (members(enough), enough.proof) == ({8, 9}, "smallest")
        assert len(needed.passages) == 3  # two of 0 to 4, and 8 or 9
    assert limit < 2000 or needed.proof == "smallest"


def test_a_larger_set_is_only_irreducible_where_smaller_ones_are_too_many_to_try():
    rule = lambda seen: "yes" if {0, 1, 2, 3} <= seen or {27, 28, 29} <= seen else "no"  # noqa: E731
    enough, _, _ = find(rule, 30, limit=600)
    assert members(enough) == {0, 1, 2, 3}
    assert enough.proof == "irreducible"
    enough, _, _ = find(rule, 30, limit=6000)
    assert (members(enough), enough.proof) == ({27, 28, 29}, "smallest")


def test_of_equally_small_sets_the_one_of_highest_value_is_taken():
    rule = lambda seen: "yes" if seen & {2, 5} else ""  # noqa: E731
    enough, needed, _ = find(rule, 6, order=[5, 2, 0, 1, 3, 4])
    assert enough.passages == ("5",)
    assert needed.passages == ("5", "2")


def test_an_answer_that_needs_no_passage():
    enough, needed, _ = find(lambda seen: "always", 5)
    assert (enough.passages, enough.proof) == ((), "smallest")
    assert needed is None


def test_no_passages():
    enough, needed, _ = find(lambda seen: "", 0)
    assert (enough.passages, enough.answer, enough.proof) == ((), "", "smallest")
    assert needed is None


def test_answers_are_compared_after_normalisation():
    rule = lambda seen: "The Tower" if len(seen) == 3 else "tower!" if seen else "no"  # noqa: E731
    enough, needed, _ = find(rule, 3)
    assert len(enough.passages) == 1
    assert len(needed.passages) == 3


def test_what_is_known_already_is_free():
    session = session_of(TableReader(lambda seen: "yes" if {0, 1} <= seen else "no"), 12)
    session.answers(all_coalitions(12))
    enough, needed = minimal_sets(session, list(range(12)), 1)
    assert (enough.passages, enough.proof) == (("0", "1"), "smallest")
    assert (needed.passages, needed.proof) == (("0",), "smallest")
    assert session.decodes == 4096


@pytest.mark.parametrize("limit", range(6, 20))
def test_with_few_decodes_the_first_passages_that_do_are_still_found(limit):
    rule = lambda seen: "yes" if {0, 1} <= seen else "no"  # noqa: E731
    enough, needed, reader = find(rule, 20, limit)
    assert (enough.passages, needed.passages) == (("0", "1"), ("0",))
    assert "none" not in (enough.proof, needed.proof)
    assert len(reader.decoded) <= 2 * limit + 1
