"""Texts that repeat their title without a stop, as in DPR's corpora."""

from __future__ import annotations

import numpy as np
import pytest

from rag.readers.embedded import EmbeddedReader
from rag.readers.embedded.blocks import repeated_title_end
from retrievers import Passage


def test_what_is_copied_ends_with_a_repeated_title():
    """With the weights that ship: the next sentence does not follow the title into the answer."""
    reader = EmbeddedReader()
    passages = [
        Passage("a", "Margarita A margarita is a cocktail of tequila, orange liqueur and lime juice.", "Margarita"),
        Passage("b", "A mojito is a cocktail of white rum, sugar, lime juice, soda water and mint.", "Mojito"),
    ]
    encoded = reader.encode("Which cocktail comprises tequila, lime juice and orange liqueur?", passages)
    assert reader.generate(encoded, np.ones((1, 2), bool)) == ["Margarita"]
    good, bad = reader.score(encoded, np.ones((1, 2), bool), ["Margarita", "Margarita A margarita"])[0]
    assert good > bad + 3


@pytest.mark.parametrize(
    ("title", "text", "end"),
    [
        ("Khyber Pass", "Khyber Pass The Khyber Pass is", "Khyber Pass. Khyber Pass "),
        ("The Wire", "the wire Wire is", "The Wire. the wire "),
        ("Waco, Texas", "Waco, Texas Waco is", "Waco, Texas. Waco, Texas "),
        ("I Can't", "I Can't \"I Can't\" is", "I Can't. I Can't "),
        ("Apollo", "Apollo 11 was", None),
        ("Apollo", "Apollo. Apollo was", None),
        ("Apollo", "Apollo", None),
        ("Apollo", "Apollonia Apollo was", None),
        ("?", "? ? is", None),
        ("", "Apollo Apollo was", None),
    ],
)
def test_where_a_text_begins_afresh(title, text, end):
    assert repeated_title_end(Passage("a", text, title)) == (None if end is None else len(end))
