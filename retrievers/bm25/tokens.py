"""Words as BM25 counts them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrievers.base import Progress
from retrievers.errors import IndexFormatError
from retrievers.passage import Passage
from retrievers.storage.json_text import parse_json

_FILE = "vocab.tokenizer.json"
_WORD = re.compile(r"\b\w\w+\b")
_BLOCK = 1000  # passages tokenised between two reports of progress
_STOP_WORD = -1
_ENGLISH = (
    "a an and are as at be but by for if in into is it no not of on or such that the their then there these they this "
    "to was will with"
).split()
"""Lucene's English stop words. bm25s has the same, but takes half a second to import."""


class Tokens:
    """Words as numbers, by a vocabulary that grows with the passages.

    Words are runs of at least two letters, digits or underscores, in lower case. Words of one stem share its number.
    The vocabulary's file is that of a bm25s ``Tokenizer``.
    """

    def __init__(self, stopwords: str | Sequence[str] | None, stemmer: str | None) -> None:
        """Start with an empty vocabulary; the settings are those of ``BM25Retriever``."""
        self._stem = _stem_function(stemmer) if stemmer else str
        self._stopwords = dict.fromkeys(_stop_words(stopwords), _STOP_WORD)
        self._of_stem: dict[str, int] = {}
        self._of_word: dict[str, int] = dict(self._stopwords)

    def __len__(self) -> int:
        """Size of the vocabulary."""
        return len(self._of_stem)

    def of_passages(
        self, passages: Sequence[Passage], progress: Progress | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Numbers of the words of the passages' full texts; new words get new numbers.

        Returns:
            The words of all passages one after another, ``(n_words,)``, and how many each has, ``(n_passages,)``.
        """
        parts, lengths = [np.empty(0, dtype=np.int32)], np.zeros(len(passages), dtype=np.int32)
        for start in range(0, len(passages), _BLOCK):
            texts = [_WORD.findall(passage.full_text.lower()) for passage in passages[start : start + _BLOCK]]
            for word in dict.fromkeys(chain.from_iterable(texts)):
                if word in self._of_word:
                    continue
                self._of_word[word] = self._of_stem.setdefault(self._stem(word), len(self._of_stem))
            words = np.fromiter(map(self._of_word.__getitem__, chain.from_iterable(texts)), dtype=np.int32)
            counted = words != _STOP_WORD
            places = np.repeat(np.arange(len(texts)), list(map(len, texts)))[counted]
            lengths[start : start + len(texts)] = np.bincount(places, minlength=len(texts))
            parts.append(words[counted])
            if progress:
                progress(start + len(texts))
        return np.concatenate(parts), lengths

    def of_query(self, query: str) -> list[int]:
        """Numbers of the query's words that are in the vocabulary, also by their stem."""
        numbers = []
        for word in _WORD.findall(query.lower()):
            number = self._of_word.get(word)
            if number is None:
                number = self._of_stem.get(self._stem(word), _STOP_WORD)
            if number != _STOP_WORD:
                numbers.append(number)
        return numbers

    def save(self, folder: Path) -> None:
        """Write the vocabulary as JSON."""
        words = {word: number for word, number in self._of_word.items() if number != _STOP_WORD}
        content = {"word_to_stem": {}, "stem_to_sid": self._of_stem, "word_to_id": words}
        (folder / _FILE).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")

    def load(self, folder: Path) -> None:
        """Read what :meth:`save` wrote."""
        try:
            content = parse_json((folder / _FILE).read_text(encoding="utf-8"))
            words, stems = content["word_to_id"], content["stem_to_sid"]
            if not all(isinstance(number, int) for number in chain(words.values(), stems.values())):
                raise ValueError("a word has no number")
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise IndexFormatError(f"{folder}: the vocabulary cannot be read: {error}") from error
        self._of_stem = stems or dict(words)  # without a stemmer, bm25s writes words alone
        self._of_word = words | self._stopwords


def _stop_words(named: str | Sequence[str] | None) -> Iterable[str]:
    if named is None or not isinstance(named, str):
        return named or ()
    if named in ("en", "english"):
        return _ENGLISH
    import logging

    logger = logging.getLogger("bm25s")
    level = logger.level
    from bm25s.tokenization import Tokenizer

    logger.setLevel(level)  # the import sets it to DEBUG
    return Tokenizer(stopwords=named).stopwords


def _stem_function(language: str) -> Callable[[str], str]:
    try:
        import Stemmer
    except ImportError as error:
        raise ImportError(f"stemmer={language!r} needs the package PyStemmer: pip install PyStemmer") from error
    if language not in Stemmer.algorithms():
        raise ValueError(f"stemmer must be None or one of {', '.join(Stemmer.algorithms())}, got {language!r}")
    stem: Callable[[str], str] = Stemmer.Stemmer(language).stemWord
    return stem
