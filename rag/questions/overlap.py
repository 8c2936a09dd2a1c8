"""Questions of one set that are asked, in the same words or nearly, in another: they must not be trained on."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from rag.questions.matching import whole_words
from rag.settings_base import find_shipped

NEAR = 0.8  # Jaccard similarity of two questions' words


def near_questions(texts: Sequence[str], others: Iterable[str]) -> set[int]:
    """Indices of the texts whose words have a Jaccard similarity of at least `NEAR` with those of one of the others.

    Such a pair shares one of the rarest words of either: all but a fifth of them are shared, so that a few rare ones
    decide which pairs are compared (prefix filtering, Chaudhuri et al. 2006).
    """
    own = [frozenset(whole_words(text).split()) for text in texts]
    theirs = {frozenset(whole_words(text).split()) for text in others}
    counts = Counter(word for words in (*own, *theirs) for word in words)

    def rarest(words: frozenset[str]) -> list[str]:
        return sorted(words, key=lambda word: (counts[word], word))[: int(len(words) * (1 - NEAR) + 1e-9) + 1]

    by_word: dict[str, list[frozenset[str]]] = {}
    for words in theirs:
        for word in rarest(words):
            by_word.setdefault(word, []).append(words)
    return {
        index
        for index, words in enumerate(own)
        if any(
            len(words & other) >= NEAR * len(words | other) for word in rarest(words) for other in by_word.get(word, ())
        )
    }


def question_digest(text: str) -> str:
    """Twelve hexadecimal digits that stand for a question in a published list, which need not repeat its text."""
    return hashlib.sha256(whole_words(text).encode()).hexdigest()[:12]


def read_digests(name: str) -> set[str]:
    """The digests of a file, or of a shipped one such as "held-out", one per line; text after "#" is left out.

    Raises:
        FileNotFoundError: there is no such list.
        ValueError: a line is no digest, or there is none.
    """
    path = Path(name) if Path(name).is_file() else find_shipped(name, ".txt")
    lines = [line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()]
    digests = {line for line in lines if line}
    if not digests or any(len(digest) != 12 or set(digest) - set("0123456789abcdef") for digest in digests):
        raise ValueError(f"{path} is no list of questions: expected 12 hexadecimal digits per line")
    return digests
