"""Text in one form, and cut into words, whatever script it is written in."""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise

import regex

WORDS = 2
"""The version of the rule by which :func:`words` cuts: an index made by another does not fit the questions."""
# All but the Latin, Greek, Cyrillic and Armenian letters, and signs, that have one form and no marks.
_UNUSUAL = re.compile(
    "[^\0-\u00ac\u00ae-\u00b4\u00b6-\u012f\u0131-\u02ff\u0388-\u0482\u048a-\u058f\u1e00-\u1eff\u2010-\u2027\u2030-\u205f"
    "\u2070-\u207f\u20a0-\u20cf\u2100-\u2125\u2150-\u215f\u2190-\u22ff]"
)
# Soft hyphens, zero-width spaces and joiners, marks of direction, variation selectors.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\U000e0000-\U000e0fff]+"
)
_BREAKS = dict.fromkeys(map(ord, "\u00ad\u200b\u2060\ufeff"))  # those that say where a line may break, and the BOM
# Vowel signs that Arabic and Hebrew mostly leave out, and the stroke that makes Arabic words longer.
_POINTS = re.compile("[\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0640\u064b-\u0652\u0670]+")
# Micro sign, subscript digits, Roman numerals, squared units, ligatures, presentation forms, full and half width.
_VARIANTS = re.compile("[\u00b5\u2080-\u2089\u2160-\u217f\u3300-\u33ff\ufb00-\ufdff\ufe30-\ufefe\uff00-\uffef]+")
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}ー\p{Hangul}\p{Line_Break=SA}"
_CHARACTER = regex.compile(rf"(?=[{_UNSPACED}])\X")
_LETTER = rf"[[\w\p{{N}}]--[{_UNSPACED}]]"
_PIECE = regex.compile(
    rf"(?P<run>[{_UNSPACED}][{_UNSPACED}\p{{M}}]*)|(?P<word>{_LETTER}+)(?:['\u2019]{_LETTER}\b)?", regex.V1
)
_ANY_LETTER, _LATIN_LETTER = regex.compile(r"\p{L}"), regex.compile(r"\p{Latin}")
_WORD = re.compile(r"(\w+)(?:['\u2019]\w\b)?")
_BETWEEN_WORDS = re.compile(r"[\W_]+")
_BETWEEN_ALL_WORDS = regex.compile(r"[^\w\p{N}]+|_+")


def plain(text: str) -> str:
    """The text in NFC, without what is invisible, and with letters of another width or form as they are usually typed.

    "①", "m²" and "½" stay as they are, because in NFKC 10² would be 102.
    """
    if _is_usual(text):
        return text
    usual = _VARIANTS.sub(lambda found: unicodedata.normalize("NFKC", found[0]), text)
    return unicodedata.normalize("NFC", _INVISIBLE.sub("", usual))


def unbroken(text: str) -> str:
    """The text without soft hyphens, zero-width spaces and byte order marks."""
    return text if text.isascii() else text.translate(_BREAKS)


def latin(text: str) -> float:
    """The fraction of a text's letters that are Latin ones, 1 if it has no letters."""
    n_letters = len(_ANY_LETTER.findall(text))
    return len(_LATIN_LETTER.findall(text)) / n_letters if n_letters else 1.0


def words(text: str) -> list[str]:
    """The words of a text as BM25 counts them: runs of letters, their marks, digits and underscores, in lower case.

    The "s" of "whale's" is none. Scripts that put no spaces between words, and Korean, whose particles are written
    together with nouns, give each character and each pair of neighbours instead.
    """
    if _is_usual(text):
        found: list[str] = _WORD.findall(text.lower())
        return found
    found = []
    for piece in _PIECE.finditer(_folded(text)):
        if piece["word"] is not None:
            found.append(piece["word"])
        else:
            characters = _CHARACTER.findall(piece["run"])
            found += [*characters, *map("".join, pairwise(characters))]
    return found


def spaced(text: str) -> str:
    """The words of a text in lower case, with one space before, between and after them; " " if there are none.

    Here, words are runs of letters and digits, and each character of a script without spaces.
    """
    if _is_usual(text):
        found = _BETWEEN_WORDS.sub(" ", text.lower())
    else:
        found = _BETWEEN_ALL_WORDS.sub(" ", _CHARACTER.sub(r" \g<0> ", _folded(text)))
    return f" {found.strip()} ".replace("  ", " ")


def _is_usual(text: str) -> bool:
    return text.isascii() or not _UNUSUAL.search(text)


def _folded(text: str) -> str:
    return _POINTS.sub("", plain(text)).lower().replace("i\u0307", "i")  # what "İ" becomes
