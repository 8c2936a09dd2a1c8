"""Cross-encoders, the rerankers that most people use, as a score to compare with."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from itertools import chain
from typing import Any

import numpy as np

from rag.readers.encoding import BlockMap
from rag.readers.long_questions import kept_text
from rag.scores import Scores
from rag.settings_base import SettingsError
from retrievers import Passage
from retrievers.corpora.blocks import cut_passage
from retrievers.dense.encoder import TokenizerRuler


def score_by_cross_encoder(name: str, question: str, passages: Sequence[Passage]) -> Scores:
    """The scores that a cross-encoder gives to titles and texts, `(n_passages,)`.

    A passage that it cannot read at once with the question has the best score of its blocks, which hold all of its
    text. Of a question that fills more than half of what it reads at once, the end is kept (see `kept_text`).

    Args:
        name: a model of the hub or its folder, as sentence-transformers' `CrossEncoder` loads it.
        question: the question.
        passages: the candidates.

    Raises:
        SettingsError: there is no such model, it has no safetensors, it was not
            trained to rerank, or it gives more than one score to a pair.
    """
    if not passages:
        return np.zeros(0)
    model = _load(name)
    asked, texts = _cut(model, question, passages)
    scores = model.predict([(asked, text) for text in chain.from_iterable(texts)], show_progress_bar=False)
    return BlockMap.of(list(map(len, texts))).best(scores)


def _cut(model: Any, question: str, passages: Sequence[Passage]) -> tuple[str, list[list[str]]]:
    """What is read of the question, and the texts of each passage's blocks."""
    limit = model.max_seq_length
    if limit is None or not model.tokenizer.is_fast:
        return question, [[passage.full_text] for passage in passages]
    ruler = TokenizerRuler(model.tokenizer)
    asked, _ = kept_text(question, ruler.places(question), limit // 2)
    prompt = model.prompts.get(model.default_prompt_name)
    frame = model.preprocess([(asked, "")], prompt=prompt)["input_ids"].shape[1]
    room, sizes = max(1, limit - frame), ruler.sizes(passages)
    cut = [cut_passage(*one, room, sys.maxsize, ruler).blocks for one in zip(passages, sizes, strict=True)]
    return asked, [[block.passage.full_text for block in blocks] for blocks in cut]


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
