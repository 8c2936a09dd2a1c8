"""Plain greedy generation, without any of the reader's own ways to save work.

This is what our decoding is compared with, in answers and in time. It encodes a question's blocks once, expands their
states to as many rows as there are coalitions, hides with an attention mask what a coalition leaves out, and generates
greedily with the model's stock attention, as the script released with TextGenSHAP does (Enouen et al. 2023). The
cross-attention's keys and values are computed anew for each batch and each row, and rows that are finished stay in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from attribution import normalize_answer
from rag.readers import Reader
from rag.readers.attention import SHARED_ATTENTION
from rag.readers.base import Coalitions
from rag.readers.embedded import EmbeddedReader
from rag.readers.embedded.blocks import assemble
from rag.readers.embedded.model import Source, extend_runs
from rag.readers.encoding import encode_blocks
from rag.readers.fid import FiDReader
from retrievers import Passage

STOCK = "sdpa"  # torch's own attention


class Blocks(NamedTuple):
    """A question's encoded blocks, the passages' first and the question alone last, without padding."""

    states: Tensor  # (1, n_tokens, hidden)
    passage: Tensor  # (n_tokens,) passage of each token
    n_blocks: Tensor  # (n_passages,) blocks of each passage
    source: Source | None  # for the embedded reader's pointer

    @classmethod
    def of(cls, states: Tensor, row: Tensor, owner: NDArray[np.intp], source: Source | None = None) -> Blocks:
        """The blocks of tokens in the blocks `row`, of which all but the last are of the passages `owner`."""
        n_blocks = torch.from_numpy(np.bincount(owner)).to(row.device)
        passages = torch.from_numpy(np.append(owner, len(n_blocks))).to(row.device)
        return cls(states, passages[row], n_blocks, source)

    def visible(self, coalitions: Coalitions) -> Tensor:
        """Which tokens each coalition sees, bool (n_coalitions, n_tokens); the empty one sees the question alone."""
        alone = ~coalitions.any(axis=1, keepdims=True)
        return torch.from_numpy(np.concatenate([coalitions, alone], axis=1)).to(self.passage.device)[:, self.passage]


class Generated(NamedTuple):
    """A generated answer: its tokens without start and stop, and how close a call it was.

    `gap` is the smallest difference of log-probability, over the steps, between the token taken and the next best.
    """

    tokens: list[int]
    gap: float


class PlainFiD:
    """The stock `generate` of a `transformers` encoder-decoder."""

    def __init__(self, reader: FiDReader) -> None:
        """Use the reader's model and tokenizer."""
        self.model: Any = reader.model
        self._tokenizer: Any = reader.tokenizer
        self._limit = reader.max_answer_tokens
        self._blocks = reader.blocks

    @torch.inference_mode()
    def encode(self, question: str, passages: Sequence[Passage]) -> Blocks:
        """Encode blocks as the reader does."""
        blocks = self._blocks.blocks(question, passages)
        ids, mask = self._blocks.pad(blocks.ids, self.model.device)
        encoder = self.model.get_encoder()

        def encode(group: Tensor, length: int) -> Tensor:
            states: Tensor = encoder(ids[group, :length], attention_mask=mask[group, :length]).last_hidden_state
            return states

        states = encode_blocks(encode, mask, self.model.config.hidden_size).to(self.model.dtype)
        row, column = mask.bool().nonzero(as_tuple=True)
        return Blocks.of(states[row, column][None], row, blocks.parts.map.owner)

    @torch.inference_mode()
    def generate(self, blocks: Blocks, coalitions: Coalitions) -> list[Generated]:
        """One call of the model's `generate`."""
        with attention(STOCK, self.model):
            made = self.model.generate(
                encoder_outputs=BaseModelOutput(last_hidden_state=blocks.states.expand(len(coalitions), -1, -1)),
                attention_mask=blocks.visible(coalitions).long(),
                do_sample=False,
                num_beams=1,
                max_new_tokens=self._limit,
                return_dict_in_generate=True,
                output_scores=True,
            )
        ends = self.model.generation_config.eos_token_id
        ends = set(ends if isinstance(ends, list) else [ends])
        best = torch.stack(made.scores, 1).float().topk(2).values
        gaps = (best[..., 0] - best[..., 1]).tolist()
        found = []
        for row, gap in zip(made.sequences[:, 1:].tolist(), gaps, strict=True):
            steps = next((step for step, token in enumerate(row) if token in ends), len(row))
            found.append(Generated(row[:steps], min(gap[: steps + 1])))
        return found

    def tokens(self, answer: str) -> list[int]:
        """Tokens of an answer, without special ones."""
        found: list[int] = self._tokenizer(text_target=answer, add_special_tokens=False).input_ids
        return found

    def same_vote(self, answer: str, generated: Generated) -> bool:
        """Compare the texts."""
        text = self._tokenizer.decode(generated.tokens, skip_special_tokens=True)
        return bool(normalize_answer(text) == normalize_answer(answer))


class PlainEmbedded:
    """The equivalent loop for the embedded reader's model, which has no `generate` of its own.

    The pointer's keys are computed once and shared by the rows, because no `generate` has them.
    """

    def __init__(self, reader: EmbeddedReader) -> None:
        """Use the reader's model, tokenizer and settings."""
        self._reader = reader
        self.model = reader.model

    @torch.inference_mode()
    def encode(self, question: str, passages: Sequence[Passage]) -> Blocks:
        """Encode blocks as the reader does."""
        reader = self._reader
        words = reader.tokenizer.encode_question(question.strip(), reader.max_block_tokens)[0].ids
        room = reader.max_block_tokens - len(words) - 3  # for "[CLS]" and two "[SEP]"
        parts, pieces = reader.tokenizer.cut(passages, room, reader.max_passage_tokens)
        pairs = [*((words, passage) for passage in pieces), (words, None)]
        blocks = assemble(pairs, reader.max_block_tokens).to(reader.device)
        states = self.model.encode_blocks(blocks.ids, blocks.types, blocks.mask)
        row, column = blocks.mask.bool().nonzero(as_tuple=True)
        tensors = (states, blocks.ids, blocks.copyable, blocks.afresh)
        flat, ids, copyable, afresh = (tensor[row, column][None] for tensor in tensors)
        source = self.model.source(flat, ids, row[None], copyable, afresh, states[None, :, 0])
        return Blocks.of(flat, row, parts.map.owner, source)

    @torch.inference_mode()
    def generate(self, blocks: Blocks, coalitions: Coalitions) -> list[Generated]:
        """Greedy search over the whole vocabulary until the last row is finished."""
        assert blocks.source is not None
        model, source, visible = self.model, blocks.source, blocks.visible(coalitions)
        start, stop = model.config.start_id, model.config.stop_id
        rows = len(visible)
        sizes = torch.from_numpy(coalitions).to(visible.device).long() @ blocks.n_blocks
        thresholds = self._reader.no_answer_thresholds(int(blocks.n_blocks.sum()))[sizes]
        states = blocks.states.expand(rows, -1, -1)
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        runs = torch.zeros(visible.shape, dtype=torch.int32, device=visible.device)
        last = torch.full((rows, 1), start, device=visible.device)
        finished = torch.zeros(rows, dtype=torch.bool, device=visible.device)
        gap = torch.full((rows,), torch.inf, device=visible.device)
        taken = []
        with attention(STOCK, model.decoder):
            for step in range(self._reader.max_answer_tokens):
                if step:
                    runs = extend_runs(runs, source, last)
                hidden = model.decoder(
                    input_ids=last,
                    encoder_hidden_states=states,
                    encoder_attention_mask=visible.long(),
                    past_key_values=cache,
                    use_cache=True,
                ).last_hidden_state
                scores = model.pointer_scores(
                    model.pointer_match(hidden, source)[:, 0],
                    model.stop(hidden)[:, 0, 0],
                    source,
                    visible,
                    runs,
                    step,
                )
                declines = None if step else thresholds  # stopping at once means "no answer"
                last, closeness = self._choose(hidden[:, 0], scores.softmax(-1), source, declines)
                gap = torch.where(finished, gap, torch.minimum(gap, closeness))
                last = torch.where(finished[:, None], stop, last)
                taken.append(last[:, 0])
                finished |= last[:, 0] == stop
                if finished.all():
                    break
        answers = torch.stack(taken, 1).tolist()
        return [
            Generated(row[: row.index(stop)] if stop in row else row, float(close))
            for row, close in zip(answers, gap, strict=True)
        ]

    def _choose(
        self, hidden: Tensor, pointer: Tensor, source: Source, declines: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The likeliest token of each row, (rows, 1), and how far its log-probability is above the next, (rows,).

        Where `declines` is given, (rows,), stopping is chosen where its probability reaches that, and else never.
        """
        model, stop = self.model, self.model.config.stop_id
        gate = model.gate(hidden).sigmoid()
        probabilities = gate * model.vocabulary_logits(hidden).softmax(-1)
        probabilities.index_add_(1, source.ids[0], (1 - gate) * pointer[:, 1:])
        probabilities[:, stop] += (1 - gate[:, 0]) * pointer[:, 0]
        log_stop = probabilities[:, stop].log()
        if declines is not None:
            probabilities[:, stop] = 0
        best = probabilities.topk(2)
        gap = best.values[:, 0].log() - best.values[:, 1].log()
        chosen = best.indices[:, :1]
        if declines is not None:
            above = log_stop - declines.log()
            chosen = torch.where(above[:, None] >= 0, stop, chosen)
            gap = torch.where(above >= 0, above, torch.minimum(gap, -above))
        return chosen, gap

    def tokens(self, answer: str) -> list[int]:
        """Word pieces of an answer."""
        return list(self._reader.tokenizer.encode([answer])[0].ids)

    def same_vote(self, answer: str, generated: Generated) -> bool:
        """Compare word pieces, or what is left of them after normalisation: spelling does not count for votes."""
        tokens, decode = self.tokens(answer), self._reader.tokenizer.decode
        return tokens == generated.tokens or normalize_answer(decode(tokens)) == normalize_answer(
            decode(generated.tokens)
        )


PlainReader = PlainEmbedded | PlainFiD


def plain(reader: Reader) -> PlainReader:
    """The plain way of a reader; raises ValueError for one that is neither embedded nor an encoder-decoder."""
    if isinstance(reader, EmbeddedReader):
        return PlainEmbedded(reader)
    if isinstance(reader, FiDReader):
        return PlainFiD(reader)
    raise ValueError(f"plain generation is known of the embedded reader and of FiDReader, not of {type(reader)}")


@contextmanager
def attention(name: str, model: Any) -> Iterator[None]:
    """Let a model attend by the function of that name, and by ours again afterwards."""
    model.set_attn_implementation(name)
    try:
        yield
    finally:
        model.set_attn_implementation(SHARED_ATTENTION)
