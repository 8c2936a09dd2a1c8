"""Words as BM25 counts them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrievers.base import Progress
from retrievers.errors import IndexFormatError
from retrievers.passage import Passage
from retrievers.storage.json_text import parse_json
from retrievers.text import words

_FILE = "vocab.tokenizer.json"
_BLOCK = 1000  # passages tokenised between two reports of progress
_STOP_WORD = -1
_ENGLISH = (
    "a an and are as at be but by for if in into is it no not of on or such that the their then there these they this "
    "to was will with"
).split()
"""Lucene's English stop words. bm25s has the same, but takes half a second to import."""
_WITH_STOP_WORDS = (
    "chinese danish dutch english french german italian korean norwegian portuguese russian spanish swedish turkish"
).split()
"""The languages that bm25s has stop words of."""
BY_LANGUAGE = "language"
"""As stop words or stemmer: those of the language, where there are any."""


class Tokens:
    """Words as numbers, by a vocabulary that grows with the passages.

    Words are those of :func:`retrievers.text.words`, and words of one stem share its number. The vocabulary's file is
    that of a bm25s ``Tokenizer``.
    """

    def __init__(self, language: str | None, stopwords: str | Sequence[str] | None, stemmer: str | None) -> None:
        """Start with an empty vocabulary; the settings are those of ``BM25Retriever``."""
        stemmers = _stemmers() if language or stemmer else []
        if language is not None and language not in (known := sorted({*stemmers, *_WITH_STOP_WORDS})):
            raise ValueError(f"language must be None or one of {', '.join(known)}, got {language!r}")
        if stopwords == BY_LANGUAGE:
            stopwords = language if language in _WITH_STOP_WORDS else None
        if stemmer == BY_LANGUAGE:
            stemmer = language if language in stemmers else None
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
            texts = [words(passage.full_text) for passage in passages[start : start + _BLOCK]]
            for word in dict.fromkeys(chain.from_iterable(texts)):
                if word in self._of_word:
                    continue
                self._of_word[word] = self._of_stem.setdefault(self._stem(word), len(self._of_stem))
            numbers = np.fromiter(map(self._of_word.__getitem__, chain.from_iterable(texts)), dtype=np.int32)
            counted = numbers != _STOP_WORD
            places = np.repeat(np.arange(len(texts)), list(map(len, texts)))[counted]
            lengths[start : start + len(texts)] = np.bincount(places, minlength=len(texts))
            parts.append(numbers[counted])
            if progress:
                progress(start + len(texts))
        return np.concatenate(parts), lengths

    def of_query(self, query: str) -> list[int]:
        """Numbers of the query's words that are in the vocabulary, also by their stem."""
        numbers = []
        for word in words(query):
            number = self._of_word.get(word)
            if number is None:
                number = self._of_stem.get(self._stem(word), _STOP_WORD)
            if number != _STOP_WORD:
                numbers.append(number)
        return numbers

    def save(self, folder: Path) -> None:
        """Write the vocabulary as JSON."""
        of_word = {word: number for word, number in self._of_word.items() if number != _STOP_WORD}
        content = {"word_to_stem": {}, "stem_to_sid": self._of_stem, "word_to_id": of_word}
        (folder / _FILE).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")

    def load(self, folder: Path) -> None:
        """Read what :meth:`save` wrote."""
        try:
            content = parse_json((folder / _FILE).read_text(encoding="utf-8"))
            of_word, of_stem = content["word_to_id"], content["stem_to_sid"]
            if not all(isinstance(number, int) for number in chain(of_word.values(), of_stem.values())):
                raise ValueError("a word has no number")
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise IndexFormatError(f"{folder}: the vocabulary cannot be read: {error}") from error
        self._of_stem = of_stem or dict(of_word)  # without a stemmer, bm25s writes words alone
        self._of_word = of_word | self._stopwords


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


def _stemmers() -> list[str]:
    try:
        import Stemmer
    except ImportError as error:
        raise ImportError("words of a language need the package PyStemmer: pip install PyStemmer") from error
    return list(Stemmer.algorithms())


def _stem_function(language: str) -> Callable[[str], str]:
    if language not in _stemmers():
        raise ValueError(f"stemmer must be None or one of {', '.join(_stemmers())}, got {language!r}")
    import Stemmer

    stem: Callable[[str], str] = Stemmer.Stemmer(language).stemWord
    return stem
