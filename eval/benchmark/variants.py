"""Our decoding with one idea switched off at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from rag.readers.attention import SHARED_ATTENTION, Prefixes

EXPANDED_ATTENTION = "ragshap_expanded"
_NO_BOUND_MB = 1 << 20


@dataclass(frozen=True)
class Variant:
    """A way to run a reader.

    Attributes:
        name: what the table calls it.
        context: given the reader, switches the idea off within a `with` block.
        distinct: whether a coalition that comes again is left out.
    """

    name: str
    context: Callable[[Any], AbstractContextManager[None]] = lambda reader: nullcontext()
    distinct: bool = True


def expanded_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
) -> tuple[Tensor, None]:
    """Attention with keys and values expanded to every row, `(rows, heads, tokens, size)`."""
    if len(key) < len(query):
        key, value = (part.repeat_interleave(len(query) // len(key), 0) for part in (key, value))
    return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)


AttentionInterface.register(EXPANDED_ATTENTION, expanded_attention)
AttentionMaskInterface.register(EXPANDED_ATTENTION, sdpa_mask)


@contextmanager
def _expanded(reader: Any) -> Iterator[None]:
    decoder = getattr(reader.model, "decoder", None) or reader.model.get_decoder()
    decoder.set_attn_implementation(EXPANDED_ATTENTION)
    try:
        yield
    finally:
        decoder.set_attn_implementation(SHARED_ATTENTION)


@contextmanager
def _own_prefixes(reader: Any) -> Iterator[None]:
    pays = Prefixes.pays
    Prefixes.pays = False  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        Prefixes.pays = pays  # type: ignore[method-assign]


def _pass_cost(queries: int) -> Callable[[Any], AbstractContextManager[None]]:
    """Let the reader plan as if one more decoder pass cost so many queries."""

    @contextmanager
    def context(reader: Any) -> Iterator[None]:
        measured, reader.pass_cost = reader.pass_cost, queries
        try:
            yield
        finally:
            reader.pass_cost = measured

    return context


@contextmanager
def _one_chunk(reader: Any) -> Iterator[None]:
    bound, reader.memory_mb = reader.memory_mb, _NO_BOUND_MB
    try:
        yield
    finally:
        reader.memory_mb = bound


OURS = Variant("ours")
VARIANTS = (
    Variant("ours, keys and values expanded to every coalition", _expanded),
    Variant("ours, first layer computed for every coalition", _own_prefixes),
    Variant("ours, never drafting answers", _pass_cost(0)),
    Variant("ours, always drafting answers", _pass_cost(10**9)),
    Variant("ours, all coalitions in one chunk", _one_chunk),
    Variant("ours, coalitions that come again evaluated again", distinct=False),
)
