"""The size of a corpus, estimated from its beginning."""

from __future__ import annotations

import gzip
from collections import deque
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from retrievers.corpora.corpus import load_corpus
from retrievers.passage import Passage


class CorpusSample(NamedTuple):
    """The first passages of a corpus, and an estimate of the number of all; None where none can be made."""

    passages: list[Passage]
    total: int | None


def sample_corpus(source: str | Path, n_passages: int = 2000, **options: Any) -> CorpusSample:
    """Read the first passages, and estimate the number of all from the fraction of the files that they fill.

    JSON files cannot be read in part and are read whole. For Hugging Face data sets there is no estimate.

    Args:
        source: As of :func:`retrievers.load_corpus`.
        n_passages: Number of passages to read.
        options: As of :func:`retrievers.load_corpus`.

    Raises:
        As :func:`retrievers.load_corpus`, for the part that is read.
    """
    corpus = load_corpus(source, **options)
    passages = list(islice(corpus.passages, n_passages))
    n_characters = sum(len(passage.text) for passage in passages)
    if next(corpus.passages, None) is None:
        return CorpusSample(passages, len(passages))
    if corpus.layout == "hf":
        return CorpusSample(passages, None)
    characters = corpus.read["characters"]
    sizes = [path.stat().st_size for path in corpus.files]
    n_before = corpus.read["files"] - 1
    here = corpus.files[n_before]
    if corpus.layout in ("squad", "json") and len(corpus.files) == 1:
        deque(corpus.rest, maxlen=0)
        share = characters / corpus.read["characters"]
    elif corpus.layout in ("folder", "squad", "json"):
        share = sum(sizes[: n_before + 1]) / sum(sizes)
    else:
        share = (sum(sizes[:n_before]) + sizes[n_before] * _share_of_lines(here, corpus.read["here"])) / sum(sizes)
    return CorpusSample(passages, round(len(passages) * characters / n_characters / share))


def _share_of_lines(path: Path, n_lines: int) -> float:
    """The fraction of a file's bytes that its first lines take, approximately so for a gzip file."""
    with path.open("rb") as raw, gzip.open(raw) if path.suffix == ".gz" else raw as file:
        read = sum(len(line) for line in islice(file, n_lines))
        return (raw.tell() if path.suffix == ".gz" else read) / path.stat().st_size
