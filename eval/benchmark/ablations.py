"""Our decoding with one idea switched off at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from eval.benchmark.plain import attention
from rag.readers.attention import shared_attention

EXPANDED_ATTENTION = "ragshap_expanded"
UNSHARED_PREFIXES = "ragshap_unshared_prefixes"


@dataclass(frozen=True)
class Variant:
    """A way to run a reader.

    Attributes:
        name: what the table calls it.
        context: given the reader, switches the idea off within a `with` block.
        distinct: whether each coalition is evaluated only once.
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


def unshared_prefixes(*args: Any, prefixes: Any = None, **kwargs: Any) -> tuple[Tensor, None]:
    """Shared attention that computes the first layer for every coalition, as it does the others."""
    return shared_attention(*args, **kwargs)


for _name, _function in ((EXPANDED_ATTENTION, expanded_attention), (UNSHARED_PREFIXES, unshared_prefixes)):
    AttentionInterface.register(_name, _function)
    AttentionMaskInterface.register(_name, sdpa_mask)


def _attention(name: str, reader: Any) -> AbstractContextManager[None]:
    """Another attention function in the decoder."""
    return attention(name, getattr(reader.model, "decoder", None) or reader.model.get_decoder())


@contextmanager
def _attribute(name: str, value: int, reader: Any) -> Iterator[None]:
    """Another value of a reader's attribute."""
    before = getattr(reader, name)
    setattr(reader, name, value)
    try:
        yield
    finally:
        setattr(reader, name, before)


OURS = Variant("ours")
VARIANTS = (
    Variant("ours, keys and values expanded to every coalition", partial(_attention, EXPANDED_ATTENTION)),
    Variant("ours, first layer computed for every coalition", partial(_attention, UNSHARED_PREFIXES)),
    Variant("ours, never drafting answers", partial(_attribute, "pass_cost", 0)),
    Variant("ours, always drafting answers", partial(_attribute, "pass_cost", 10**9)),
    Variant("ours, all coalitions in one chunk", partial(_attribute, "memory_mb", 1 << 20)),
    Variant("ours, repeated coalitions evaluated again", distinct=False),
)
