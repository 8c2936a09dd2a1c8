"""A fresh network from a MiniLM checkpoint: the starting point of training."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import BertModel

from rag.readers.embedded.model import CopyReaderConfig, CopyReaderModel


def from_minilm(folder: Path, decoder_layers: int = 2) -> CopyReaderModel:
    """A reader whose encoder, and as far as it fits whose decoder, start from a BERT-style encoder folder.

    Decoder layers copy encoder layers spread evenly up to the last; cross-attention starts from the same layers'
    self-attention (Rothe et al. 2020, "Leveraging pre-trained checkpoints for sequence generation tasks").
    """
    pretrained = BertModel.from_pretrained(str(folder), add_pooling_layer=False)
    layers = pretrained.config.num_hidden_layers
    model = CopyReaderModel(CopyReaderConfig(decoder_layers=decoder_layers))
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
