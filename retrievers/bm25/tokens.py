"""Words as BM25 counts them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrievers.base import Progress
from retrievers.errors import IndexFormatError
from retrievers.passage import Passage

_BLOCK = 1000  # passages tokenised between two reports of progress
_STOP_WORD = -1


class Tokens:
    """Words as numbers, by a vocabulary that grows with the passages: lower case, no stop words."""

    def __init__(self, stopwords: str | Sequence[str] | None, stemmer: str | None) -> None:
        """Start with an empty vocabulary; the settings are those of ``BM25Retriever``."""
        bm25s = import_bm25s()
        self._tokenizer = bm25s.tokenization.Tokenizer(
            stopwords=stopwords,
            stemmer=_stem_function(stemmer) if stemmer else None,
        )
        self._numbers = _Numbers(self._tokenizer)

    @property
    def vocabulary(self) -> dict[str, int]:
        """Word, or stem, to number."""
        return self._tokenizer.get_vocab_dict()

    def of_passages(
        self, passages: Sequence[Passage], progress: Progress | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Numbers of the words of the passages' full texts; new words get new numbers.

        Returns:
            The words of all passages one after another, ``(n_words,)``, and how many each has, ``(n_passages,)``.
        """
        parts, lengths = [np.empty(0, dtype=np.int32)], np.zeros(len(passages), dtype=np.int32)
        for start in range(0, len(passages), _BLOCK):
            texts = [passage.full_text for passage in passages[start : start + _BLOCK]]
            found = [list(map(self._numbers.__getitem__, self._tokenizer.splitter(text.lower()))) for text in texts]
            words = np.fromiter(chain.from_iterable(found), dtype=np.int32)
            counted = words != _STOP_WORD
            places = np.repeat(np.arange(len(found)), [len(numbers) for numbers in found])[counted]
            lengths[start : start + len(found)] = np.bincount(places, minlength=len(found))
            parts.append(words[counted])
            if progress:
                progress(start + len(found))
        return np.concatenate(parts), lengths

    def of_query(self, query: str) -> list[int]:
        """Numbers of the query's known words."""
        return _tokenize(self._tokenizer, query, update_vocab=False)

    def save(self, folder: Path) -> None:
        """Write the vocabulary as JSON."""
        self._tokenizer.save_vocab(str(folder))

    def load(self, folder: Path) -> None:
        """Read what :meth:`save` wrote."""
        try:
            self._tokenizer.load_vocab(str(folder))
        except Exception as error:  # bm25s checks nothing
            raise IndexFormatError(f"{folder}: the vocabulary cannot be read: {error}") from error


class _Numbers(dict[str, int]):
    """Words' numbers, or ``_STOP_WORD``: bm25s is asked once for each word, not for each time that it occurs."""

    def __init__(self, tokenizer: Any) -> None:
        super().__init__()
        self._tokenizer = tokenizer

    def __missing__(self, word: str) -> int:
        number = self._tokenizer.word_to_id.get(word)
        if number is None:
            number = next(iter(_tokenize(self._tokenizer, word, update_vocab=True)), _STOP_WORD)
        self[word] = number
        return number


def _tokenize(tokenizer: Any, text: str, *, update_vocab: bool) -> list[int]:
    return tokenizer.tokenize([text], update_vocab=update_vocab, show_progress=False, allow_empty=False)[0]


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
