"""Attention with a learned weight for each head as a score to compare with; see `eval.attribution.learn_attention`."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from rag.readers.base import AttentiveReader, EncodedQuestion, Reader
from rag.scores import Scores
from rag.settings_base import SettingsError
from retrievers.storage.json_text import parse_json

FORMAT = "ragshap-learned-attention"


def score_by_learned_attention(path: str, reader: Reader, encoded: EncodedQuestion, answer: str) -> Scores:
    """The weighted sum of the attention that each passage gets from the heads, `(n_passages,)`.

    Args:
        path: a file of weights.
        reader: must have cross-attention.
        encoded: the question with its passages.
        answer: what the reader answers from all of them.

    Raises:
        SettingsError: the reader has no cross-attention, or other heads than the weights are for; or the file cannot
            be read.
    """
    if not isinstance(reader, AttentiveReader):
        raise SettingsError("rerank: learned-attention is for readers with cross-attention; leave it out")
    weights, heads = _load(path), reader.attention_by_head(encoded, answer)
    if heads.shape[1] != len(weights):
        raise SettingsError(
            f"rerank: learned-attention:{path} holds weights of {len(weights)} heads, and the reader "
            f"{reader.name!r} has {heads.shape[1]}; learn them for this reader"
        )
    scores: Scores = heads @ weights
    return scores


@cache
def _load(path: str) -> Scores:
    try:
        content = parse_json(Path(path).read_text(encoding="utf-8"))
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ValueError(f"expected an object of the format {FORMAT!r}")
        weights = np.array(content["weights"], dtype=np.float64)
        if weights.ndim != 1 or not np.isfinite(weights).all():
            raise ValueError("expected a list of numbers as weights")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"rerank: learned-attention:{path} cannot be read: {error}") from None
    return weights
