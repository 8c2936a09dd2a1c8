"""Words as BM25 counts them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from retrievers.base import Progress
from retrievers.passage import Passage

_BLOCK = 1000  # passages tokenised between two reports of progress


class Tokens:
    """Words as numbers, by a vocabulary that grows with the passages: lower case, no stop words."""

    def __init__(self, stopwords: str | Sequence[str] | None, stemmer: str | None) -> None:
        """Start with an empty vocabulary; the settings are those of ``BM25Retriever``."""
        bm25s = import_bm25s()
        self._tokenizer = bm25s.tokenization.Tokenizer(
            stopwords=stopwords,
            stemmer=_stem_function(stemmer) if stemmer else None,
        )

    @property
    def vocabulary(self) -> dict[str, int]:
        """Word, or stem, to number."""
        return self._tokenizer.get_vocab_dict()

    def of_passages(self, passages: Sequence[Passage], progress: Progress | None = None) -> list[list[int]]:
        """Numbers of the words of each passage's full text; new words get new numbers."""
        ids: list[list[int]] = []
        for start in range(0, len(passages), _BLOCK):
            ids += self._tokenize([p.full_text for p in passages[start : start + _BLOCK]], update_vocab=True)
            if progress:
                progress(len(ids))
        return ids

    def of_query(self, query: str) -> list[int]:
        """Numbers of the query's known words."""
        return self._tokenize([query], update_vocab=False)[0]

    def _tokenize(self, texts: list[str], *, update_vocab: bool) -> list[list[int]]:
        return self._tokenizer.tokenize(texts, update_vocab=update_vocab, show_progress=False, allow_empty=False)

    def save(self, folder: Path) -> None:
        """Write the vocabulary as JSON."""
        self._tokenizer.save_vocab(str(folder))

    def load(self, folder: Path) -> None:
        """Read what :meth:`save` wrote."""
        self._tokenizer.load_vocab(str(folder))


def import_bm25s() -> Any:
    """Import bm25s without its side effect of setting its logger to DEBUG."""
    logger = logging.getLogger("bm25s")
    level = logger.level
    import bm25s

    logger.setLevel(level)
    return bm25s


def _stem_function(language: str) -> Callable[[str], str]:
    try:
        import Stemmer
    except ImportError as error:
        raise ImportError(f"stemmer={language!r} needs the package PyStemmer: pip install PyStemmer") from error
    if language not in Stemmer.algorithms():
        raise ValueError(f"stemmer must be None or one of {', '.join(Stemmer.algorithms())}, got {language!r}")
    return Stemmer.Stemmer(language).stemWord
