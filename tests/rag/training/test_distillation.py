"""What a reader learns from another: nothing from itself, and from a different one to look where that one looks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import rel_entr

from rag.readers.embedded.model import CopyReaderConfig, CopyReaderModel
from rag.training.distillation import Looks, distances
from rag.training.embedded import EmbeddedLearner
from rag.training.run import make_learner
from rag.training.sampling import ExampleSampler
from rag.training.settings import TrainSettings

from .conftest import TOKENIZER

pytestmark = pytest.mark.slow

OTHER = CopyReaderConfig(
    hidden_size=48, heads=4, intermediate_size=64, encoder_layers=2, decoder_layers=1, max_block_tokens=64
)


@pytest.fixture
def examples(data, negatives):
    return ExampleSampler(data, negatives, seed=0).draw(0, [1, 6, 11], 2, 4)


def taught(learner: EmbeddedLearner, teacher: CopyReaderModel) -> EmbeddedLearner:
    return EmbeddedLearner(learner.model, TOKENIZER, learner.data, 64, 0.0, teacher)


def test_distances_are_those_of_scipy():
    rng = np.random.default_rng(0)
    own, others = ([rng.dirichlet(np.ones(5), 3) for _ in Looks._fields] for _ in range(2))
    found = distances(*(Looks(*(torch.from_numpy(np.log(p)) for p in side)) for side in (own, others)))
    expected = [rel_entr(theirs, ours).sum() / 3 for ours, theirs in zip(own, others, strict=True)]
    np.testing.assert_allclose([float(value) for value in found], expected)


def test_of_itself_a_reader_learns_nothing(new_learner, examples):
    alone = new_learner(dropout=0.0)
    both = taught(alone, new_learner().model)
    losses, more = alone.losses(examples), both.losses(examples)
    assert float(more.pop("taught").detach()) == pytest.approx(0, abs=1e-6)
    assert {name: float(loss.detach()) for name, loss in more.items()} == pytest.approx(
        {name: float(loss.detach()) for name, loss in losses.items()}
    )


def test_it_comes_to_look_where_another_of_another_size_looks(new_learner, examples):
    torch.manual_seed(1)
    teacher = CopyReaderModel(OTHER)
    with torch.no_grad():
        for head in (teacher.span, teacher.relevance, teacher.stop, teacher.copy_query):
            head.weight.mul_(20)  # so that it has a mind of its own
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    learner = taught(new_learner(dropout=0.0), teacher)
    optimizer = torch.optim.AdamW([p for group in learner.groups() for p in group.parameters], lr=3e-3)
    far = []
    for _ in range(60):
        loss = learner.losses(examples)["taught"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        far.append(float(loss.detach()))
    assert far[-1] < 0.3 * far[0]
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())


def test_who_cannot_teach_is_refused(data, tmp_path):
    with pytest.raises(ValueError, match=r"teacher: 'no/such' is no embedded reader; name base"):
        make_learner(TrainSettings(teacher="no/such"), data, range(12))
    (tmp_path / "checksums.json").write_text("{}", encoding="utf-8")
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match="has other word pieces"):
        make_learner(TrainSettings(teacher=str(tmp_path)), data, range(12))


def test_a_checkpoint_of_another_kind_learns_from_nobody(data, t5):
    with pytest.raises(ValueError, match="so it cannot learn from another"):
        make_learner(TrainSettings(start=str(t5), teacher="embedded"), data, range(12))
