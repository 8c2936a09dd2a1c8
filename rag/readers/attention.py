"""Cross-attention in which many coalitions share one set of encoded passages.

Coalitions of one question differ in which source tokens they may see, not in the tokens' keys and values. So the keys
and values stay a batch of one, the coalitions' queries are laid side by side, and each head needs one matrix product
for all of them. `transformers` calls the function below by name; no model code is changed.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

SHARED_ATTENTION = "ragshap_shared"


def shared_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention of `rows` queries over the keys and values of fewer `questions`; else torch's own attention.

    Args:
        module: the calling attention module.
        query: `(rows, heads, steps, size)`; the rows of each question stand one after another, equally many.
        key: `(questions, heads, tokens, size)`.
        value: like `key`.
        attention_mask: bool `(rows, 1, 1, tokens)`, True where a row may look.
        scaling: factor of the scores; 1/sqrt(size) if None.
        **kwargs: what the model passes besides. T5's position bias is zero in cross-attention, so it is not added.

    Returns:
        `(rows, steps, heads, size)`, and None for the weights.
    """
    rows, heads, steps, size = query.shape
    questions = key.shape[0]
    if questions == rows:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    folded = query.view(questions, -1, heads, steps, size).transpose(1, 2).reshape(questions, heads, -1, size)
    scores = torch.matmul(folded * (size**-0.5 if scaling is None else scaling), key.transpose(2, 3))
    if attention_mask is not None:
        mask = attention_mask.view(questions, 1, -1, 1, key.shape[2])
        scores = scores.view(questions, heads, -1, steps, key.shape[2])
        scores = scores.masked_fill_(~mask, torch.finfo(scores.dtype).min)
        scores = scores.view(questions, heads, -1, key.shape[2])
    output = torch.matmul(scores.softmax(-1), value)
    output = output.view(questions, heads, -1, steps, size).permute(0, 2, 3, 1, 4)
    return output.reshape(rows, steps, heads, size), None


AttentionInterface.register(SHARED_ATTENTION, shared_attention)
AttentionMaskInterface.register(SHARED_ATTENTION, sdpa_mask)
