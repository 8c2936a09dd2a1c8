"""Any `transformers` encoder-decoder as a learner: Fusion-in-Decoder under several coalitions."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput

from rag.questions import QuestionSet
from rag.readers.encoding import encode_blocks
from rag.readers.fid_blocks import FiDTokenizer
from rag.readers.pretrained import load_seq2seq
from rag.readers.rules import decoding_rules
from rag.training.blocks import holding
from rag.training.learner import ParameterGroup
from rag.training.sampling import Example
from retrievers.storage.atomic import new_folder

_IGNORED = -100
MAX_ANSWER_TOKENS = 32


class Seq2SeqLearner:
    """Trains an encoder-decoder to answer, or to end at once where the coalition lacks the answer.

    Args:
        checkpoint: name or folder to start from.
        data: passages and questions.
        max_block_tokens: limit of question and passage together; of a longer passage, a step reads the block with the
            answer, or some block where the passage does not hold it.
        dropout: probability of dropping a hidden value.
        device: a torch device.

    Raises:
        ValueError, OSError: the checkpoint cannot be used; see `rag.readers.fid.FiDReader`.
    """

    def __init__(
        self, checkpoint: str | Path, data: QuestionSet, max_block_tokens: int, dropout: float, device: str = "cpu"
    ):
        self.model, self.tokenizer = load_seq2seq(checkpoint, max_block_tokens, MAX_ANSWER_TOKENS)
        self.model.to(device)
        for module in self.model.modules():
            if isinstance(module, nn.Dropout):
                module.p = dropout
        self.data = data
        self._blocks = FiDTokenizer(self.tokenizer, max_block_tokens, max_passage_tokens=sys.maxsize)
        self._start = decoding_rules(self.model, MAX_ANSWER_TOKENS).start

    def groups(self) -> list[ParameterGroup]:
        """All parameters, pretrained."""
        return [ParameterGroup([p for p in self.model.parameters() if p.requires_grad], True)]

    def usable(self, questions: Sequence[int]) -> list[int]:
        """The questions whose answer stands in a gold passage and is short."""
        short = (index for index in questions if self.data.questions[index].place is not None)
        return [index for index in short if len(self._answer(index)) <= MAX_ANSWER_TOKENS]

    def losses(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        """Cross-entropy of the answers' tokens; the encoder runs once per block, the decoder once per coalition."""
        device = self.model.device
        blocks: list[list[int]] = []
        answers: list[list[int]] = []
        none = self.tokenizer(text_target="").input_ids
        for example in examples:
            blocks += self._read(example)
            answer = self._answer(example.question)
            answers += [answer if seen else none for seen in example.coalitions[:, example.holder]]
        ids, mask = self._blocks.pad(blocks, device)
        steps = max(map(len, answers))
        labels = torch.tensor([a + [_IGNORED] * (steps - len(a)) for a in answers], device=device)
        inputs = torch.cat([torch.full_like(labels[:, :1], self._start), labels[:, :-1]], 1)
        encoder = self.model.get_encoder()

        def encode(group: Tensor, length: int) -> Tensor:
            states: Tensor = encoder(
                input_ids=ids[group, :length], attention_mask=mask[group, :length]
            ).last_hidden_state
            return states

        states = encode_blocks(encode, mask, self.model.config.hidden_size)
        logits = self.model(
            encoder_outputs=BaseModelOutput(last_hidden_state=states.view(len(examples), -1, states.shape[-1])),
            attention_mask=_visible(examples, mask)[:, None, None, :],
            decoder_input_ids=inputs.masked_fill(inputs == _IGNORED, self._start),
            use_cache=False,
        ).logits
        answer_loss = nn.functional.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), ignore_index=_IGNORED)
        return {"total": answer_loss, "answer": answer_loss}

    def state(self) -> dict[str, Tensor]:
        """The weights; names that share one tensor are kept once."""
        weights = self.model.state_dict()
        first = {weights[name].data_ptr(): name for name in reversed(weights)}
        return {name: value for name, value in weights.items() if first[value.data_ptr()] == name}

    def save(self, folder: Path) -> None:
        """Write model and tokenizer as `transformers` does; the folder appears whole or not at all."""
        with new_folder(folder) as building:
            self.model.save_pretrained(building)
            self.tokenizer.save_pretrained(building)

    def calibrate(self, folder: Path, examples: Sequence[Example]) -> None:
        """Nothing: a checkpoint ends at once where it knows no answer, by rank and not by a threshold."""

    def _read(self, example: Example) -> list[list[int]]:
        """A block of each passage, and the question alone."""
        question, passages = self.data.questions[example.question], [self.data.passages[i] for i in example.passages]
        made = self._blocks.blocks(question.text, passages)
        ids = []
        for column, passage in enumerate(passages):
            numbers = np.flatnonzero(made.parts.map.owner == column).tolist()
            chosen = numbers[example.question % len(numbers)]
            if column == example.holder and question.place is not None:
                blocks = [made.parts.blocks[number] for number in numbers]
                chosen = numbers[holding(blocks, passage, question.place)]
            ids.append(made.ids[chosen])
        return [*ids, made.ids[-1]]

    def _answer(self, index: int) -> list[int]:
        ids: list[int] = self.tokenizer(text_target=self.data.answer(self.data.questions[index])).input_ids
        return ids


def _visible(examples: Sequence[Example], mask: Tensor) -> Tensor:
    """Source tokens that each coalition sees, `(n_rows, per_question * length)`; none sees padding.

    The last block of a question holds it alone; the empty coalition sees that block, the others do not.
    """
    rows = [[*coalition, not coalition.any()] for example in examples for coalition in example.coalitions]
    blocks = torch.tensor(rows, device=mask.device)
    tokens = mask.bool().view(len(examples), -1).repeat_interleave(len(rows) // len(examples), 0)
    return blocks.repeat_interleave(mask.shape[1], 1) & tokens
