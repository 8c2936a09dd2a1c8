"""Answer normalisation: when two answer strings count as the same answer."""

import re
import string
import unicodedata

_INVISIBLE = "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
_PUNCTUATION = str.maketrans("", "", string.punctuation + "،؛؟।॥、。〈〉《》「」『』【】・" + _INVISIBLE)
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")


def normalize_answer(answer: str) -> str:
    """Lower-case `answer` and drop punctuation, English articles and superfluous white space.

    The normalisation of SQuAD's evaluation (Rajpurkar et al. 2016), which drops ASCII punctuation. Beyond it, the
    punctuation of Arabic, Hindi, Chinese and Japanese and invisible characters are dropped, and other forms of a letter
    (ligatures, full width, accents of their own) are the letter, by NFKC. The result may be empty, as for "The".
    """
    if not answer.isascii():
        answer = unicodedata.normalize("NFKC", answer)
    bare = answer.lower().translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())
