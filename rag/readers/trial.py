"""One short question to a checkpoint that was just loaded, because many load that cannot be asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rag.readers.base import Coalitions, EncodedQuestion, Reader
from rag.readers.fid import FiDReader
from rag.readers.prompt.causal import CausalModel
from rag.readers.prompt.prefixes import ROUNDING
from rag.readers.prompt.reader import PromptReader
from retrievers import Passage

_QUESTION, _ANSWER = "Which bird sings?", "The robin"
_PASSAGES = (
    Passage("long", "The robin sings at dawn, and the heron stands still.", "Birds"),
    Passage("short", "Owls hoot."),
)
_TOKENS = 2  # of each answer


@torch.inference_mode()
def ask_trial(reader: Reader, model: FiDReader | CausalModel) -> None:
    """Ask a question about two passages, and about each of them by itself.

    Args:
        reader: reads with `model`.
        model: the model that was loaded.

    Raises:
        ValueError: an answer's likelihood from one passage depends on the passages beside it in the batch, because
            padding is not masked, or on what follows, because the model sees the whole text at once.
        Exception: whatever a model raises that cannot be used in this way.
    """
    rows = np.array([[True, True], [True, False], [False, True], [False, False]])
    both = reader.encode(_QUESTION, _PASSAGES)
    if isinstance(model, CausalModel):
        assert isinstance(reader, PromptReader)
        ids, mask = model._pad_left([model._tokens(prompt) for prompt in reader.prompts(both, rows)])
        model.model.generate(ids, attention_mask=mask, max_new_tokens=_TOKENS)
    else:
        with _short_answers(model):
            model.generate(both, rows)
    together = _beside_padding(reader, model, both, rows)
    alone = [reader.score(reader.encode(_QUESTION, [p]), rows[:1, :1], [_ANSWER])[0, 0] for p in _PASSAGES]
    if not np.isfinite(together).all():
        raise ValueError(
            f"an answer's log-probability is {together[~np.isfinite(together)][0]}; set reader.dtype=float32"
        )
    apart = float(np.abs(together[1:3] - alone).max())
    if apart > ROUNDING[model.model.dtype] * max(1.0, float(np.abs(alone).max()) / 10):
        raise ValueError(
            f"what is beside a passage in the batch changes an answer's log-probability by {apart:.2g}, so the model "
            "does not mask padding, or does not read each passage by itself"
        )
    if isinstance(model, CausalModel) and _sees_ahead(model):
        raise ValueError("each of its tokens sees those after it, as in an encoder, so it cannot write an answer")


def _beside_padding(
    reader: Reader, model: FiDReader | CausalModel, encoded: EncodedQuestion, rows: Coalitions
) -> NDArray[np.float64]:
    """Log-probabilities of the answer from each coalition, all of which are read in one batch."""
    if isinstance(model, CausalModel):
        assert isinstance(reader, PromptReader)
        prompts = [model._tokens(prompt) for prompt in reader.prompts(encoded, rows)]
        return model.padded_log_probs(prompts, model._reply(_ANSWER)[0]).sum(1)
    return reader.score(encoded, rows, [_ANSWER])[:, 0]


def _sees_ahead(model: CausalModel) -> bool:
    """Whether a token's logits depend on the token after it."""
    ids = torch.tensor([model.tokenizer(_QUESTION).input_ids], device=model.model.device)
    whole, shorter = (model.model(part, use_cache=False).logits[0, -len(part[0]) :] for part in (ids, ids[:, :-1]))
    apart = (whole[:-1].log_softmax(-1) - shorter.log_softmax(-1)).abs().max()
    return bool(apart > ROUNDING[model.model.dtype])


@contextmanager
def _short_answers(model: Any) -> Iterator[None]:
    """With few tokens to an answer, so that the trial costs little."""
    before, model.max_answer_tokens = model.max_answer_tokens, _TOKENS
    try:
        yield
    finally:
        model.max_answer_tokens = before
