"""The embedded reader's network: an encoder, a small BERT-style decoder, and a copy mechanism.

Each block "[CLS] question [SEP] title. passage [SEP]" is encoded by itself (Fusion-in-Decoder, Izacard & Grave
2021); the decoder attends over all blocks together and mixes a vocabulary with a pointer into the passages
(pointer-generator, See et al. 2017). Stopping competes with copying inside the pointer's softmax.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from rag.readers.attention import SHARED_ATTENTION
from rag.readers.embedded.adapted import AdaptedEncoder
from rag.readers.embedded.no_answer import NoAnswerCalibration
from rag.readers.encoding import encode_blocks
from retrievers.dense.base_encoder import locate_base
from retrievers.storage.json_text import parse_json

_RANGES = {
    "no_answer_threshold": (sys.float_info.min, 1),
    "no_answer_slope": (1e-3, 1e3),
    "no_answer_intercept": (-1e3, 1e3),
    "no_answer_log_passages": (-1e3, 1e3),
}


@dataclass(frozen=True)
class CopyReaderConfig:
    """Shapes of the network, and how it declines; stored beside the weights."""

    vocab_size: int = 30522
    hidden_size: int = 384
    heads: int = 12
    intermediate_size: int = 1536
    encoder_layers: int = 6  # of an adapted encoder, those that have adapters
    decoder_layers: int = 2
    max_block_tokens: int = 512
    max_answer_tokens: int = 32
    pad_id: int = 0
    start_id: int = 101
    stop_id: int = 102
    adapter_rank: int = 0  # of the adapters of all-mpnet-base-v2; 0 is a BERT-style encoder of the reader's own
    no_answer_threshold: float = 0.5  # "no answer" is given when its calibrated probability reaches this; 1 is never
    no_answer_slope: float = 1.0  # these three are those of `NoAnswerCalibration`
    no_answer_intercept: float = 0.0
    no_answer_log_passages: float = 0.0

    @property
    def no_answer(self) -> NoAnswerCalibration:
        """How the probability of "no answer" is calibrated."""
        return NoAnswerCalibration(self.no_answer_slope, self.no_answer_intercept, self.no_answer_log_passages)

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
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )

    def save(self, path: Path) -> None:
        """Write the configuration as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> CopyReaderConfig:
        """Read the configuration from JSON; raises `ValueError` if it is none."""
        content = parse_json(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict) or not set(content) <= {field.name for field in fields(cls)}:
            raise ValueError("expected an object with the names of CopyReaderConfig")
        config = cls(**content)
        for name, value in asdict(config).items():
            if name in _RANGES:
                least, most = _RANGES[name]
                sound = type(value) in (int, float) and least <= value <= most
            else:
                sound = type(value) is int and value >= (0 if name.endswith(("_id", "_rank")) else 1)
            if not sound:
                raise ValueError(f"{name} cannot be {value!r}")
        if config.hidden_size % config.heads:
            raise ValueError(f"hidden_size {config.hidden_size} is no multiple of heads {config.heads}")
        return config

    def fits(self, shapes: Mapping[str, Sequence[int]]) -> bool:
        """Whether weights of these shapes are of the sizes said here, from which the network is built."""
        words = "encoder.words" if self.adapter_rank else "encoder.embeddings.word_embeddings"
        found = {
            f"{words}.weight": (self.vocab_size, self.hidden_size),
            "decoder.embeddings.position_embeddings.weight": (self.max_block_tokens, self.hidden_size),
            "decoder.encoder.layer.0.intermediate.dense.weight": (self.intermediate_size, self.hidden_size),
        }
        if any(tuple(shapes.get(name, ())) != shape for name, shape in found.items()):
            return False
        if f"decoder.encoder.layer.{self.decoder_layers - 1}.output.dense.weight" not in shapes:
            return False
        if self.adapter_rank:
            ranks = [shape[0] for name, shape in shapes.items() if name.endswith(".attention.attn.q.down")]
            return ranks == [self.adapter_rank] * self.encoder_layers
        return f"encoder.encoder.layer.{self.encoder_layers - 1}.output.dense.weight" in shapes


class Source(NamedTuple):
    """What the decoder and the pointer read: encoded tokens, flat over the blocks of one question."""

    states: Tensor  # (questions, tokens, hidden)
    keys: Tensor  # (questions, tokens, hidden) pointer keys
    ids: Tensor  # (questions, tokens) word-piece ids
    block: Tensor  # (questions, tokens) block of each token; padding has -1
    copyable: Tensor  # (questions, tokens) bool: passage text, as against question and separators
    afresh: Tensor  # (questions, tokens) bool: text that begins afresh, so that nothing copied before goes on into it
    start: Tensor  # (questions, tokens) score of an answer beginning at the token
    end: Tensor  # (questions, tokens) score of an answer ending at the token
    relevance: Tensor  # (questions, tokens) relevance score of the token's block

    def with_rows(self, rows: int) -> Source:
        """The small parts repeated for `rows` decoder rows, states and keys left shared by a question's rows."""
        times = rows // len(self.states)
        small = (part.repeat_interleave(times, 0) for part in self[2:]) if len(self.states) > 1 else self[2:]
        return Source(self.states, self.keys, *small)


class CopyReaderModel(nn.Module):
    """Encoder, decoder, pointer and the heads trained beside them."""

    def __init__(self, config: CopyReaderConfig):
        super().__init__()
        self.config = config
        hidden = config.hidden_size
        self.encoder: BertModel | AdaptedEncoder
        if config.adapter_rank:
            sizes = (config.vocab_size, hidden, config.encoder_layers, config.adapter_rank)
            self.encoder = AdaptedEncoder(locate_base(), *sizes)
        else:
            self.encoder = BertModel(config.bert(config.encoder_layers, decoder=False), add_pooling_layer=False)
        self.decoder = BertModel(config.bert(config.decoder_layers, decoder=True), add_pooling_layer=False)
        self.decoder.set_input_embeddings(self.encoder.get_input_embeddings())
        self.decoder.set_attn_implementation(SHARED_ATTENTION)
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

    def set_dropout(self, p: float) -> None:
        """Drop hidden values with probability `p` in training; attention weights are never dropped."""
        for name, module in self.named_modules():
            if isinstance(module, nn.Dropout) and not name.endswith(("self.dropout", "attn.dropout")):
                module.p = p

    def encode_blocks(self, ids: Tensor, types: Tensor, mask: Tensor) -> Tensor:
        """Encode blocks by themselves: ids, types, mask `(n_blocks, length)` to states `(n_blocks, length, hidden)`."""

        def encode(group: Tensor, length: int) -> Tensor:
            return self.encoder(
                input_ids=ids[group, :length],
                token_type_ids=types[group, :length],
                attention_mask=mask[group, :length],
            ).last_hidden_state

        return encode_blocks(encode, mask, self.config.hidden_size)

    def source(
        self, states: Tensor, ids: Tensor, block: Tensor, copyable: Tensor, afresh: Tensor, cls: Tensor
    ) -> Source:
        """Add the pointer's keys and scores to encoded tokens.

        Args:
            states: `(questions, tokens, hidden)`.
            ids: `(questions, tokens)`.
            block: `(questions, tokens)`, -1 on padding.
            copyable: `(questions, tokens)` bool.
            afresh: `(questions, tokens)` bool.
            cls: `(questions, n_blocks, hidden)`, each block's first state.
        """
        start, end = self.span(states).float().unbind(-1)
        relevance = self.relevance(cls).float().squeeze(-1)
        return Source(
            states,
            self.copy_key(states),
            ids,
            block,
            copyable,
            afresh,
            start,
            end,
            relevance.gather(1, block.clamp(min=0)),
        )

    def decode(self, tokens: Tensor, source: Source, visible: Tensor) -> Tensor:
        """Decoder states for given answer prefixes, all steps at once (training and scoring).

        Args:
            tokens: `(rows, steps)` decoder inputs, beginning with the start token.
            source: the encoded blocks of `questions`; each has the same number of rows, one after another.
            visible: `(rows, tokens)` bool, the source tokens that the coalition includes.

        Returns:
            `(rows, steps, hidden)`.
        """
        return self.decoder(
            input_ids=tokens,
            encoder_hidden_states=source.states,
            encoder_attention_mask=visible[:, None, None, :],
            use_cache=False,
        ).last_hidden_state

    def token_log_probs(self, hidden: Tensor, source: Source, visible: Tensor, targets: Tensor) -> Tensor:
        """Log-probability of each target token, given all before it.

        Args:
            hidden: `(rows, steps, hidden)` decoder states.
            source: the encoded blocks.
            visible: `(rows, tokens)` bool.
            targets: `(rows, steps)` word-piece ids, closed by the stop token, then padding.

        Returns:
            `(rows, steps)` float32; padded steps hold 0.
        """
        rows, steps = targets.shape
        source = source.with_rows(rows)
        runs = torch.zeros(rows, source.ids.shape[1], dtype=torch.int16, device=targets.device)
        is_stop = targets == self.config.stop_id
        match, stop = self.pointer_match(hidden, source), self.stop(hidden).float().squeeze(-1)
        copied = []
        for step in range(steps):
            if step:
                runs = extend_runs(runs, source, targets[:, step - 1, None])
            scores = self.pointer_scores(match[:, step], stop[:, step], source, visible, runs, step)
            same = (source.ids == targets[:, step, None]) & ~is_stop[:, step, None]
            chosen = torch.cat([is_stop[:, step, None], same], -1)
            copied.append(scores.masked_fill(~chosen, -1e4).logsumexp(-1) - scores.logsumexp(-1))
        copy = torch.stack(copied, 1)
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

    def pointer_match(self, hidden: Tensor, source: Source) -> Tensor:
        """How well each source token's key fits each step's query, `(rows, steps, tokens)` float32.

        Args:
            hidden: `(rows, steps, hidden)` decoder states.
            source: encoded blocks of `questions`, whose rows stand one after another.
        """
        rows, steps, size = hidden.shape
        query = self.copy_query(hidden).reshape(len(source.keys), -1, size)
        return (query @ source.keys.transpose(1, 2)).float().view(rows, steps, -1) * size**-0.5

    def pointer_scores(
        self, match: Tensor, stop: Tensor, source: Source, visible: Tensor, runs: Tensor, step: int
    ) -> Tensor:
        """Unnormalised scores of stopping and of copying each source token at one step.

        Args:
            match: `(rows, tokens)`, the step's `pointer_match`.
            stop: `(rows,)`, the step's score of stopping.
            source: encoded blocks, with rows or of a single question.
            visible: `(rows, tokens)` bool.
            runs: `(rows, tokens)` int, how many of the last answer tokens end in a copied run at the token.
            step: number of answer tokens before this one.

        Returns:
            `(rows, 1 + tokens)` float32; the first column is stopping. To go on copying into text that begins afresh
            is to stop.
        """
        w_start, w_relevance, w_follow, w_whole, w_end = self.feature_weights.float()
        scores = match + w_relevance * source.relevance
        if step == 0:
            scores = scores + w_start * source.start
        else:
            before = nn.functional.pad(runs, (1, -1))
            scores = scores + w_follow * (before > 0) + w_whole * (before == step)
            stop = stop + w_end * whole_answer_end(source, runs, visible, step)
        scores = scores.masked_fill(~(visible & source.copyable), -1e4)
        begins = source.afresh.any(0).nonzero().flatten()  # few
        if step and len(begins):
            into = source.afresh[:, begins] & (before[:, begins] > 0)
            stop = torch.logaddexp(stop, scores[:, begins].masked_fill(~into, -1e4).logsumexp(1))
            scores[:, begins] = scores[:, begins].masked_fill(into, -1e4)
        return torch.cat([stop[:, None], scores], 1)


def extend_runs(runs: Tensor, source: Source, last: Tensor) -> Tensor:
    """Lengths of copied runs after one more token: `(batch, tokens)` int, capped by the answer's length.

    A run of length r at a source token says that the last r answer tokens are the r source tokens ending there.
    """
    return (nn.functional.pad(runs, (1, -1)) * ~source.afresh + 1) * ((source.ids == last) & source.copyable)


def whole_answer_end(source: Source, runs: Tensor, visible: Tensor, step: int) -> Tensor:
    """Expected end score where the whole answer so far stands, `(batch,)`; 0 where it stands nowhere.

    The log of the mean of exp(end) over those places, each weighted by its exp(start + relevance).
    """
    whole = (runs == step) & visible
    places = whole.any(0).nonzero().flatten()  # few, so the exponentials are
    whole = whole[:, places]
    begins = (source.start + source.relevance)[:, places - (step - 1)]
    weight = begins.masked_fill(~whole, -1e4)
    expected = (weight + source.end[:, places]).logsumexp(1) - weight.logsumexp(1)
    return expected.masked_fill(~whole.any(1), 0.0)
