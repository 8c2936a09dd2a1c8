"""Cross-encoders, the rerankers that most people use, as a score to compare with."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from rag.scores import Scores
from rag.settings_base import SettingsError
from retrievers import Passage


def score_by_cross_encoder(name: str, question: str, passages: Sequence[Passage]) -> Scores:
    """The scores that a cross-encoder gives to titles and texts, `(n_passages,)`.

    Args:
        name: a model of the hub or its folder, as sentence-transformers' `CrossEncoder` loads it.
        question: the question.
        passages: the candidates.

    Raises:
        SettingsError: there is no such model, it has no safetensors, it was not
            trained to rerank, or it gives more than one score to a pair.
    """
    scores = _load(name).predict([(question, passage.full_text) for passage in passages], show_progress_bar=False)
    return np.asarray(scores, dtype=np.float64)


@cache
def _load(name: str) -> Any:
    from sentence_transformers import CrossEncoder

    try:
        model = CrossEncoder(name, model_kwargs={"use_safetensors": True})
    except (OSError, ValueError) as error:
        raise SettingsError(f"rerank: cross-encoder:{name} cannot be loaded: {error}") from error
    network = model[0].model
    saved, loaded = network.config.architectures or [], type(network).__name__
    if loaded not in saved:  # sentence-transformers would give it a new head, with random weights
        raise SettingsError(
            f"rerank: cross-encoder:{name} holds {' and '.join(saved) or 'no named architecture'}, not the {loaded} "
            "that a cross-encoder is; give a model that was trained to rerank"
        )
    if model.num_labels != 1:
        raise SettingsError(
            f"rerank: cross-encoder:{name} gives {model.num_labels} scores to a question and a passage; a "
            "reranker gives one"
        )
    return model
