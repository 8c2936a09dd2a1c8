"""The embedded reader as a learner: the answer under several coalitions, spans and relevance beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers import BertModel

from rag.questions import QuestionSet
from rag.readers.embedded.blocks import PAD, SEP, Blocks, BlockTokenizer, Tokens, assemble
from rag.readers.embedded.model import CopyReaderModel, Source
from rag.readers.embedded.reader import EmbeddedReader
from rag.readers.embedded.weights import own_state, save_model
from rag.training.blocks import holding, within
from rag.training.calibration import calibrate
from rag.training.distillation import distances, looks
from rag.training.learner import ParameterGroup
from rag.training.sampling import Example

MAX_ANSWER_TOKENS = 20
SPAN_WEIGHT = 0.5
RELEVANCE_WEIGHT = 0.3


class Batch(NamedTuple):
    """Questions with equally many passages, and the question alone as each one's last block."""

    blocks: Blocks  # (n_questions * per_question, length)
    per_question: int
    start: Tensor  # (n_questions,) first answer token within the holder's block, or -1 where a cut divides it
    end: Tensor  # (n_questions,) last answer token within it, or -1
    holder: Tensor  # (n_questions,) block of the passage with the answer
    coalitions: Tensor  # (n_rows, per_question) bool: blocks that each decoder row sees
    targets: Tensor  # (n_rows, steps) answer ids, the stop token, padding


class EmbeddedLearner:
    """Trains a `CopyReaderModel`.

    Args:
        model: the network.
        tokenizer: path of its `tokenizer.json`.
        data: passages and questions.
        max_block_tokens: limit of question and passage together; of a longer passage, a step reads the block with the
            answer, or some block where the passage does not hold it.
        dropout: probability of dropping a hidden value.
        teacher: a reader with the same word pieces; where it looks is learnt beside the labels.

    Raises:
        ValueError: `max_block_tokens` is more than the network reads.
    """

    def __init__(
        self,
        model: CopyReaderModel,
        tokenizer: Path,
        data: QuestionSet,
        max_block_tokens: int,
        dropout: float,
        teacher: CopyReaderModel | None = None,
    ):
        if max_block_tokens > model.config.max_block_tokens:
            most = model.config.max_block_tokens
            raise ValueError(f"max_block_tokens is {max_block_tokens}; this reader reads at most {most} tokens")
        self.model = model
        self.teacher = teacher and teacher.eval()
        self.data = data
        self.max_block_tokens = max_block_tokens
        self._tokenizer = tokenizer
        self._blocks = BlockTokenizer(tokenizer)
        encode = self._blocks.encode
        self._questions = [
            self._blocks.encode_question(question.text, max_block_tokens)[0].ids for question in data.questions
        ]
        # Not `encode_passages`: the weights that ship were trained without knowing where a text begins afresh.
        self._passages = encode([passage.full_text for passage in data.passages])
        self._spans = [
            None if q.place is None else token_span(self._passages[q.place.passage], q.place.start, q.place.end)
            for q in data.questions
        ]
        # Plain products are faster here than torch's fused attention, whose backward pass is slow for short blocks.
        if isinstance(model.encoder, BertModel):
            model.encoder.set_attn_implementation("eager")
        model.set_dropout(dropout)
        # Word embeddings stay as pretrained: two fifths of the parameters, and so few questions cannot improve them.
        model.encoder.get_input_embeddings().weight.requires_grad_(False)

    def groups(self) -> list[ParameterGroup]:
        """The encoder, and all that stands on it."""
        encoder = {id(parameter) for parameter in self.model.encoder.parameters()}
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        return [
            ParameterGroup([parameter for parameter in trained if id(parameter) in encoder], True),
            ParameterGroup([parameter for parameter in trained if id(parameter) not in encoder], False),
        ]

    def usable(self, questions: Sequence[int]) -> list[int]:
        """The questions whose answer stands in a gold passage and is short."""
        spans = ((index, self._spans[index]) for index in questions)
        return [index for index, span in spans if span is not None and span[1] - span[0] < MAX_ANSWER_TOKENS]

    def losses(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        """Losses of one step; the encoder runs once per block, the decoder once per coalition."""
        batch = self.batch(examples)
        source = _encode(self.model, batch)
        block = source.with_rows(len(batch.targets)).block
        visible = batch.coalitions.gather(1, block.clamp(min=0)) & (block >= 0)
        start = torch.full_like(batch.targets[:, :1], self.model.config.start_id)
        hidden = self.model.decode(torch.cat([start, batch.targets[:, :-1]], 1), source, visible)
        log_probs = self.model.token_log_probs(hidden, source, visible, batch.targets)
        parts = {
            "answer": -log_probs.sum() / (batch.targets != PAD).sum(),
            "span": _span_loss(source, batch),
            "relevance": _relevance_loss(source, batch),
        }
        total = parts["answer"] + SPAN_WEIGHT * parts["span"] + RELEVANCE_WEIGHT * parts["relevance"]
        if self.teacher is not None:
            length = batch.blocks.ids.shape[1]
            with torch.no_grad():
                theirs = _encode(self.teacher, batch)
                told = looks(self.teacher, theirs, visible, length, self.teacher.decode(start, theirs, visible))
            far = distances(looks(self.model, source, visible, length, hidden), told)
            parts["taught"] = far.first + SPAN_WEIGHT * (far.start + far.end) / 2 + RELEVANCE_WEIGHT * far.relevance
            total = total + parts["taught"]
        return {"total": total, **parts}

    def state(self) -> dict[str, Tensor]:
        """The weights without the second name of the shared word embeddings."""
        return own_state(self.model)

    def save(self, folder: Path) -> None:
        """Write the reader's folder."""
        save_model(self.model, self._tokenizer, folder)

    def calibrate(self, folder: Path, examples: Sequence[Example]) -> None:
        """Calibrate how the saved reader gives "no answer", and write it again with that."""
        reader = EmbeddedReader(folder, max_block_tokens=self.max_block_tokens, device=str(self.model.gate.bias.device))
        self.model.config = calibrate(reader, self.data, examples)
        self.save(folder)

    def batch(self, examples: Sequence[Example]) -> Batch:
        """The tensors of a step's examples."""
        pairs: list[tuple[Sequence[int], Tokens | None]] = []
        starts, ends, coalitions, targets = [], [], [], []
        for example in examples:
            ids, span = self._questions[example.question], self._spans[example.question]
            assert span is not None, "only usable questions are drawn"
            head = len(ids) + 2
            passages = [self._passages[index] for index in example.passages]
            room = self.max_block_tokens - head - 1
            for column, index in enumerate(example.passages):
                if len(passages[column].ids) > room:
                    passages[column], inside = self._block(example, index, column == example.holder, room)
                    span = inside if column == example.holder else span
            pairs += [(ids, passage) for passage in passages] + [(ids, None)]
            starts.append(-1 if span is None else head + span[0])
            ends.append(-1 if span is None else head + span[1])
            answer = [] if span is None else passages[example.holder].ids[span[0] : span[1] + 1]
            for coalition in example.coalitions:
                coalitions.append([*coalition, not coalition.any()])
                targets.append([*answer, SEP] if coalition[example.holder] else [SEP])
        steps = max(map(len, targets))
        device = self.model.vocabulary_bias.device
        return Batch(
            blocks=assemble(pairs, self.max_block_tokens).to(device),
            per_question=len(pairs) // len(examples),
            start=torch.tensor(starts, device=device),
            end=torch.tensor(ends, device=device),
            holder=torch.tensor([example.holder for example in examples], device=device),
            coalitions=torch.tensor(coalitions, device=device),
            targets=torch.tensor([t + [PAD] * (steps - len(t)) for t in targets], device=device),
        )

    def _block(self, example: Example, index: int, holds: bool, room: int) -> tuple[Tokens, tuple[int, int] | None]:
        """The block of a long passage that a step reads, and the answer's word pieces in it if it holds it whole."""
        passage, place = self.data.passages[index], self.data.questions[example.question].place
        cut, _ = self._blocks.cut([passage], room, len(self._passages[index].ids))
        if not holds or place is None:
            some = cut.texts[example.question % len(cut.blocks)]
            return self._blocks.encode([some.full_text])[0], None
        block = cut.blocks[holding(cut.blocks, passage, place)]
        tokens, (start, end) = self._blocks.encode([block.passage.full_text])[0], within(block, passage, place)
        return tokens, token_span(tokens, start, end) if end <= len(block.passage.full_text) else None


def _encode(model: CopyReaderModel, batch: Batch) -> Source:
    """All blocks of each question side by side: tensors `(n_questions, per_question * length, ...)`."""
    blocks, per_question = batch.blocks, batch.per_question
    states = model.encode_blocks(blocks.ids, blocks.types, blocks.mask)
    n_blocks, length, hidden = states.shape
    questions = n_blocks // per_question
    index = torch.arange(per_question, device=states.device).repeat_interleave(length).expand(questions, -1)
    flat = (questions, per_question * length)
    return model.source(
        states.reshape(*flat, hidden),
        blocks.ids.reshape(flat),
        index.masked_fill(blocks.mask.reshape(flat) == 0, -1),
        blocks.copyable.reshape(flat),
        blocks.afresh.reshape(flat),
        states[:, 0].reshape(questions, per_question, hidden),
    )


def token_span(passage: Tokens, start: int, end: int) -> tuple[int, int] | None:
    """First and last word piece that overlap characters [start, end); None if there is none."""
    inside = [i for i, (left, right) in enumerate(passage.offsets) if left < end and right > start]
    return (inside[0], inside[-1]) if inside else None


def _span_loss(source: Source, batch: Batch) -> Tensor:
    """Cross-entropy of the answer's start and end over all passages together (shared-norm, Clark & Gardner 2018)."""
    length = batch.blocks.ids.shape[1]
    known = batch.start >= 0
    total = source.start.new_zeros(())
    if not known.any():
        return total
    for scores, position in ((source.start, batch.start), (source.end, batch.end)):
        logits = scores.masked_fill(~source.copyable, -1e4)
        target = (batch.holder * length + position).masked_fill(~known, -100)
        total = total + nn.functional.cross_entropy(logits, target, ignore_index=-100)
    return total / 2


def _relevance_loss(source: Source, batch: Batch) -> Tensor:
    """Cross-entropy of the passage with the answer among the question's passages."""
    length = batch.blocks.ids.shape[1]
    scores = source.relevance[:, ::length][:, : batch.per_question - 1]
    return nn.functional.cross_entropy(scores, batch.holder)
