"""The base reader's encoder: all-mpnet-base-v2 with low-rank adapters, in the word pieces of the embedded reader."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import MPNetConfig, MPNetModel
from transformers.modeling_outputs import BaseModelOutput

from rag.readers.embedded.blocks import CLS, PAD, SEP
from rag.readers.embedded.hidden import MASK

_SHIFT = 4  # MPNet's vocabulary is BERT's behind four tokens of its own
_OWN = {CLS: "bos_token_id", SEP: "eos_token_id", PAD: "pad_token_id"}
_ATTENTION, _DENSE = ("q", "k", "v", "o"), ("intermediate.dense", "output.dense")
_ADAPTED = (*(f"attention.attn.{name}" for name in _ATTENTION), *_DENSE)


class LowRank(nn.Module):
    """A frozen linear layer with a trained low-rank correction (LoRA, Hu et al. 2022)."""

    def __init__(self, frozen: nn.Linear, rank: int):
        super().__init__()
        self.frozen = frozen
        self.down = nn.Parameter(torch.randn(rank, frozen.in_features) / math.sqrt(frozen.in_features))
        self.up = nn.Parameter(torch.zeros(frozen.out_features, rank))

    def forward(self, x: Tensor) -> Tensor:
        """The layer's output, `(..., out_features)`, with the correction added."""
        whole: Tensor = self.frozen(x) + (x @ self.down.t()) @ self.up.t()
        return whole


class AdaptedEncoder(nn.Module):
    """Reads as the embedded reader's own encoder does: the same word pieces, and states of the same width.

    Args:
        folder: of all-mpnet-base-v2, or of an MPNet with as many word pieces; its weights are frozen.
        vocab_size: word pieces of the embedded reader.
        hidden_size: width of the states.
        adapted_layers: so many of the upper layers have adapters.
        rank: of the adapters.

    Raises:
        ValueError: the folder's encoder has another vocabulary, or fewer layers.
    """

    def __init__(self, folder: Path, vocab_size: int, hidden_size: int, adapted_layers: int, rank: int):
        super().__init__()
        config = MPNetConfig.from_pretrained(folder, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        layers = config.num_hidden_layers
        if config.vocab_size != vocab_size + _SHIFT + 1 or layers < adapted_layers:
            raise ValueError(
                f"{folder} is no encoder for this reader: it has {config.vocab_size} word pieces and {layers} layers; "
                f"expected {vocab_size + _SHIFT + 1} and at least {adapted_layers}"
            )
        self.words = nn.Embedding(vocab_size, hidden_size)  # the decoder's; this encoder reads with its own
        self.pretrained = MPNetModel(config, add_pooling_layer=False)
        weights = load_file(folder / "model.safetensors")
        self.pretrained.load_state_dict({name: weights[name] for name in self.pretrained.state_dict()})
        self.pretrained.requires_grad_(False)
        self.project = nn.Linear(config.hidden_size, hidden_size)
        self.first_adapted = layers - adapted_layers
        for layer in self.pretrained.encoder.layer[self.first_adapted :]:
            for name in _ADAPTED:
                frozen = layer.get_submodule(name)
                assert isinstance(frozen, nn.Linear), "all of MPNet's are"
                layer.set_submodule(name, LowRank(frozen, rank))
        pieces = torch.arange(vocab_size) + _SHIFT
        for piece, own in _OWN.items():
            pieces[piece] = getattr(config, own)
        pieces[MASK] = config.vocab_size - 1
        self.pieces: Tensor
        self.register_buffer("pieces", pieces, persistent=False)

    def get_input_embeddings(self) -> nn.Embedding:
        """The word embeddings that the decoder shares."""
        return self.words

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
    ) -> BaseModelOutput:
        """States `(n_blocks, length, hidden_size)`; the arguments, all `(n_blocks, length)`, are those of BERT.

        MPNet tells question and passage apart by the separator, so it does not need `token_type_ids`.
        """
        states = self.project(self.unprojected(input_ids, attention_mask, position_ids))
        return BaseModelOutput(last_hidden_state=states)

    def unprojected(self, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor | None = None) -> Tensor:
        """States `(n_blocks, length, width of the pretrained encoder)`."""
        model = self.pretrained
        if position_ids is None:
            position_ids = torch.arange(input_ids.shape[1], device=input_ids.device)[None]
        with torch.no_grad():
            first = model.embeddings.padding_idx + 1
            states = model.embeddings(input_ids=self.pieces[input_ids], position_ids=position_ids + first)
            mask = states.new_zeros(attention_mask.shape).masked_fill(attention_mask == 0, -1e4)[:, None, None, :]
            distance = position_ids[:, None, :] - position_ids[:, :, None]
            bucket = model.encoder.relative_position_bucket(distance, model.config.relative_attention_num_buckets)
            bias = model.encoder.relative_attention_bias(bucket).permute(0, 3, 1, 2)
        for number, layer in enumerate(model.encoder.layer):
            with torch.set_grad_enabled(torch.is_grad_enabled() and number >= self.first_adapted):
                states = layer(states, mask, bias)[0]
        return states
