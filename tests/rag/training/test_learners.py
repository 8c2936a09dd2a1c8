"""What the two kinds of learner are taught: the answer where a coalition holds it, nothing where it does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from rag.questions import QuestionSet
from rag.readers.embedded.blocks import PAD, SEP, BlockTokenizer
from rag.readers.embedded.reader import EmbeddedReader
from rag.readers.embedded.weights import load_model
from rag.readers.fid import FiDReader
from rag.training.calibration import FALSE_DECLINES
from rag.training.embedded import EmbeddedLearner
from rag.training.sampling import Example, ExampleSampler
from rag.training.seq2seq import Seq2SeqLearner

from .conftest import TOKENIZER

pytestmark = pytest.mark.slow


@pytest.fixture
def sampler(data, negatives):
    return ExampleSampler(data, negatives, seed=0)


def test_targets_follow_the_coalitions(data, sampler, new_learner):
    encode = BlockTokenizer(TOKENIZER).encode
    examples = sampler.draw(0, [1, 6, 11], 2, 4)
    batch = new_learner().batch(examples)
    seen = [(example, coalition) for example in examples for coalition in example.coalitions]
    for row, (example, coalition) in enumerate(seen):
        (answer,) = data.questions[example.question].answers
        target = [t for t in batch.targets[row].tolist() if t != PAD]
        assert target == ([*encode([answer])[0].ids, SEP] if coalition[example.holder] else [SEP])
        # The last block is the question alone, and is seen by the empty coalition only.
        assert batch.coalitions[row].tolist() == [*coalition, not coalition.any()]


def test_answers_are_pointed_at(data, sampler, new_learner):
    batch = new_learner().batch(sampler.draw(0, [2, 9], 2, 1))
    for number, index in enumerate([2, 9]):
        block = batch.blocks.ids[number * batch.per_question + int(batch.holder[number])]
        span = block[int(batch.start[number]) : int(batch.end[number]) + 1].tolist()
        assert span == BlockTokenizer(TOKENIZER).encode(list(data.questions[index].answers))[0].ids


def lengthened(data: QuestionSet) -> QuestionSet:
    """The passages behind many sentences, so that the answers stand beyond the first block."""
    before = "The sea is cold, and the wind blows from the west. " * 12
    passages = [replace(passage, text=before + passage.text) for passage in data.passages]
    places = (
        question.place
        and question.place._replace(start=question.place.start + len(before), end=question.place.end + len(before))
        for question in data.questions
    )
    questions = [replace(question, place=place) for question, place in zip(data.questions, places, strict=True)]
    return replace(data, passages=passages, questions=questions)


def test_of_a_long_passage_the_block_with_the_answer_is_read(data, negatives, new_learner):
    long = lengthened(data)
    learner = new_learner(data=long)
    examples = ExampleSampler(long, negatives, seed=0).draw(0, [2, 9], 2, 3)
    batch = learner.batch(examples)
    assert (batch.blocks.mask.sum(1) <= 64).all()
    for number, index in enumerate([2, 9]):
        block = batch.blocks.ids[number * batch.per_question + int(batch.holder[number])]
        answer = BlockTokenizer(TOKENIZER).encode(list(long.questions[index].answers))[0].ids
        assert block[int(batch.start[number]) : int(batch.end[number]) + 1].tolist() == answer
        assert batch.targets[3 * number].tolist() == [*answer, SEP]
    assert torch.isfinite(learner.losses(examples)["total"])


def test_an_answer_that_a_cut_divides_is_not_asked_for(data, new_learner):
    place = data.questions[2].place
    passage = replace(data.passages[place.passage], text=" ".join(f"word{number}" for number in range(200)))
    place = place._replace(start=len(passage.full_text) - len(passage.text), end=len(passage.full_text))
    passages = [passage if index == place.passage else other for index, other in enumerate(data.passages)]
    questions = [replace(q, place=place) if number == 2 else q for number, q in enumerate(data.questions)]
    learner = new_learner(data=replace(data, passages=passages, questions=questions))
    batch = learner.batch([Example(2, (place.passage,), 0, np.ones((1, 1), bool))])
    assert batch.start.tolist() == batch.end.tolist() == [-1]
    assert batch.targets.tolist() == [[SEP]]


def loss_by_reader(reader, data, examples, count_tokens) -> float:
    """Mean loss over answer tokens as the reader scores them, one question and one coalition after another."""
    total, tokens = 0.0, 0
    for example in examples:
        question = data.questions[example.question]
        encoded = reader.encode(question.text, [data.passages[p] for p in example.passages])
        for coalition in example.coalitions:
            answer = question.answers[0] if coalition[example.holder] else ""
            total -= reader.score(encoded, coalition[None], [answer])[0, 0]
            tokens += count_tokens(answer)
    return total / tokens


def test_the_loss_of_the_embedded_reader_is_what_its_reader_scores(data, sampler, new_learner, tmp_path):
    """Training sees all steps of many questions at once; the saved reader scores one question after another."""
    learner = new_learner()
    learner.save(tmp_path / "reader")
    learner.model.load_state_dict(load_model(tmp_path / "reader").state_dict())  # rounded as the folder holds them
    learner.model.eval()
    examples = sampler.draw(0, [1, 6, 11], 2, 4)
    loss = float(learner.losses(examples)["answer"].detach())
    reader = EmbeddedReader(tmp_path / "reader", max_block_tokens=64)
    encode = BlockTokenizer(TOKENIZER).encode
    expected = loss_by_reader(reader, data, examples, lambda answer: len(encode([answer])[0].ids) + 1)
    assert loss == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("family", ["t5", "bart"])
def test_the_loss_of_a_checkpoint_is_what_its_reader_scores(data, sampler, family, request):
    folder = request.getfixturevalue(family)
    learner = Seq2SeqLearner(folder, data, 64, dropout=0.0)
    learner.model.eval()
    examples = sampler.draw(0, [1, 6, 11], 2, 4)
    loss = float(learner.losses(examples)["total"].detach())
    learner.tokenizer.pad_token = None  # some tokenizers have none; what fills the batch does not matter
    assert float(learner.losses(examples)["total"].detach()) == loss
    reader = FiDReader(folder, max_block_tokens=64)
    expected = loss_by_reader(reader, data, examples, lambda a: len(reader.tokenizer(text_target=a).input_ids))
    assert loss == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("family", ["t5", "bart"])
def test_a_checkpoint_learns_and_is_saved_for_its_reader(data, sampler, family, request, tmp_path):
    learner = Seq2SeqLearner(request.getfixturevalue(family), data, 64, dropout=0.0)
    optimizer = torch.optim.AdamW(learner.groups()[0].parameters, lr=3e-3)
    losses = []
    for step in range(120):
        loss = learner.losses(sampler.draw(step, list(range(8)), 1, 2))["total"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
    learner.save(tmp_path / "reader")
    learner.save(tmp_path / "reader")  # replaces the first
    assert [path.name for path in tmp_path.iterdir()] == ["reader"]
    reader = FiDReader(tmp_path / "reader", max_block_tokens=64)
    encoded = reader.encode(data.questions[0].text, data.passages[:2])
    for name, weights in learner.state().items():
        assert torch.equal(weights, reader.model.state_dict()[name])
    assert len(reader.generate(encoded, np.ones((1, 2), dtype=bool))) == 1


def test_questions_without_a_short_answer_in_a_gold_passage_are_left_out(data, new_learner, t5):
    strange = replace(data.questions[3], place=None)
    partly = QuestionSet(data.passages, [*data.questions[:3], strange, *data.questions[4:]])
    embedded = new_learner()
    for learner in (
        Seq2SeqLearner(t5, partly, 64, 0.0),
        EmbeddedLearner(embedded.model, TOKENIZER, partly, 64, 0.0),
    ):
        assert learner.usable(range(12)) == [0, 1, 2, *range(4, 12)]


def test_the_threshold_declines_few_coalitions_that_hold_the_answer(data, sampler, new_learner, tmp_path):
    """Counted in what the reader really says at each threshold, which is "" where it declines."""
    learner = new_learner()
    with torch.no_grad():
        learner.model.stop.weight.mul_(20)  # so that "no answer" is likely here and unlikely there
        learner.model.copy_query.bias.fill_(-1.0)
    learner.save(tmp_path / "reader")
    examples = [e for negatives in (1, 2) for step in range(2) for e in sampler.draw(step, range(12), negatives, 6)]
    learner.calibrate(tmp_path / "reader", examples)
    tuned = EmbeddedReader(tmp_path / "reader", max_block_tokens=64).no_answer_threshold

    def declined(threshold: float) -> float:
        reader = EmbeddedReader(tmp_path / "reader", max_block_tokens=64, no_answer_threshold=threshold)
        said = []
        for example in examples:
            passages = [data.passages[p] for p in example.passages]
            encoded = reader.encode(data.questions[example.question].text, passages)
            said += reader.generate(encoded, example.coalitions[example.coalitions[:, example.holder]])
        return sum(not answer for answer in said) / len(said)

    assert 0 < declined(tuned) <= FALSE_DECLINES < declined(0.98 * tuned)
    assert declined(1.0) == 0
