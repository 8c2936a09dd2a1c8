"""The training loss: the answer under several coalitions, and the span and relevance heads beside it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rag.readers.embedded.blocks import PAD
from rag.readers.embedded.model import CopyReaderModel, Source
from rag.training.batches import Batch

SPAN_WEIGHT = 0.5
RELEVANCE_WEIGHT = 0.3


@dataclass(frozen=True)
class Losses:
    """The parts of the loss, each a scalar."""

    answer: Tensor
    span: Tensor
    relevance: Tensor

    @property
    def total(self) -> Tensor:
        """The weighted sum that is minimised."""
        return self.answer + SPAN_WEIGHT * self.span + RELEVANCE_WEIGHT * self.relevance


def losses(model: CopyReaderModel, batch: Batch) -> Losses:
    """Losses of one batch; the encoder runs once per block, the decoder once per coalition."""
    source = encode(model, batch)
    of_row = batch.row_question
    rows = Source(*(part[of_row] for part in source))
    visible = batch.coalitions.gather(1, rows.block.clamp(min=0)) & (rows.block >= 0)
    start = torch.full_like(batch.targets[:, :1], model.config.start_id)
    hidden = model.decode(torch.cat([start, batch.targets[:, :-1]], 1), rows, visible)
    log_probs = model.token_log_probs(hidden, rows, visible, batch.targets)
    return Losses(
        answer=-log_probs.sum() / (batch.targets != PAD).sum(),
        span=_span_loss(source, batch),
        relevance=_relevance_loss(source, batch),
    )


def encode(model: CopyReaderModel, batch: Batch) -> Source:
    """All blocks of each question side by side: tensors `(n_questions, per_question * length, ...)`."""
    blocks, per_question = batch.blocks, batch.per_question
    states = model.encode_blocks(blocks.ids, blocks.types, blocks.mask)
    n_blocks, length, hidden = states.shape
    questions = n_blocks // per_question
    index = torch.arange(per_question).repeat_interleave(length).expand(questions, -1)
    flat = (questions, per_question * length)
    return model.source(
        states.reshape(*flat, hidden),
        blocks.ids.reshape(flat),
        index.masked_fill(blocks.mask.reshape(flat) == 0, -1),
        blocks.copyable.reshape(flat),
        states[:, 0].reshape(questions, per_question, hidden),
    )


def _span_loss(source: Source, batch: Batch) -> Tensor:
    """Cross-entropy of gold start and end over all passages together (shared-norm, Clark & Gardner 2018)."""
    length = batch.blocks.ids.shape[1]
    known = batch.gold_start >= 0
    total = torch.zeros(())
    for scores, position in ((source.start, batch.gold_start), (source.end, batch.gold_end)):
        logits = scores.masked_fill(~source.copyable, -1e4)
        target = (batch.gold_block * length + position).masked_fill(~known, -100)
        total = total + nn.functional.cross_entropy(logits, target, ignore_index=-100)
    return total / 2


def _relevance_loss(source: Source, batch: Batch) -> Tensor:
    """Cross-entropy of the gold passage among the question's passages."""
    length = batch.blocks.ids.shape[1]
    scores = source.relevance[:, ::length][:, : batch.per_question - 1]
    return nn.functional.cross_entropy(scores, batch.gold_block)
