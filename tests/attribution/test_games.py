import numpy as np
import pytest

from attribution import CachedGame, LikelihoodGame, VotesGame, exact

ALL_THREE = np.array([[bool(m >> i & 1) for i in range(3)] for m in range(8)])


def test_votes_are_one_hot_and_tell_answers_apart_after_normalisation():
    game = VotesGame(lambda coalitions: ["The Cat", "cat!", "dog", ""][: len(coalitions)])
    votes = game(np.zeros((4, 2), dtype=bool))
    np.testing.assert_array_equal(votes, [[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    assert game.outputs == ("The Cat", "dog", "")


def test_answers_of_which_nothing_is_left_are_one_answer_without_text():
    game = VotesGame(lambda coalitions: ["...", "", " "])
    np.testing.assert_array_equal(game(np.zeros((3, 1), dtype=bool)), [[1], [1], [1]])
    assert game.outputs == ("",)


def test_outputs_of_a_votes_game_grow_and_keep_their_places():
    answers = [["x", "y"], ["z", "x"]]
    game = VotesGame(lambda coalitions: answers.pop(0))
    np.testing.assert_array_equal(game(np.zeros((2, 1), dtype=bool)), [[1, 0], [0, 1]])
    np.testing.assert_array_equal(game(np.zeros((2, 1), dtype=bool)), [[0, 0, 1], [1, 0, 0]])


def test_no_coalitions_have_no_values():
    assert VotesGame(lambda coalitions: [])(np.zeros((0, 3), dtype=bool)).shape == (0, 0)
    assert CachedGame(lambda c: c.sum(axis=1), 3)(np.zeros((0, 3), dtype=bool)).shape == (0, 0)


def test_votes_game_takes_another_normalisation():
    game = VotesGame(lambda coalitions: ["Cat", "cat"], normalize=str)
    assert game(np.zeros((2, 1), dtype=bool)).shape == (2, 2)


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (["one"], "must return 2 answers, not 1"),
        ("ab", "a single string"),
        (["one", None], "strings, got NoneType"),
    ],
)
def test_votes_game_refuses_what_are_not_answers(answers, message):
    with pytest.raises(ValueError, match=message):
        VotesGame(lambda coalitions: answers)(np.zeros((2, 3), dtype=bool))


def test_likelihood_game_scores_the_answers_given():
    seen = []

    def score(coalitions, answers):
        seen.append(answers)
        return -1.0 - coalitions @ np.ones((3, 2))

    game = LikelihoodGame(score, ["yes", "no"])
    assert game(ALL_THREE).shape == (8, 2)
    assert tuple(seen[0]) == game.outputs == ("yes", "no")


def test_likelihood_game_names_the_answer_and_the_coalition_of_a_bad_number():
    def score(coalitions, answers):
        values = np.zeros((len(coalitions), 2))
        values[5, 1] = -np.inf
        return values

    with pytest.raises(ValueError, match=r"-inf.*'no'.*players \[0, 2\] out of 3"):
        LikelihoodGame(score, ["yes", "no"])(ALL_THREE)


def test_likelihood_game_says_both_shapes():
    with pytest.raises(ValueError, match=r"shape \(8,\), expected \(8, 2\)"):
        LikelihoodGame(lambda c, a: np.zeros(8), ["yes", "no"])(ALL_THREE)


@pytest.mark.parametrize("answers", [[], "yes", ["yes", "yes"]])
def test_likelihood_game_refuses_no_and_repeated_answers(answers):
    with pytest.raises(ValueError, match="different strings"):
        LikelihoodGame(lambda c, a: np.zeros((len(c), len(a))), answers)


def test_cache_gives_the_games_own_values_and_never_asks_twice(counting, table):
    plain = table(9, n_outputs=2)
    counted = counting(plain)
    cached = CachedGame(counted, 9, batch_size=50)
    rng = np.random.default_rng(0)
    for _ in range(5):
        coalitions = rng.random((300, 9)) < 0.5
        np.testing.assert_array_equal(cached(coalitions), plain(coalitions))
    assert len(set(counted.evaluated)) == len(counted.evaluated) == cached.evaluations <= 2**9
    assert max(counted.batches) == 50


def test_cache_tells_wide_coalitions_apart_that_differ_in_one_player():
    n = 100
    one_out = ~np.eye(n, dtype=bool)
    cached = CachedGame(lambda coalitions: coalitions @ np.arange(n), n)
    np.testing.assert_array_equal(cached(one_out)[:, 0], np.arange(n).sum() - np.arange(n))
    assert cached.evaluations == n


def test_cache_pads_outputs_that_appear_later_with_zero():
    game = VotesGame(lambda coalitions: [f"size {row.sum()}" for row in coalitions])
    cached = CachedGame(game, 3)
    first, last = ALL_THREE[:1], ALL_THREE[-1:]
    assert cached(first).tolist() == [[1.0]]
    assert cached(last).tolist() == [[0.0, 1.0]]
    assert cached(first).tolist() == [[1.0, 0.0]]
    assert cached.outputs == ("size 0", "size 3")
    assert cached.utility == "votes"


def test_cache_pads_within_one_call_cut_into_batches():
    game = CachedGame(VotesGame(lambda coalitions: [str(row) for row in coalitions]), 3, batch_size=3)
    votes = game(ALL_THREE)
    assert votes.sum(axis=1).tolist() == [1.0] * 8
    assert [game.outputs[column] for column in votes.argmax(axis=1)] == [str(row) for row in ALL_THREE]


def test_new_coalitions_are_evaluated_in_falling_lexicographic_order_whatever_the_order_given():
    seen = []

    def size(coalitions):
        seen.extend(coalitions.tolist())
        return coalitions.sum(axis=1)

    given = np.random.default_rng(0).permutation(ALL_THREE)
    np.testing.assert_array_equal(CachedGame(size, 3, batch_size=3)(given)[:, 0], given.sum(axis=1))
    assert seen == sorted(ALL_THREE.tolist(), reverse=True)


def test_cache_keeps_what_it_evaluated_before_a_failure(counting):
    calls = []

    def fails_on_third_batch(coalitions):
        calls.append(len(coalitions))
        if len(calls) == 3:
            raise RuntimeError("reader fell over")
        return coalitions.sum(axis=1)

    counted = counting(fails_on_third_batch)
    cached = CachedGame(counted, 3, batch_size=3)
    with pytest.raises(RuntimeError):
        cached(ALL_THREE)
    assert cached.evaluations == 6
    np.testing.assert_array_equal(cached(ALL_THREE)[:, 0], ALL_THREE.sum(axis=1))
    assert counted.batches == [3, 3, 2, 2]


def test_cache_never_exceeds_its_budget(counting):
    counted = counting(lambda coalitions: coalitions.sum(axis=1))
    cached = CachedGame(counted, 3, budget=5)
    cached(ALL_THREE[:4])
    cached(ALL_THREE[:4])
    with pytest.raises(ValueError, match="2 new coalitions exceed the budget: 4 of 5"):
        cached(ALL_THREE[2:6])
    assert len(counted.evaluated) == cached.evaluations == 4
    assert cached(ALL_THREE[4:5]).shape == (1, 1)


def test_admissible_counts_leading_groups_that_fit_together():
    cached = CachedGame(lambda coalitions: coalitions.sum(axis=1), 3, budget=5)
    cached(ALL_THREE[:2])
    groups = ALL_THREE[[[0, 1], [2, 3], [3, 4], [5, 6], [0, 1]]]
    assert cached.admissible(groups) == 3
    assert cached.evaluations == 2
    cached(groups[:3].reshape(-1, 3))
    assert cached.evaluations == cached.budget == 5


def test_progress_is_reported_after_each_batch():
    reports = []
    game = CachedGame(
        lambda c: c.sum(axis=1), 3, batch_size=3, budget=100, progress=lambda *report: reports.append(report)
    )
    game(ALL_THREE)
    assert reports == [(3, 8), (6, 8), (8, 8)]


@pytest.mark.parametrize("shape", [(8, 2, 1), (7,), (7, 2), (8, 0), ()])
def test_cache_says_both_shapes_when_the_game_returns_a_wrong_one(shape):
    cached = CachedGame(lambda coalitions: np.zeros(shape), 3)
    with pytest.raises(ValueError) as error:
        cached(ALL_THREE)
    assert str(shape) in str(error.value)
    assert "(8, 3)" in str(error.value)


def test_cache_refuses_fewer_outputs_than_before():
    widths = [3, 2]
    cached = CachedGame(lambda coalitions: np.zeros((len(coalitions), widths.pop(0))), 3, batch_size=4)
    with pytest.raises(ValueError, match="at least 3"):
        cached(ALL_THREE)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_cache_names_the_coalition_of_a_non_finite_value(bad):
    cached = CachedGame(lambda c: np.where(c[:, 1] & ~c[:, 0] & ~c[:, 2], bad, 0.0), 3)
    with pytest.raises(ValueError, match=r"players \[1\] out of 3.*finite"):
        cached(ALL_THREE)


@pytest.mark.parametrize("coalitions", [ALL_THREE[:, :2], ALL_THREE * 1, ALL_THREE[0], np.array(True)])
def test_cache_refuses_wrong_coalitions(coalitions):
    with pytest.raises(ValueError, match=r"coalitions must be bool \(n_coalitions, 3\)"):
        CachedGame(lambda c: c.sum(axis=1), 3)(coalitions)


@pytest.mark.parametrize("wrong", [{"n_players": -1}, {"batch_size": 0}, {"budget": 0}])
def test_cache_refuses_impossible_counts(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
        CachedGame(**{"game": lambda c: c.sum(axis=1), "n_players": 3, **wrong})


def test_cache_refuses_a_game_that_names_too_few_outputs():
    class Game:
        outputs = ("only one",)

        def __call__(self, coalitions):
            return np.zeros((len(coalitions), 2))

    with pytest.raises(ValueError, match="names 1 outputs, but returned 2"):
        exact(Game(), 3)


def test_a_game_may_change_the_coalitions_that_it_is_given():
    weights = np.array([1.0, 2.0, 4.0])

    def inverting(coalitions):
        worth = coalitions @ weights
        np.logical_not(coalitions, out=coalitions)
        return worth

    np.testing.assert_array_equal(CachedGame(inverting, 3)(ALL_THREE), (ALL_THREE @ weights)[:, None])
    np.testing.assert_array_equal(exact(inverting, 3).values[0], weights)
