"""Answer normalisation: when two answer strings count as the same answer."""

import re
import string
import unicodedata

_INVISIBLE = "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
_PUNCTUATION = str.maketrans("", "", string.punctuation + "،؛؟।॥、。〈〉《》「」『』【】・" + _INVISIBLE)
_ARTICLES = re.compile(r"\b(?:a|an|the)\b(?![+#])")
_MEANT = re.compile(r"(?<=\d)\.(?=\d)|(?<!\w)[-\u2212](?=\d)|(?<=\w)[+#]+(?!\w)")  # as in 3.5, -5, A+ and C#


def normalize_answer(answer: str) -> str:
    """Lower-case `answer` and drop punctuation, English articles and superfluous white space.

    The normalisation of SQuAD's evaluation (Rajpurkar et al. 2016), which drops ASCII punctuation. Beyond it, the
    punctuation of Arabic, Hindi, Chinese and Japanese and invisible characters are dropped, and other forms of a letter
    (ligatures, full width, accents of their own) are the letter, by NFKC. The result may be empty, as for "The".
    """
    bare = _lower(answer).translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


def answer_key(answer: str) -> str:
    """A form that is the same for all answers that are the same answer, and empty where there is none.

    It is that of `normalize_answer`, which is made for scoring and takes some answers for others or for none. So this
    keeps decimal points, signs of numbers, and + and # behind a word, and articles where nothing else is left: "A" is
    an answer, and "?!" is none.
    """
    text, pieces, end = _lower(answer), [], 0
    for meant in _MEANT.finditer(text):
        pieces += [text[end : meant.start()].translate(_PUNCTUATION), meant[0].replace("\u2212", "-")]
        end = meant.end()
    bare = "".join([*pieces, text[end:].translate(_PUNCTUATION)])
    return " ".join(_ARTICLES.sub(" ", bare).split()) or " ".join(bare.split())


def _lower(answer: str) -> str:
    return (answer if answer.isascii() else unicodedata.normalize("NFKC", answer)).lower()
