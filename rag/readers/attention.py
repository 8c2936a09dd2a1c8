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
    """Attention of `n` rows over keys and values of one row; anything else goes to torch's own attention.

    Args:
        module: the calling attention module.
        query: `(n, heads, steps, size)`.
        key: `(1, heads, tokens, size)` when shared.
        value: like `key`.
        attention_mask: bool `(n, 1, 1, tokens)`, True where a row may look.
        scaling: factor of the scores; 1/sqrt(size) if None.
        **kwargs: what the model passes besides. T5's position bias is zero in cross-attention, so it is not added.

    Returns:
        `(n, steps, heads, size)`, and None for the weights.
    """
    rows, heads, steps, size = query.shape
    if key.shape[0] == rows:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    folded = query.transpose(0, 1).reshape(heads, rows * steps, size)
    scores = torch.matmul(folded * (size**-0.5 if scaling is None else scaling), key[0].transpose(1, 2))
    if attention_mask is not None:
        scores = scores.view(heads, rows, steps, -1)
        scores = scores.masked_fill_(~attention_mask[:, 0], torch.finfo(scores.dtype).min)
        scores = scores.view(heads, rows * steps, -1)
    output = torch.matmul(scores.softmax(-1), value[0])
    return output.view(heads, rows, steps, size).permute(1, 2, 0, 3), None


AttentionInterface.register(SHARED_ATTENTION, shared_attention)
AttentionMaskInterface.register(SHARED_ATTENTION, sdpa_mask)
