"""Whether a text may be English, by its letters and by the words that every text is full of."""

from __future__ import annotations

from functools import cache

from retrievers.text import latin, words

_OTHERS = "DANISH DUTCH FRENCH GERMAN ITALIAN NORWEGIAN PORTUGUESE SPANISH SWEDISH TURKISH".split()
_ASKING = "what when where who which how why whom whose".split()


def may_be_english(text: str) -> bool:
    """Not if half of its letters or more are not Latin, or by its stop words.

    Another language has two of these then, more than there are of English, and no English one is left beside them.

    English stop words that the other language has too ("in", "is") are explained by it; a foreign title in an English
    question leaves "who" unexplained. The lists are those of bm25s. None of 7,268 questions and 4,738 sentences of
    XQuAD (English) and SQuAD 2.0's dev part is taken for another language. Of 36 questions and short sentences in 14
    other languages, 21 are found: questions of three or four words mostly pass, and so do languages without a list
    (Finnish, Indonesian, Polish, Swahili). The rule was chosen on the same texts, from nine.
    """
    if latin(text) <= 0.5:
        return False
    english, others = _stop_words()
    found = words(text)
    own = [word for word in found if word in english]
    least = max(2, len(own) + 1)
    return not any(other.issuperset(own) and sum(word in other for word in found) >= least for other in others)


@cache
def _stop_words() -> tuple[frozenset[str], list[frozenset[str]]]:
    """Those of English, with the words that ask, and those of each other language."""
    from bm25s import stopwords  # takes a while to import

    english = frozenset([*stopwords.STOPWORDS_EN, *stopwords.STOPWORDS_EN_PLUS, *_ASKING])
    return english, [frozenset(map(str.lower, getattr(stopwords, f"STOPWORDS_{name}"))) for name in _OTHERS]
