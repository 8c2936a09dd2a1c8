"""Whether a passage holds an answer, as answer recall counts it."""

from __future__ import annotations

from collections.abc import Iterable

from retrievers.text import spaced


def whole_words(text: str) -> str:
    """The words of a text in lower case, with one space before, between and after them; " " if there are none.

    Words are runs of letters and digits, as in DPR's answer matching (Karpukhin et al. 2020), which unlike SQuAD's
    normalisation keeps articles and finds "Mark Twain" in "Mark Twain's". In scripts without spaces between words, and
    in Korean, each character is a word.
    """
    return spaced(text)


def holds_answer(text: str, answers: Iterable[str]) -> bool:
    """Whether any of the answers stands in the text as a run of whole words; one without a word never does."""
    words = whole_words(text)
    return any(sought in words for sought in map(whole_words, answers) if sought != " ")
