"""Make a corpus of any size by recombining the sentences of smaller ones: text for tests of scale, not of meaning.

Example: python -m eval.own_tables.synthetic_corpus DATA/openqa DATA/scifact --passages 1000000 --out million.jsonl
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from retrievers import CorpusError, Passage, load_corpus, sentence_spans
from retrievers.storage.atomic import replace_file

_DRAWN = 2**14  # sentences drawn at a time


def pooled_sentences(passages: Iterable[Passage]) -> list[str]:
    """Every distinct sentence of the passages' texts, in their order."""
    spans = ((passage.text, span) for passage in passages for span in sentence_spans(passage.text))
    return list(dict.fromkeys(" ".join(text[span.start : span.end].split()) for text, span in spans))


def recombined(sentences: Sequence[str], n_passages: int, *, words: int = 100, seed: int = 0) -> Iterator[Passage]:
    """Stream passages of exactly `words` words, each of sentences drawn at random, the last of which is cut.

    Raises:
        ValueError: There are no sentences, or a number is below 1.
    """
    if not sentences or n_passages < 1 or words < 1:
        raise ValueError(
            f"at least one sentence, passage and word are needed, got {len(sentences)}, {n_passages} and {words}"
        )
    rng = np.random.default_rng(seed)
    split = [sentence.split(" ") for sentence in sentences]
    draws = chain.from_iterable(rng.integers(len(split), size=_DRAWN).tolist() for _ in iter(int, 1))
    for number in range(n_passages):
        text: list[str] = []
        while len(text) < words:
            text += split[next(draws)]
        yield Passage(f"s{number}", " ".join(text[:words]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the corpus as JSON Lines; the exit code is 1 if a pool cannot be read."""
    parser = argparse.ArgumentParser(
        prog="python -m eval.own_tables.synthetic_corpus", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("pools", nargs="+", help="corpora whose sentences are recombined, in any known layout")
    parser.add_argument("--passages", type=int, required=True, help="how many to write")
    parser.add_argument("--words", type=int, default=100, help="in each passage")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="the file: .jsonl or .jsonl.gz")
    chosen = parser.parse_args(arguments)
    try:
        sentences = pooled_sentences(chain.from_iterable(load_corpus(pool) for pool in chosen.pools))
        passages = recombined(sentences, chosen.passages, words=chosen.words, seed=chosen.seed)
        lines = (json.dumps({"id": p.id, "text": p.text}, ensure_ascii=False) + "\n" for p in passages)
        packed = chosen.out.suffix == ".gz"
        with (
            replace_file(chosen.out) as temporary,
            gzip.open(temporary, "wb", compresslevel=6) if packed else temporary.open("wb") as file,
        ):
            file.writelines(line.encode() for line in lines)
    except (CorpusError, ValueError, OSError) as error:
        sys.stderr.write(f"eval.own_tables.synthetic_corpus: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
