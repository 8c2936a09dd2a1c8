from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rag.questions import QuestionSet, mine_negatives
from rag.training.sampling import ExampleSampler
from retrievers import BM25Retriever


@pytest.fixture
def sampler(data, negatives):
    return ExampleSampler(data, negatives, seed=0)


def test_negatives_are_never_gold_and_never_hold_the_answer(data, negatives):
    assert all(negatives)
    for question, pool in zip(data.questions, negatives, strict=True):
        (answer,) = question.answers
        holders = {i for i, passage in enumerate(data.passages) if answer in passage.full_text}
        assert question.place.passage in holders
        assert set(pool) == set(range(12)) - holders
    assert sum(map(len, negatives)) == 12 * 11 - 9, "three towers of each town stand in another's passage too"


def test_the_gold_passage_is_no_negative_even_if_its_answer_normalises_to_nothing(data):
    questions = [replace(question, answers=("…",)) for question in data.questions]
    mined = mine_negatives(BM25Retriever(data.passages), data.passages, questions)
    assert all(sorted([*q.gold, *pool]) == list(range(12)) for q, pool in zip(questions, mined, strict=True))
    bare = ExampleSampler(QuestionSet(data.passages, questions), [[]] * 12, seed=0)
    (example,) = bare.draw(0, [4], 11, 1)
    assert sorted(example.passages) == list(range(12))


def test_fillers_are_never_gold_and_never_hold_the_answer(data):
    """Questions without any hard negative are filled up with random passages; the same rules hold for these."""
    bare = ExampleSampler(data, [[]] * 12, seed=0)
    for step, index in enumerate(list(range(12)) * 3):
        (example,) = bare.draw(step, [index], 3, 1)
        (answer,) = data.questions[index].answers
        assert len(set(example.passages)) == 4
        assert example.passages[example.holder] == data.questions[index].place.passage
        others = [data.passages[p].full_text for c, p in enumerate(example.passages) if c != example.holder]
        assert not any(answer in text for text in others)
    with pytest.raises(ValueError, match="too few passages without its answer: 11 of 12"):
        bare.draw(0, [3], 12, 1)


def test_all_gold_passages_are_shown_and_every_example_has_equally_many(data, negatives):
    questions = list(data.questions)
    others = negatives[0][:2]
    questions[0] = replace(questions[0], gold=(*questions[0].gold, *others))
    sampler = ExampleSampler(QuestionSet(data.passages, questions), negatives, seed=0)
    for step in range(20):
        first, second = sampler.draw(step, [0, 5], 3, 3)
        assert len(first.passages) == len(second.passages) == 4
        assert set(questions[0].gold) <= set(first.passages)
        assert first.passages[first.holder] == questions[0].place.passage
    (alone,) = sampler.draw(0, [0], 0, 1)
    assert alone.passages == (questions[0].place.passage,)


def test_coalitions_alternate_with_and_without_the_answer(sampler):
    sizes = set()
    for step in range(60):
        for example in sampler.draw(step, [1, 6, 11], 3, 5):
            assert example.coalitions[0].all()
            assert example.coalitions[1:, example.holder].tolist() == [True, False, True, False]
            sizes |= set(example.coalitions[1:].sum(axis=1).tolist())
    assert sizes == {0, 1, 2, 3, 4}


def test_a_step_is_the_same_whenever_asked_for(data, negatives, sampler):
    again = ExampleSampler(data, negatives, seed=0)
    other_seed = ExampleSampler(data, negatives, seed=1)
    first, same = sampler.draw(3, [0, 5, 7], 2, 3), again.draw(3, [0, 5, 7], 2, 3)
    for one, two in zip(first, same, strict=True):
        assert one.passages == two.passages
        assert np.array_equal(one.coalitions, two.coalitions)
    for other in (sampler.draw(4, [0, 5, 7], 2, 3), other_seed.draw(3, [0, 5, 7], 2, 3)):
        assert [e.passages for e in first] != [e.passages for e in other]


def test_the_walk_visits_every_question_once_an_epoch(sampler):
    questions = list(range(12))
    picked = [index for first in range(0, 36, 4) for index in sampler.walk(questions, first, 4)]
    epochs = [picked[:12], picked[12:24], picked[24:]]
    assert all(sorted(epoch) == questions for epoch in epochs)
    assert epochs[0] != epochs[1]
    twice = [*questions, 3, 3]
    assert sampler.walk(twice, 0, 14).count(3) == 3
