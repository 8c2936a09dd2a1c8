import pytest

from attribution import normalize_answer


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
