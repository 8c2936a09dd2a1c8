"""Scores that are those of a model that they name: "cross-encoder:NAME", "learned-attention:FILE"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

CROSS_ENCODER, LEARNED_ATTENTION = "cross-encoder", "learned-attention"
NAMED = {CROSS_ENCODER: "a model's name or folder", LEARNED_ATTENTION: "a file of weights"}
"""The scores, and what stands behind the colon."""


def named_models(scores: Sequence[str]) -> Iterator[str]:
    """The models that scores name, which may be files or folders."""
    for name in scores:
        kind, _, model = name.removesuffix("+rrf").partition(":")
        if kind in NAMED:
            yield model
