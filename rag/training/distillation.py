"""What a reader learns from another beside the labels: where that one looks for the answer.

Labels say where one answer stands. The other reader's distributions also say what else could be the answer, and where
the passages hold none although one of them is labelled (Hinton et al. 2015, "Distilling the knowledge in a neural
network").
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from rag.readers.embedded.model import CopyReaderModel, Source

_HIDDEN = -1e4


class Looks(NamedTuple):
    """Where a reader looks: log-probabilities, each row of which adds up to 1."""

    first: Tensor  # (n_rows, 1 + n_tokens) of "no answer", and of copying each token first, under each coalition
    start: Tensor  # (n_questions, n_tokens) of the answer's first token, all passages seen
    end: Tensor  # (n_questions, n_tokens) of its last token
    relevance: Tensor  # (n_questions, n_passages) of the passage that holds it


def looks(model: CopyReaderModel, source: Source, visible: Tensor, length: int, hidden: Tensor) -> Looks:
    """Where a reader looks.

    Args:
        model: the reader.
        source: its encoded blocks, of which each question's last is the question alone.
        visible: `(n_rows, n_tokens)` bool, what each coalition sees.
        length: tokens of a block, padding included.
        hidden: `(n_rows, n_steps, hidden)` decoder states, of which the first step's are taken.
    """
    many = source.with_rows(len(visible))
    match, stop = model.pointer_match(hidden[:, :1], many), model.stop(hidden[:, 0]).float().squeeze(-1)
    none = torch.zeros_like(many.ids, dtype=torch.int16)
    first = model.pointer_scores(match[:, 0], stop, many, visible, none, 0)
    spans = (scores.masked_fill(~source.copyable, _HIDDEN) for scores in (source.start, source.end))
    relevance = source.relevance[:, ::length][:, :-1]
    return Looks(*(scores.log_softmax(-1) for scores in (first, *spans, relevance)))


def distances(own: Looks, others: Looks) -> Looks:
    """Kullback–Leibler divergences of one reader's distributions from another's: means over their rows, in nats."""
    pairs = zip(own, others, strict=True)
    return Looks(*(nn.functional.kl_div(one, two, reduction="batchmean", log_target=True) for one, two in pairs))
