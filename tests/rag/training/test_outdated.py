"""Out-of-date doubles look like their passage, say that they are old, and never hold the answer."""

from __future__ import annotations

import re

import numpy as np
import pytest

from rag.questions import AnswerPlace, Question, QuestionSet, holds_answer
from rag.training.outdated import add_outdated
from rag.training.sampling import ExampleSampler
from retrievers import Passage

TEXTS = [
    ("The ferry is called Norröna and sails from Hirtshals. Norröna is large.", "Norröna"),
    ("The harbour was built by Robert Stevenson in granite.", "Robert Stevenson"),
    ("The tower was designed by Thomas Smith for the crown.", "Thomas Smith"),
    ("The bridge was opened in 1995 by the queen.", "1995"),
    ("The runway is 2,200 metres long.", "2,200 metres"),
    ("People throw fish at each other for fun.", "throw fish at each other"),
]


@pytest.fixture
def few() -> QuestionSet:
    passages = [Passage(f"p{i}", text, "Title") for i, (text, _) in enumerate(TEXTS)]
    questions = []
    for i, (_, answer) in enumerate(TEXTS):
        start = passages[i].full_text.index(answer)
        place = AnswerPlace(i, start, start + len(answer))
        questions.append(Question(f"q{i}", "What?", (answer,), f"a{i}", (i,), (i,), place))
    questions.append(Question("none", "What?", ("nobody",), "b"))
    return QuestionSet(passages, questions)


@pytest.mark.parametrize("seed", range(5))
def test_doubles(few, seed):
    data, places = add_outdated(few, seed)
    assert data.passages[:6] == few.passages
    assert data.questions == few.questions
    assert places[5:] == [None, None], "neither a name nor a number, and no answer at all"
    for index, place in enumerate(places[1:5], start=1):
        double = data.passages[place]
        assert double.title == "Title"
        assert not holds_answer(double.full_text, [TEXTS[index][1]])
        assert re.search(r"\b(19[2-9]\d|20[01]\d)\b", double.text), "it names the year that it was true in"
        rest = TEXTS[index][0].split(TEXTS[index][1])[0]
        assert rest in double.text


def test_years_go_back_and_numbers_keep_their_shape(few):
    for seed in range(20):
        data, places = add_outdated(few, seed)
        year = int(re.search(r"opened in (\d+)", data.passages[places[3]].text)[1])
        assert 1955 <= year < 1995
        assert re.search(r"runway is \d,\d{3} metres", data.passages[places[4]].text)


def test_a_name_is_exchanged_for_another_of_as_many_words(few):
    data, places = add_outdated(few, 1)
    assert re.search(r"built by (\w+ \w+) in granite", data.passages[places[1]].text)[1] == "Thomas Smith"
    assert places[0] is None, "no other name of one word"


def test_the_sampler_shows_doubles_only_beside_the_answer(data, negatives):
    more, doubles = add_outdated(data, 0)
    assert all(place is not None for place in doubles), "years"
    sampler = ExampleSampler(more, negatives, 0, doubles)
    shown = 0
    for step in range(40):
        for example in sampler.draw(step, [1, 6, 11], 2, 4, outdated=0.5):
            own = [column for column, passage in enumerate(example.passages) if passage == doubles[example.question]]
            assert all(p < len(data.passages) or p == doubles[example.question] for p in example.passages)
            assert example.passages[example.holder] == data.questions[example.question].place.passage
            shown += len(own)
            for column in own:
                assert example.coalitions[0, column]
                assert not (example.coalitions[:, column] & ~example.coalitions[:, example.holder]).any()
    assert 40 < shown < 80


def test_without_doubles_nothing_changes(data, negatives):
    more, doubles = add_outdated(data, 0)
    plain, other = ExampleSampler(data, negatives, 0), ExampleSampler(more, negatives, 0, doubles)
    for one, two in zip(plain.draw(3, [0, 5, 7], 2, 3), other.draw(3, [0, 5, 7], 2, 3), strict=True):
        assert one.passages == two.passages
        assert np.array_equal(one.coalitions, two.coalitions)
