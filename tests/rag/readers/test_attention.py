from __future__ import annotations

import pytest
import torch
from torch import nn

from rag.readers.attention import shared_attention


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("scaling", [None, 1.0])
@pytest.mark.parametrize("shared", [True, False])
def test_shared_keys_give_what_expanded_keys_give(shared, scaling, steps, masked):
    generator = torch.Generator().manual_seed(0)
    rows, heads, tokens, size = 6, 3, 11, 4
    query = torch.randn(rows, heads, steps, size, generator=generator)
    key, value = (torch.randn(1, heads, tokens, size, generator=generator) for _ in range(2))
    if not shared:
        key, value = (torch.randn(rows, heads, tokens, size, generator=generator) for _ in range(2))
    mask = torch.rand(rows, 1, 1, tokens, generator=generator) < 0.5
    mask[..., 0] = True
    mask = mask if masked else None
    expected = nn.functional.scaled_dot_product_attention(
        query, key.expand(rows, -1, -1, -1), value.expand(rows, -1, -1, -1), attn_mask=mask, scale=scaling
    )
    module = nn.Module()
    module.is_causal = False  # as in every cross-attention module
    output, _ = shared_attention(module, query, key, value, mask, scaling=scaling)
    torch.testing.assert_close(output, expected.transpose(1, 2))
