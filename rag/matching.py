"""Which answers count as the same, though they are worded differently."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from attribution.normalize import answer_key
from rag.readers.base import Coalitions
from rag.settings_base import SettingsError

LEAST_F1 = 0.8
LEAST_COSINE = 0.85  # two places of one kind reach 0.80
_NUMBERS = re.compile(r"\d+")


class Matching:
    """Assigns every answer to the first answer like it, its representative, which all are counted as.

    Two answers of which `answer_key` is equal are always the same. Beyond these, an answer belongs to the
    representative that it is most like, the earliest among equals, if they are alike enough:

    - "exact": no others;
    - "contains": one holds the other as a run of words ("12 May 1912" and "It was on 12 May 1912"); the longer the run
      in proportion, the more alike;
    - "tokens": F1 over words is at least 0.8 (`LEAST_F1`), as SQuAD's evaluation has it (Rajpurkar et al. 2016), and
      the numbers in them are the same ("12 May 1912" and "May 12, 1912");
    - "embedding": the cosine of the default encoder's vectors is at least 0.85 (`LEAST_COSINE`), and the numbers in
      them are the same, which vectors hardly tell apart.

    "No answer" is like no other answer. What is a representative depends on the order in which answers come.

    Args:
        name: one of the four kinds.
        first: an answer that is a representative before all others, as the one that is explained should be.

    Raises:
        SettingsError: the encoder cannot be loaded.
    """

    def __init__(self, name: str = "exact", first: str | None = None):
        self._alike = None if name == "exact" else _ALIKE[name]
        self._wordings: dict[str, str] = {}  # as they first came, by normal form
        self._of: dict[str, str] = {}  # the normal form of the representative, by normal form
        if first is not None:
            self.representative(first)

    def representative(self, answer: str) -> str:
        """The answer that an answer counts as, as it was worded when it first came; the answer itself if "exact"."""
        if self._alike is None:
            return answer
        normal = answer_key(answer)
        if normal not in self._of:
            self._of[normal] = self._found(normal)
            self._wordings[normal] = answer
        return self._wordings[self._of[normal]]

    def key(self, answer: str) -> str:
        """A form that is the same for all answers that count as the same."""
        return answer_key(self.representative(answer))

    @property
    def merged(self) -> dict[str, tuple[str, ...]]:
        """The other wordings that each representative stands for so far, of those that stand for any."""
        found: dict[str, list[str]] = {}
        for normal, representative in self._of.items():
            if normal != representative:
                found.setdefault(self._wordings[representative], []).append(self._wordings[normal])
        return {representative: tuple(others) for representative, others in found.items()}

    def _found(self, normal: str) -> str:
        known = [other for other in dict.fromkeys(self._of.values()) if other]
        if self._alike is None or not normal or not known:
            return normal
        likeness = [self._alike(normal, other) for other in known]
        best = int(np.argmax(likeness))
        return known[best] if likeness[best] > 0 else normal


class Votes:
    """The answers of coalitions as a `VotesGame` takes them, each as its representative; counted on the way.

    Args:
        answers: gives one answer for each row of bool `(n_coalitions, n_players)`.
        matching: says which answers are one.
    """

    def __init__(self, answers: Callable[[Coalitions], list[str]], matching: Matching):
        self._answers, self._matching = answers, matching
        self._given: Counter[str] = Counter()

    def __call__(self, coalitions: Coalitions) -> list[str]:
        """One representative for each coalition."""
        found = [self._matching.representative(answer) for answer in self._answers(coalitions)]
        self._given.update(map(self._matching.key, found))
        return found

    def share(self, answer: str) -> float:
        """The fraction of the coalitions that gave an answer; 0 before there is any."""
        total = self._given.total()
        return self._given[self._matching.key(answer)] / total if total else 0.0


def _contains(first: str, second: str) -> float:
    """How much of the longer answer the shorter is, if it is a run of its words; else 0."""
    short, long = sorted((first, second), key=len)
    return len(short) / len(long) if f" {short} " in f" {long} " else 0.0


def _tokens(first: str, second: str) -> float:
    """F1 over words where it is enough, else 0."""
    if not _same_numbers(first, second):
        return 0.0
    from rag.questions.scoring import score_answer  # questions need more than what reads settings should load

    f1 = score_answer(first, [second]).f1
    return f1 if f1 > LEAST_F1 - 1e-9 else 0.0  # a quotient, so that 0.8 may come out below


def _embedding(first: str, second: str) -> float:
    """Cosine where it is enough, else 0."""
    if not _same_numbers(first, second):
        return 0.0
    cosine = float(_vector(first) @ _vector(second))
    return cosine if cosine >= LEAST_COSINE else 0.0


def _same_numbers(first: str, second: str) -> bool:
    return Counter(_NUMBERS.findall(first)) == Counter(_NUMBERS.findall(second))


@lru_cache(maxsize=10_000)
def _vector(normal: str) -> NDArray[np.float32]:
    from retrievers.dense.encoder import default_encoder

    try:
        encoder = default_encoder()
    except (ImportError, OSError) as error:
        raise SettingsError(f"attribution.matching: embedding needs the default encoder: {error}") from None
    return encoder.encode_queries([normal])[0]


_ALIKE: dict[str, Callable[[str, str], float]] = {"contains": _contains, "tokens": _tokens, "embedding": _embedding}
