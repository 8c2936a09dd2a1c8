"""Cross-attention in which many coalitions share one set of encoded passages.

Coalitions of one question differ in which source tokens they may see, not in the tokens' keys and values. So the keys
and values stay a batch of one, the coalitions' queries are laid side by side, and one fused product per head serves all
of them. `transformers` calls the function below by name; no model code is changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

SHARED_ATTENTION = "ragshap_shared"


@dataclass(frozen=True)
class Prefixes:
    """Which queries stand after the same answer tokens, and what each coalition sees of the source's blocks.

    In a decoder's first layer the queries of one prefix are equal, whatever the coalition. Attention to each block by
    itself is then computed once per prefix; a coalition's output is a mean of its blocks', weighted by their sums of
    exponentials.

    Attributes:
        sizes: tokens of each block, in the order of the keys.
        members: bool `(rows, n_blocks)`.
        node: `(rows, steps)`, the number of each query's prefix.
        first: `(n_prefixes,)`, one query of each prefix, as an index into the flat `(rows * steps)`.
    """

    sizes: Sequence[int]
    members: Tensor
    node: Tensor
    first: Tensor

    @property
    def pays(self) -> bool:
        """Whether there are far fewer pairs of prefix and block than source tokens."""
        return 4 * len(self.first) * len(self.sizes) <= sum(self.sizes)


def distinct(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Numbers 0, 1, ... for equal keys, in their shape, and the flat index of the first of each."""
    found, node = torch.unique(keys, return_inverse=True)
    places = torch.arange(keys.numel(), device=keys.device)
    first = places.new_full((len(found),), keys.numel()).scatter_reduce(0, node.flatten(), places, "amin")
    return node, first


def additive_mask(visible: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """0 where a bool mask is True, the lowest finite number elsewhere."""
    return torch.zeros(visible.shape, dtype=dtype, device=visible.device).masked_fill_(~visible, torch.finfo(dtype).min)


def shared_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    prefixes: Prefixes | None = None,
    seen: list[Tensor] | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention of `rows` queries over the keys and values of fewer `questions`; else torch's own attention.

    Args:
        module: the calling attention module.
        query: `(rows, heads, steps, size)`; the rows of each question stand one after another, equally many.
        key: `(questions, heads, tokens, size)`.
        value: like `key`.
        attention_mask: `(rows, 1, 1, tokens)`, bool (True where a row may look) or additive.
        scaling: factor of the scores; 1/sqrt(size) if None.
        prefixes: used in the first layer, of one question, where it pays.
        seen: gets the attention weights of each layer with fewer questions than rows, `(questions, heads, queries,
            tokens)`.
        **kwargs: what the model passes besides. T5's position bias is zero in cross-attention, so it is not added.

    Returns:
        `(rows, steps, heads, size)`, and None for the weights.
    """
    rows, heads, steps, size = query.shape
    questions, tokens = key.shape[0], key.shape[2]
    if questions == rows:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    folded = query.view(questions, -1, heads, steps, size).transpose(1, 2).reshape(questions, heads, -1, size)
    scale = size**-0.5 if scaling is None else scaling
    mask = attention_mask
    if mask is not None:
        mask = additive_mask(mask, query.dtype) if mask.dtype == torch.bool else mask.to(query.dtype)
        mask = mask.view(questions, 1, -1, 1, tokens).expand(-1, -1, -1, steps, -1)
        mask = mask.reshape(questions, 1, -1, tokens)
    if seen is not None:
        scores = torch.matmul(folded * scale, key.transpose(2, 3)).float()
        seen.append((scores if mask is None else scores + mask).softmax(-1))
    if prefixes is not None and prefixes.pays and getattr(module, "layer_idx", None) == 0:
        output = _merged_blocks(folded * scale, key, value, prefixes)
    elif torch.is_grad_enabled():
        # The fused kernel's backward pass is slow for short blocks.
        scores = torch.matmul(folded * scale, key.transpose(2, 3))
        output = torch.matmul((scores if mask is None else scores + mask).softmax(-1), value)
    else:
        output = nn.functional.scaled_dot_product_attention(folded, key, value, attn_mask=mask, scale=scale)
    output = output.view(questions, heads, -1, steps, size).permute(0, 2, 3, 1, 4)
    return output.reshape(rows, steps, heads, size), None


def block_attention(seen: Sequence[Tensor], sizes: Sequence[int]) -> Tensor:
    """The attention that each head gives to each block's tokens together, `(n_blocks, n_heads)`: mean over queries.

    Args:
        seen: of `shared_attention`, for one question.
        sizes: tokens of each block.

    Returns:
        The heads of all layers side by side, those of the first layer first.
    """
    weights = torch.cat([layer.mean((0, 2)) for layer in seen])
    return torch.stack([part.sum(1) for part in weights.split(list(sizes), 1)])


def _merged_blocks(query: Tensor, key: Tensor, value: Tensor, prefixes: Prefixes) -> Tensor:
    """Attention of scaled queries `(1, heads, n, size)` by way of each prefix's attention to each block."""
    heads, _, size = query.shape[1:]
    few = query[:, :, prefixes.first].to(key.dtype)
    sums, outputs = [], []
    for keys, values in zip(key.split(prefixes.sizes, 2), value.split(prefixes.sizes, 2), strict=True):
        scores = (few @ keys.transpose(2, 3)).float()
        sums.append(scores.logsumexp(-1))
        outputs.append(scores.softmax(-1).to(values.dtype) @ values)
    blocks, nodes = len(prefixes.sizes), len(prefixes.first)
    worth = torch.stack(sums, -1).view(1, heads, 1, nodes * blocks)
    steps = prefixes.node.shape[1]
    own = prefixes.node.flatten()[:, None] == torch.arange(nodes, device=query.device)
    seen = own[:, :, None] & prefixes.members.repeat_interleave(steps, 0)[:, None, :]
    weights = (worth + additive_mask(seen.view(-1, nodes * blocks))).softmax(-1).to(value.dtype)
    return weights @ torch.stack(outputs, 3).view(1, heads, nodes * blocks, size)


AttentionInterface.register(SHARED_ATTENTION, shared_attention)
AttentionMaskInterface.register(SHARED_ATTENTION, sdpa_mask)
