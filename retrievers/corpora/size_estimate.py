"""The size of a corpus, estimated from its beginning."""

from __future__ import annotations

import gzip
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from retrievers.corpora import formats
from retrievers.corpora.corpus import open_corpus
from retrievers.passage import Passage


class CorpusSample(NamedTuple):
    """The first passages of a corpus, and an estimate of the number of all; None where none can be made."""

    passages: list[Passage]
    total: int | None


def sample_corpus(
    source: str | Path, n_passages: int = 2000, *, format: str = "auto", passage_words: int | None = 100
) -> CorpusSample:
    """Read the first passages, and estimate the number of all from the fraction of the files that they fill.

    SQuAD files cannot be read in part and are read whole. For Hugging Face data sets there is no estimate.

    Raises:
        As :func:`retrievers.load_corpus`, for the part that is read.
    """
    corpus = open_corpus(source, format=format, passage_words=passage_words)
    passages = list(islice(corpus.passages, n_passages))
    n_characters = sum(len(passage.text) for passage in passages)
    if next(corpus.passages, None) is None:
        return CorpusSample(passages, len(passages))
    if corpus.layout == "hf":
        return CorpusSample(passages, None)
    documents, characters = corpus.read["documents"], corpus.read["characters"]
    if corpus.layout == "squad":
        share = characters / (characters + sum(len(record.text) for record in corpus.rest))
    elif corpus.layout == "folder":
        sizes = [path.stat().st_size for path in formats.text_files(Path(source))]
        share = sum(sizes[:documents]) / sum(sizes)
    else:
        share = _share_of_lines(_file(Path(source)), documents)
    return CorpusSample(passages, round(len(passages) * characters / n_characters / share))


def _file(source: Path) -> Path:
    if source.is_file():
        return source
    return next(path for name in ("corpus.jsonl", "corpus.jsonl.gz") if (path := source / name).is_file())


def _share_of_lines(path: Path, n_lines: int) -> float:
    """The fraction of a file's bytes that its first lines take, approximately so for a gzip file."""
    with path.open("rb") as raw, gzip.open(raw) if path.suffix == ".gz" else raw as file:
        read = sum(len(line) for line in islice(file, n_lines))
        return (raw.tell() if path.suffix == ".gz" else read) / path.stat().st_size
