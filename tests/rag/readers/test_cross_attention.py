"""Where a reader's decoder looks, against the attention weights that the stock models return."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from transformers import AutoModelForSeq2SeqLM
from transformers.modeling_outputs import BaseModelOutput

from rag.readers.base import AttentiveReader
from rag.readers.embedded import EmbeddedReader
from rag.readers.fid import FiDReader

from .conftest import random_passages

QUESTION = "where is the old tower ?"


def by_block(attentions, sizes: list[int]) -> np.ndarray:
    """Mean over layers, heads and steps, summed by block, from (1, heads, steps, tokens) of each layer."""
    weights = torch.cat(attentions).double().mean((0, 1, 2))
    return np.array([part.sum().item() for part in weights.split(sizes)])


@pytest.mark.parametrize("family", ["t5", "bart"])
def test_fid_attention_is_that_of_the_stock_model(request, family):
    reader = FiDReader(request.getfixturevalue(family), max_block_tokens=64, max_answer_tokens=8)
    assert isinstance(reader, AttentiveReader)
    passages = random_passages(5)
    encoded = reader.encode(QUESTION, passages)
    model = AutoModelForSeq2SeqLM.from_pretrained(reader.name, attn_implementation="eager").eval()
    with torch.inference_mode():
        blocks = [
            model.get_encoder()(
                **reader.tokenizer(f"question: {QUESTION} title: {p.title} context: {p.text}", return_tensors="pt")
            ).last_hidden_state
            for p in passages
        ]
        labels = reader.tokenizer("old stone tower", return_tensors="pt").input_ids
        found = model(
            encoder_outputs=BaseModelOutput(last_hidden_state=torch.cat(blocks, 1)),
            labels=labels,
            output_attentions=True,
        )
    expected = by_block(found.cross_attentions, [block.shape[1] for block in blocks])
    attention = reader.attention(encoded, reader.tokenizer.decode(labels[0], skip_special_tokens=True))
    assert attention == pytest.approx(expected, abs=1e-5)
    assert attention.sum() == pytest.approx(1, abs=1e-5)
    assert np.ptp(attention) > 0.02, "all alike, so this shows nothing"


def test_embedded_attention_is_that_of_a_stock_decoder():
    reader = EmbeddedReader()
    passages = random_passages(5)
    encoded = reader.encode(QUESTION, passages)
    sizes = encoded.state.sizes
    decoder = copy.deepcopy(reader.model.decoder)
    decoder.set_attn_implementation("eager")
    tokens = [reader.model.config.start_id, *reader.tokenizer.encode(["the old tower"])[0].ids]
    with torch.inference_mode():
        found = decoder(
            input_ids=torch.tensor([tokens]),
            encoder_hidden_states=encoded.state.source.states[:, : -sizes[-1]],
            output_attentions=True,
        )
    expected = by_block(found.cross_attentions, sizes[:-1])
    assert reader.attention(encoded, "the old tower") == pytest.approx(expected, abs=1e-5)
    before = reader.generate(encoded, np.eye(5, dtype=bool))
    reader.attention(encoded, "the old tower")
    assert reader.generate(encoded, np.eye(5, dtype=bool)) == before, "asking changes nothing"
