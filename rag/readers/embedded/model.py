"""The embedded reader's network: a MiniLM encoder, a small BERT-style decoder, and a copy mechanism.

Each block "[CLS] question [SEP] title. passage [SEP]" is encoded by itself (Fusion-in-Decoder, Izacard & Grave
2021); the decoder attends over all blocks together and mixes a vocabulary with a pointer into the passages
(pointer-generator, See et al. 2017). Stopping competes with copying inside the pointer's softmax.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from rag.readers.encoding import encode_blocks


@dataclass(frozen=True)
class CopyReaderConfig:
    """Shapes of the network; stored beside the weights."""

    vocab_size: int = 30522
    hidden_size: int = 384
    heads: int = 12
    intermediate_size: int = 1536
    encoder_layers: int = 6
    decoder_layers: int = 2
    max_block_tokens: int = 512
    max_answer_tokens: int = 32
    pad_id: int = 0
    start_id: int = 101
    stop_id: int = 102

    def bert(self, layers: int, *, decoder: bool) -> BertConfig:
        """The `transformers` configuration of the encoder or the decoder stack."""
        return BertConfig(
            vocab_size=self.vocab_size,
            hidden_size=self.hidden_size,
            num_hidden_layers=layers,
            num_attention_heads=self.heads,
            intermediate_size=self.intermediate_size,
            max_position_embeddings=self.max_block_tokens,
            is_decoder=decoder,
            add_cross_attention=decoder,
            pad_token_id=self.pad_id,
            # One pass over the data does not overfit, and dropout makes training on a CPU a third slower.
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )

    def save(self, path: Path) -> None:
        """Write the configuration as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> CopyReaderConfig:
        """Read the configuration from JSON; unknown keys raise `TypeError`."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))


class Source(NamedTuple):
    """What the decoder and the pointer read: encoded tokens, flat over the blocks of one question."""

    states: Tensor  # (batch, tokens, hidden)
    ids: Tensor  # (batch, tokens) word-piece ids
    block: Tensor  # (batch, tokens) block of each token; padding has -1
    copyable: Tensor  # (batch, tokens) bool: passage text, as against question and separators
    keys: Tensor  # (batch, tokens, hidden) pointer keys
    start: Tensor  # (batch, tokens) score of an answer beginning at the token
    end: Tensor  # (batch, tokens) score of an answer ending at the token
    relevance: Tensor  # (batch, tokens) relevance score of the token's block


class CopyReaderModel(nn.Module):
    """Encoder, decoder, pointer and the heads trained beside them."""

    def __init__(self, config: CopyReaderConfig):
        super().__init__()
        self.config = config
        hidden = config.hidden_size
        self.encoder = BertModel(config.bert(config.encoder_layers, decoder=False), add_pooling_layer=False)
        self.decoder = BertModel(config.bert(config.decoder_layers, decoder=True), add_pooling_layer=False)
        self.decoder.set_input_embeddings(self.encoder.get_input_embeddings())
        self.copy_query = nn.Linear(hidden, hidden)
        self.copy_key = nn.Linear(hidden, hidden)
        self.span = nn.Linear(hidden, 2)
        self.relevance = nn.Linear(hidden, 1)
        self.stop = nn.Linear(hidden, 1)
        self.gate = nn.Linear(hidden, 1)
        self.to_vocabulary = nn.Sequential(nn.Linear(hidden, hidden), nn.GELU(), nn.LayerNorm(hidden))
        self.vocabulary_bias = nn.Parameter(torch.zeros(config.vocab_size))
        # Weights of the pointer's features: a start score on the first token, the passage's relevance, following
        # on the last token, continuing the whole answer so far, an end score when stopping.
        self.feature_weights = nn.Parameter(torch.tensor([1.0, 0.5, 2.0, 4.0, 1.0]))
        nn.init.constant_(self.gate.bias, -3.0)

    def encode_blocks(self, ids: Tensor, types: Tensor, mask: Tensor) -> Tensor:
        """Encode blocks by themselves: ids, types, mask `(n_blocks, length)` to states `(n_blocks, length, hidden)`."""

        def encode(group: Tensor, length: int) -> Tensor:
            return self.encoder(
                input_ids=ids[group, :length],
                token_type_ids=types[group, :length],
                attention_mask=mask[group, :length],
            ).last_hidden_state

        return encode_blocks(encode, mask, self.config.hidden_size)

    def source(self, states: Tensor, ids: Tensor, block: Tensor, copyable: Tensor, cls: Tensor) -> Source:
        """Add the pointer's keys and scores to encoded tokens.

        Args:
            states: `(batch, tokens, hidden)`.
            ids: `(batch, tokens)`.
            block: `(batch, tokens)`, -1 on padding.
            copyable: `(batch, tokens)` bool.
            cls: `(batch, n_blocks, hidden)`, each block's first state.
        """
        start, end = self.span(states).float().unbind(-1)
        relevance = self.relevance(cls).float().squeeze(-1)
        return Source(
            states,
            ids,
            block,
            copyable,
            self.copy_key(states),
            start,
            end,
            relevance.gather(1, block.clamp(min=0)),
        )

    def decode(self, tokens: Tensor, source: Source, visible: Tensor) -> Tensor:
        """Decoder states for given answer prefixes, all steps at once (training and scoring).

        Args:
            tokens: `(batch, steps)` decoder inputs, beginning with the start token.
            source: the encoded blocks.
            visible: `(batch, tokens)` bool, the source tokens that the coalition includes.

        Returns:
            `(batch, steps, hidden)`.
        """
        mask = visible[:, None, None, :].expand(-1, 1, tokens.shape[1], -1)
        return self.decoder(
            input_ids=tokens,
            encoder_hidden_states=source.states,
            encoder_attention_mask=mask,
            use_cache=False,
        ).last_hidden_state

    def token_log_probs(self, hidden: Tensor, source: Source, visible: Tensor, targets: Tensor) -> Tensor:
        """Log-probability of each target token, given all before it.

        Args:
            hidden: `(batch, steps, hidden)` decoder states.
            source: the encoded blocks.
            visible: `(batch, tokens)` bool.
            targets: `(batch, steps)` word-piece ids, closed by the stop token, then padding.

        Returns:
            `(batch, steps)` float32; padded steps hold 0.
        """
        batch, steps = targets.shape
        runs = torch.zeros(batch, source.ids.shape[1], dtype=torch.int32, device=targets.device)
        pointer = []
        for step in range(steps):
            if step:
                runs = extend_runs(runs, source, targets[:, step - 1, None])
            pointer.append(self.pointer_scores(hidden[:, step], source, visible, runs, step))
        log_pointer = torch.stack(pointer, 1).log_softmax(-1)  # (batch, steps, 1 + tokens), stop first
        is_stop = targets == self.config.stop_id
        same = (source.ids[:, None, :] == targets[:, :, None]) & ~is_stop[..., None]
        chosen = torch.cat([is_stop[..., None], same], -1)
        copy = log_pointer.masked_fill(~chosen, -1e4).logsumexp(-1)
        gate = self.gate(hidden).float().squeeze(-1)
        real = targets != self.config.pad_id  # the vocabulary is large: score it for real tokens alone
        vocabulary = self.vocabulary_logits(hidden[real])
        generate = torch.zeros_like(copy)
        generate[real] = -nn.functional.cross_entropy(vocabulary, targets[real], reduction="none")
        mixed = torch.logaddexp(nn.functional.logsigmoid(gate) + generate, nn.functional.logsigmoid(-gate) + copy)
        return mixed.masked_fill(~real, 0.0)

    def vocabulary_logits(self, hidden: Tensor) -> Tensor:
        """Vocabulary scores `(..., vocab_size)` float32 of decoder states `(..., hidden)`."""
        weights = self.encoder.get_input_embeddings().weight
        return (self.to_vocabulary(hidden) @ weights.t()).float() + self.vocabulary_bias

    def pointer_scores(self, hidden: Tensor, source: Source, visible: Tensor, runs: Tensor, step: int) -> Tensor:
        """Unnormalised scores of stopping and of copying each source token at one step.

        Args:
            hidden: `(batch, hidden)` decoder states of the step.
            source: encoded blocks; its batch is this batch or 1 (shared by all rows).
            visible: `(batch, tokens)` bool.
            runs: `(batch, tokens)` int, how many of the last answer tokens end in a copied run at the token.
            step: number of answer tokens before this one.

        Returns:
            `(batch, 1 + tokens)` float32; the first column is stopping.
        """
        w_start, w_relevance, w_follow, w_whole, w_end = self.feature_weights.float()
        query = self.copy_query(hidden)
        if source.keys.shape[0] == 1:
            scores = (query @ source.keys[0].t()).float()
        else:
            scores = torch.einsum("bh,bth->bt", query, source.keys).float()
        scores = scores * self.config.hidden_size**-0.5 + w_relevance * source.relevance
        stop = self.stop(hidden).float().squeeze(-1)
        if step == 0:
            scores = scores + w_start * source.start
        else:
            before = nn.functional.pad(runs, (1, -1))
            scores = scores + w_follow * (before > 0) + w_whole * (before == step)
            stop = stop + w_end * whole_answer_end(source, runs, visible, step)
        scores = scores.masked_fill(~(visible & source.copyable), -1e4)
        return torch.cat([stop[:, None], scores], 1)


def extend_runs(runs: Tensor, source: Source, last: Tensor) -> Tensor:
    """Lengths of copied runs after one more token: `(batch, tokens)` int, capped by the answer's length.

    A run of length r at a source token says that the last r answer tokens are the r source tokens ending there.
    """
    return (nn.functional.pad(runs, (1, -1)) + 1) * ((source.ids == last) & source.copyable)


def whole_answer_end(source: Source, runs: Tensor, visible: Tensor, step: int) -> Tensor:
    """Expected end score where the whole answer so far stands, `(batch,)`; 0 where it stands nowhere.

    The log of the mean of exp(end) over those places, each weighted by its exp(start + relevance).
    """
    whole = (runs == step) & visible
    begins = nn.functional.pad(source.start + source.relevance, (step - 1, 0))[:, : runs.shape[1]]
    weight = begins.masked_fill(~whole, -1e4)
    expected = (weight + source.end).logsumexp(1) - weight.logsumexp(1)
    return expected.masked_fill(~whole.any(1), 0.0)
