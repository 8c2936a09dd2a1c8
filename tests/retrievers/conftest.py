"""Where the tests find data, and a small corpus that several of them share."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from retrievers import Passage

_DEFAULT_DATA = Path(__file__).parents[2] / "../shared/data"


@pytest.fixture(scope="session")
def scifact() -> Path:
    folder = Path(os.environ.get("RAGSHAP_DATA", _DEFAULT_DATA)) / "scifact"
    if not folder.is_dir():
        pytest.skip(f"SciFact is not at {folder}; set RAGSHAP_DATA to the folder that holds scifact/")
    return folder


@pytest.fixture(scope="session")
def data(scifact: Path) -> Path:
    return scifact.parent


@pytest.fixture(scope="session")
def islands() -> Path:
    return Path(__file__).parents[2] / "examples" / "islands"


@pytest.fixture
def animals() -> list[Passage]:
    return [
        Passage("whale", "The blue whale is the largest animal that has ever lived.", "Blue whale", {"page": 1}),
        Passage("bat", "Bats are the only mammals that can truly fly.", "Bat"),
        Passage("ant", "Ants live in colonies and carry loads far above their own weight."),
        Passage("cat", "The cat sleeps for most of the day and hunts at night.", "Cat", {"tags": ["pet", "naïve"]}),
        Passage("owl", "Owls hunt at night and turn their heads very far.", "Owl"),
    ]


@pytest.fixture
def random_passages() -> list[Passage]:
    """200 passages of 0 to 60 words, drawn from 80 words so that some are frequent and some are rare."""
    rng = random.Random(0)
    words = [f"word{number}" for number in range(80)]
    weights = [1 / (rank + 1) for rank in range(80)]
    return [
        Passage(f"p{number}", " ".join(rng.choices(words, weights, k=rng.randrange(61))) or "the")
        for number in range(200)
    ]
