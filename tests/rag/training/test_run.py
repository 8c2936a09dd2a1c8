from __future__ import annotations

import pytest

from rag.training.run import HeldOut
from rag.training.sampling import ExampleSampler
from rag.training.settings import EvaluationSettings, TrainSettings


@pytest.mark.parametrize(("most", "sizes"), [(0, {1}), (1, {2}), (5, {6, 3, 2})])
def test_calibration_reads_few_passages_and_many(data, negatives, most, sizes):
    settings = TrainSettings(evaluation=EvaluationSettings(questions=3, negatives=most))
    held_out = HeldOut(ExampleSampler(data, negatives, seed=0), range(12), settings)
    examples = held_out.draw_all_sizes(4)
    assert {len(example.passages) for example in examples} == sizes
    assert len(examples) == 3 * len(sizes)
    assert {example.question for example in examples} == set(held_out.questions)
    assert all(example.coalitions.shape == (4, len(example.passages)) for example in examples)
