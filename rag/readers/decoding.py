"""Greedy decoding of many coalitions at once; rows that are done leave the batch."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class Stepper(Protocol):
    """One reader's decoder over a batch of rows."""

    def step(self, last: Tensor) -> Tensor:
        """The next token of each row, `(n_rows,)`, after the tokens `last` `(n_rows,)`."""
        ...

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows only; `rows` holds indices into the present batch."""
        ...


def greedy_decode(stepper: Stepper, n_rows: int, start: int, stops: frozenset[int], max_tokens: int) -> list[list[int]]:
    """Decode every row until a stop token or `max_tokens`; the tokens come without start and stop."""
    answers: list[list[int]] = [[] for _ in range(n_rows)]
    alive = list(range(n_rows))
    last = torch.full((n_rows,), start, dtype=torch.long)
    for _ in range(max_tokens):
        last = stepper.step(last)
        going = []
        for position, token in enumerate(last.tolist()):
            if token not in stops:
                answers[alive[position]].append(token)
                going.append(position)
        if not going:
            break
        if len(going) < len(alive):
            kept = torch.tensor(going)
            alive = [alive[position] for position in going]
            last = last[kept]
            stepper.keep(kept)
    return answers
