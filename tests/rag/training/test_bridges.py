"""Composed questions hide a name behind a description, and need the passage that resolves it."""

from __future__ import annotations

import numpy as np
import pytest

from rag.questions import AnswerPlace, Question, QuestionSet
from rag.training.bridges import add_bridges, describe
from rag.training.sampling import ExampleSampler
from retrievers import Passage

FACTS = [
    ("The Grand Départ of 2010 was hosted by Rotterdam.", "Which city hosted the Grand Départ?", "Rotterdam"),
    ("Rotterdam has a mayor, Ahmed Aboutaleb.", "Who is the mayor of Rotterdam?", "Ahmed Aboutaleb"),
    ("New Rotterdam is a village of Jan Smit.", "Who owns New Rotterdam?", "Jan Smit"),
    ("Utrecht lies to the north.", "Where is Utrecht?", "north"),
]


@pytest.fixture
def facts() -> QuestionSet:
    passages, questions = [], []
    for index, (text, question, answer) in enumerate(FACTS):
        passages.append(Passage(f"p{index}", text, "Title"))
        start = passages[index].full_text.index(answer)
        place = AnswerPlace(index, start, start + len(answer))
        questions.append(Question(f"q{index}", question, (answer,), f"a{index}", (index,), (index,), place))
    passages += [Passage(f"n{i}", f"Nothing of note, number {i}.") for i in range(6)]
    passages.append(Passage("leak", "Ahmed Aboutaleb speaks."))
    return QuestionSet(passages, questions)


@pytest.mark.parametrize(
    ("question", "described"),
    [
        ("Who is the mayor of Rotterdam?", "the mayor of Rotterdam"),
        ("Who wrote Hamlet?", "the person who wrote Hamlet"),
        ("Which city hosted the Games?", "the city that hosted the Games"),
        ("In what borough is One Trade Center located?", "the borough in which One Trade Center is located"),
        ("Where was Mozart born?", "the place where Mozart was born"),
        ("How many people live there?", None),
    ],
)
def test_describe(question, described):
    assert describe(question) == described


def test_only_the_fitting_pair_is_composed(facts):
    data, pools, composed = add_bridges(facts, range(4), [[4, 5], [6, 10, 0], [], []], seed=0)
    assert data.passages == facts.passages
    assert data.questions[:4] == facts.questions
    assert composed == [4], "Rotterdam within New Rotterdam is another place"
    bridge = data.questions[4]
    assert bridge.text == "Who is the mayor of the city that hosted the Grand Départ?"
    assert bridge.answers == ("Ahmed Aboutaleb",)
    assert bridge.gold == (1, 0), "the passage with the answer first"
    assert pools[4] == [6, 4, 5], "both parts' negatives, without the gold passages and without the answer"


def test_questions_that_may_not_be_used_are_not_composed(facts):
    assert add_bridges(facts, [1, 2, 3], [[]] * 4, seed=0)[2] == []


def test_both_passages_are_shown_wherever_the_answer_is_asked_for(facts):
    data, pools, composed = add_bridges(facts, range(4), [[4, 5], [6, 7], [], []], seed=0)
    sampler = ExampleSampler(data, pools, seed=0, bridges=composed)
    seen = set()
    for step in range(50):
        (example,) = sampler.draw(step, [3], 3, 5, bridges=0.5)
        seen.add(example.question)
        if example.question == 4:
            first_hop = example.passages.index(0)
            asked = example.coalitions[:, example.holder]
            assert example.passages[example.holder] == 1
            assert example.coalitions[asked, first_hop].all()
            assert np.any(~asked)
    assert seen == {3, 4}
