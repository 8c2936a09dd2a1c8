import pytest

from attribution import VotesGame, normalize_answer
from attribution.normalize import answer_key


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("The Eiffel Tower", "eiffel tower"),
        ("  a\tU.S.  state\n", "us state"),
        ("an apple, a day; the doctor", "apple day doctor"),
        ("Theatre and an Anthem", "theatre and anthem"),  # articles only as whole words
        ("rock-'n'-roll", "rocknroll"),
        ("the.cat", "thecat"),  # punctuation goes first, so no article is left standing
        ("«Zürich»", "«zürich»"),  # other punctuation of English stays, as in SQuAD
        ("Zu\u0308rich", "zürich"),
        ("Hel\u00adsin\u200bki", "helsinki"),
        ("ﬁve oﬃces", "five offices"),
        ("\uff11\uff12\uff13 \uff2b\uff4d\uff01", "123 km"),
        ("「東京」。", "東京"),
        ("राम।", "राम"),
        ("The", ""),
        ("?!", ""),
        ("", ""),
    ],
)
def test_squad_normalisation(raw, expected):
    assert normalize_answer(raw) == expected


def test_normal_form_stays_as_it_is():
    once = normalize_answer("A  tale of Two Cities.")
    assert normalize_answer(once) == once == "tale of two cities"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("The Eiffel Tower.", "eiffel tower", True),
        ("U.S.", "US", True),
        ("12,000", "12000", True),
        ("1990-1995", "1990–1995", False),
        ("3.5 metres", "35 metres", False),
        ("3.5 metres.", "3.5 Metres", True),
        ("-5 °C", "5 °C", False),
        ("\u22125 °C", "-5 °C", True),
        ("C++", "C#", False),
        ("A+", "A", False),
        ("A", "", False),
        ("A.", "a", True),
        ("The The", "an", False),
        ("?!", "", True),
    ],
)
def test_which_answers_are_the_same(one, other, same):
    assert (answer_key(one) == answer_key(other)) is same
    votes = VotesGame(lambda rows: [one, other])([[True], [False]])
    assert votes.shape == (2, 1 if same else 2)


def test_an_article_is_an_answer():
    game = VotesGame(lambda rows: ["A" if row[0] else "" for row in rows])
    assert game([[True, True], [False, True]]).tolist() == [[1, 0], [0, 1]]
    assert game.outputs == ("A", "")
