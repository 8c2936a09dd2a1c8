"""Batches for the embedded reader: blocks of several questions, and coalitions of their passages to learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rag.readers.embedded.blocks import PAD, SEP, Blocks, BlockTokenizer, Tokens, assemble, question_limit
from rag.training.data import QuestionSet, holds_answer

MAX_ANSWER_TOKENS = 20


@dataclass(frozen=True)
class Batch:
    """Questions with `per_question - 1` passages and the question alone as last block."""

    blocks: Blocks  # (n_questions * per_question, length)
    per_question: int
    gold_start: Tensor  # (n_questions,) first answer token within its block, or -1
    gold_end: Tensor  # (n_questions,) last answer token within its block, or -1
    gold_block: Tensor  # (n_questions,) block of the gold passage, or -1 where it was left out
    row_question: Tensor  # (n_rows,) question of each decoder row
    coalitions: Tensor  # (n_rows, per_question) bool: blocks that the row sees
    targets: Tensor  # (n_rows, steps) answer ids, the stop token, padding


class BatchMaker:
    """Makes batch number `step` from a seed, the same whenever it is asked for."""

    def __init__(self, data: QuestionSet, tokenizer: BlockTokenizer, max_block_tokens: int, seed: int):
        self.data = data
        self.max_block_tokens = max_block_tokens
        self.seed = seed
        self.questions = tokenizer.encode([q.text for q in data.questions])
        self.passages = tokenizer.encode([p.full_text for p in data.passages])
        self.spans = [
            _token_span(self.passages[q.gold], q.answer_start, q.answer_start + len(q.answer)) for q in data.questions
        ]

    def usable(self, questions: Sequence[int]) -> list[int]:
        """The questions whose gold answer is short enough to be learned from."""
        return [i for i in questions if self.spans[i][1] - self.spans[i][0] < MAX_ANSWER_TOKENS]

    def batch(self, step: int, questions: Sequence[int], negatives: int, rows: int) -> Batch:
        """One batch.

        Args:
            step: number of the batch; with the seed it fixes every random choice.
            questions: indices of the questions.
            negatives: hard negatives beside each gold passage.
            rows: coalitions per question; the first is all passages, the others are random.
        """
        rng = np.random.default_rng([self.seed, step])
        pairs: list[tuple[Sequence[int], Sequence[int] | None]] = []
        gold_start, gold_end, gold_block, targets, coalitions, row_question = [], [], [], [], [], []
        for number, index in enumerate(questions):
            question, ids = self.data.questions[index], self.questions[index].ids
            pool = self.data.negatives[index][: 4 * max(negatives, 1)]
            chosen = list(rng.permutation(pool)[:negatives]) if negatives else []
            if len(chosen) < negatives:
                chosen += self._fillers(rng, index, chosen, negatives - len(chosen))
            slot = int(rng.integers(negatives + 1))
            chosen.insert(slot, question.gold)
            pairs += [(ids, self.passages[int(p)].ids) for p in chosen]
            pairs.append((ids, None))
            head = min(len(ids), question_limit(self.max_block_tokens)) + 2
            start, end = (head + position for position in self.spans[index])
            inside = end < self.max_block_tokens - 1
            answer = self.passages[question.gold].ids[start - head : end - head + 1]
            gold_start.append(start if inside else -1)
            gold_end.append(end if inside else -1)
            gold_block.append(slot)
            for coalition in _coalitions(rng, negatives + 1, rows, slot):
                row_question.append(number)
                coalitions.append([*coalition, not any(coalition)])
                targets.append([*answer, SEP] if coalition[slot] and inside else [SEP])
        steps = max(map(len, targets))
        return Batch(
            blocks=assemble(pairs, self.max_block_tokens),
            per_question=negatives + 2,
            gold_start=torch.tensor(gold_start),
            gold_end=torch.tensor(gold_end),
            gold_block=torch.tensor(gold_block),
            row_question=torch.tensor(row_question),
            coalitions=torch.tensor(coalitions),
            targets=torch.tensor([target + [PAD] * (steps - len(target)) for target in targets]),
        )

    def _fillers(self, rng: np.random.Generator, index: int, chosen: Sequence[int], n: int) -> list[int]:
        """Random passages without the answer, for a question with too few hard negatives."""
        question, fillers = self.data.questions[index], []
        for passage in rng.permutation(len(self.passages)).tolist():
            if passage == question.gold or passage in chosen:
                continue
            if not holds_answer(self.data.passages[passage].full_text, question.answers):
                fillers.append(passage)
            if len(fillers) == n:
                return fillers
        raise ValueError(
            f"question {question.id} has too few passages without its answer: "
            f"{len(chosen) + len(fillers)} of {len(chosen) + n}; train on more passages"
        )


def _coalitions(rng: np.random.Generator, players: int, rows: int, gold: int) -> list[list[bool]]:
    """All passages; then random subsets of every size, alternately with and without the gold passage."""
    coalitions = [[True] * players]
    for row in range(1, rows):
        size = int(rng.integers(players + 1))
        members = np.zeros(players, bool)
        members[rng.permutation(players)[:size]] = True
        members[gold] = row % 2 == 1
        coalitions.append(members.tolist())
    return coalitions


def _token_span(passage: Tokens, start: int, end: int) -> tuple[int, int]:
    """First and last word piece that overlap characters [start, end)."""
    inside = [i for i, (left, right) in enumerate(passage.offsets) if left < end and right > start]
    return inside[0], inside[-1]
