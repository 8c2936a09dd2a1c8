"""Fresh networks from pretrained encoders: the starting points of training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn
from transformers import BertModel

from rag.readers.embedded.adapted import AdaptedEncoder
from rag.readers.embedded.blocks import BlockTokenizer, assemble
from rag.readers.embedded.model import CopyReaderConfig, CopyReaderModel
from rag.readers.embedded.weights import load_model
from retrievers import Passage

_BATCH = 16  # blocks


def from_minilm(folder: Path) -> CopyReaderModel:
    """A reader whose encoder, and as far as it fits whose decoder, start from a BERT-style encoder folder.

    Decoder layers copy encoder layers spread evenly up to the last; cross-attention starts from the same layers'
    self-attention (Rothe et al. 2020, "Leveraging pre-trained checkpoints for sequence generation tasks").
    """
    pretrained = BertModel.from_pretrained(str(folder), add_pooling_layer=False)
    layers = pretrained.config.num_hidden_layers
    model = CopyReaderModel(CopyReaderConfig())
    decoder_layers = model.config.decoder_layers
    weights = pretrained.state_dict()
    model.encoder.load_state_dict(weights)
    decoder = {key: value for key, value in weights.items() if key.startswith("embeddings.")}
    for layer in range(decoder_layers):
        origin = (layer + 1) * layers // decoder_layers - 1
        prefix = f"encoder.layer.{origin}."
        for key, value in weights.items():
            if key.startswith(prefix):
                name = key.removeprefix(prefix)
                decoder[f"encoder.layer.{layer}.{name}"] = value
                if name.startswith("attention."):
                    decoder[f"encoder.layer.{layer}.cross{name}"] = value.clone()
    missing, unexpected = model.decoder.load_state_dict(decoder, strict=False)
    if missing or unexpected:
        raise ValueError(f"{folder} does not fit the decoder: missing {missing}, unexpected {unexpected}")
    with torch.no_grad():
        # Pointer keys and queries begin as the identity: tokens are sought by their own states.
        for linear in (model.copy_query, model.copy_key):
            linear.weight.copy_(torch.eye(linear.out_features))
            linear.bias.zero_()
    return model


@torch.no_grad()
def from_mpnet(
    folder: Path, pairs: Sequence[tuple[str, Passage]], max_tokens: int, adapted_layers: int = 8, rank: int = 32
) -> CopyReaderModel:
    """A reader on all-mpnet-base-v2, whose decoder and pointer are those of a trained reader.

    The adapters begin without effect. The projection to the width of the decoder is fitted by least squares: on the
    tokens of these pairs of question and passage, it comes nearest to the states of the trained reader's encoder.

    Args:
        folder: of the trained reader.
        pairs: questions with passages, together of more tokens than the encoder's states are wide.
        max_tokens: limit of a block.
        adapted_layers: so many upper layers get adapters.
        rank: of the adapters.

    Raises:
        ImportError, OSError: all-mpnet-base-v2 cannot be had; see `locate_base`.
    """
    trained = load_model(folder)
    model = CopyReaderModel(replace(trained.config, encoder_layers=adapted_layers, adapter_rank=rank))
    for name, module in trained.named_children():
        if name != "encoder":
            getattr(model, name).load_state_dict(module.state_dict())
    model.vocabulary_bias.copy_(trained.vocabulary_bias)
    model.feature_weights.copy_(trained.feature_weights)
    assert isinstance(model.encoder, AdaptedEncoder), "a rank above 0 asks for it"
    model.encoder.words.load_state_dict(trained.encoder.get_input_embeddings().state_dict())
    tokenizer, given, wanted = BlockTokenizer(folder / "tokenizer.json"), [], []
    for first in range(0, len(pairs), _BATCH):
        questions, passages = zip(*pairs[first : first + _BATCH], strict=True)
        heads = [tokenizer.encode_question(question, max_tokens)[0].ids for question in questions]
        blocks = assemble([*zip(heads, tokenizer.encode_passages(passages), strict=True)], max_tokens)
        real = blocks.mask.bool()
        given.append(model.encoder.unprojected(blocks.ids, blocks.mask)[real])
        states = trained.encoder(input_ids=blocks.ids, token_type_ids=blocks.types, attention_mask=blocks.mask)
        wanted.append(states.last_hidden_state[real])
    x = nn.functional.pad(torch.cat(given).double(), (0, 1), value=1.0)
    fitted = torch.linalg.lstsq(x, torch.cat(wanted).double()).solution
    model.encoder.project.weight.copy_(fitted[:-1].t())
    model.encoder.project.bias.copy_(fitted[-1])
    return model
