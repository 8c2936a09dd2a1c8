from __future__ import annotations

import random

from rag.questions.matching import whole_words
from rag.questions.overlap import NEAR, near_questions, question_digest


def test_near_questions_are_those_that_comparing_all_pairs_finds():
    rng = random.Random(0)
    words = [f"w{n}" for n in range(30)]

    def some(n):
        return [" ".join(rng.choices(words, k=rng.randint(1, 9))) for _ in range(n)]

    others = some(150)
    texts = some(150) + [text + " " + rng.choice(words) for text in others]
    sets = [set(whole_words(text).split()) for text in texts]
    theirs = [set(whole_words(text).split()) for text in others]
    expected = {i for i, a in enumerate(sets) if any(len(a & b) >= NEAR * len(a | b) for b in theirs)}
    assert 20 < len(expected) < 200
    assert near_questions(texts, others) == expected


def test_the_digest_does_not_depend_on_case_and_punctuation():
    assert question_digest("Who wrote Emma?") == question_digest("who wrote emma")
    assert question_digest("Who wrote Emma?") != question_digest("Who wrote Persuasion?")
