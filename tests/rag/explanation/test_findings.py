from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from attribution import VotesGame, exact
from rag.explanation.findings import conflicts, pair_interactions

from .test_minimal import TableReader, session_of


def attributed(rule, n, estimate=exact, **settings):
    session = session_of(TableReader(rule), n)
    return estimate(VotesGame(session.answers), n, players=[str(i) for i in range(n)], **settings), session


def capitals(seen):
    """Passages 0 and 2 say Oslo, 1 says Bergen, 3 says Oslo in Norway; Oslo wins."""
    for player, text in ((0, "Oslo"), (2, "Oslo"), (3, "Oslo in Norway"), (1, "Bergen")):
        if player in seen:
            return text
    return ""


def test_passages_that_support_different_answers():
    (first, second) = conflicts(*attributed(capitals, 4))
    assert {frozenset(first.answers), frozenset(second.answers)} == {
        frozenset({"Oslo", "Bergen"}),
        frozenset({"Oslo in Norway", "Bergen"}),
    }, "Oslo and Oslo in Norway go together"
    assert first.answers == ("Oslo", "Bergen"), "the best supported comes first"
    assert first.passages == (("0", "2"), ("1",))


def test_an_answer_that_only_passages_together_give_is_not_supported_by_one():
    rule = lambda seen: "Oslo" if {0, 1} <= seen else "Bergen" if 2 in seen else ""  # noqa: E731
    assert conflicts(*attributed(rule, 3)) == ()


def test_support_that_chance_can_explain_is_none():
    attribution, answers = attributed(capitals, 4)
    bergen = attribution.outputs.index("Bergen")
    value = attribution.of("Bergen")[1]
    for error, expected in ((0.49 * value, 2), (0.51 * value, 0)):
        errors = np.zeros_like(attribution.errors)
        errors[bergen, 1] = error
        assert len(conflicts(replace(attribution, errors=errors), answers)) == expected


def test_support_below_a_twentieth_is_none():
    """Passage 1 alone says Bergen, as do so few other sets that its value is small; 0 says Oslo with most others."""
    rule = lambda seen: "Bergen" if seen == {1} else "Oslo" if 0 in seen else ""  # noqa: E731
    attribution, answers = attributed(rule, 5)
    assert attribution.of("Bergen")[1] == pytest.approx(1 / 5)
    assert len(conflicts(attribution, answers)) == 1
    attribution, answers = attributed(rule, 12)
    values = attribution.values * 0.5  # 1 / 24
    assert conflicts(replace(attribution, values=values), answers) == ()


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_passages_to_differ(n):
    rule = lambda seen: "Oslo" if seen else ""  # noqa: E731
    assert conflicts(*attributed(rule, n)) == ()
    assert pair_interactions(*attributed(rule, n), budget=100).pairs == ()


def needs_both(seen):
    return "yes" if {1, 4} <= seen else "no"


def either_does(seen):
    return "yes" if seen & {1, 4} else "no"


@pytest.mark.parametrize(("rule", "value"), [(needs_both, 1.0), (either_does, -1.0)])
def test_pairs_that_need_or_repeat_one_another(rule, value):
    """Of two players, the interaction is v(both) - v(one) - v(other) + v(none)."""
    found = pair_interactions(*attributed(rule, 6), budget=100)
    assert found.among == ("1", "4")
    assert [pair.passages for pair in found.pairs] == [("1", "4")]
    assert found.pairs[0].value == pytest.approx(value)


def test_as_many_passages_take_part_as_the_budget_lets_play_all_coalitions():
    majority = lambda seen: "yes" if len(seen) > 4 else "no"  # noqa: E731
    attribution, _ = attributed(majority, 9)
    reader = TableReader(majority)
    found = pair_interactions(attribution, session_of(reader, 9), budget=127)
    assert len(found.among) == 6
    assert len(reader.decoded) == 64
    assert all(abs(pair.value) >= 0.1 for pair in found.pairs)


def test_passages_that_alone_never_give_the_answer():
    rule = lambda seen: "yes" if len(seen) == 12 else "no"  # noqa: E731
    attribution, answers = attributed(rule, 12)
    found = pair_interactions(attribution, answers, budget=16)
    assert len(found.among) == 4
    assert found.pairs == ()
