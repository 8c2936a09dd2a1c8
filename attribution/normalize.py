"""Answer normalisation: when two answer strings count as the same answer."""

import re
import string

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")


def normalize_answer(answer: str) -> str:
    """Lower-case `answer` and drop ASCII punctuation, English articles and superfluous white space.

    The normalisation of SQuAD's evaluation (Rajpurkar et al. 2016). The result may be empty, as for "The".
    """
    bare = answer.lower().translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())
