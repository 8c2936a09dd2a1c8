"""From passages down to words, against sampling the words of all passages as players of one game.

The second takes too long to wait for: it is timed on a few of its coalitions and scaled up, in two ways: with every
coalition's text read anew, and at its best, with one new variant of a passage encoded for each word that arrives.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import numpy as np

from eval.benchmark.result import Section
from eval.benchmark.settings import BenchmarkSettings
from eval.selection import Example
from eval.tables import Table
from rag.explanation.hierarchy import explain_parts
from rag.explanation.parts import Part, words
from rag.progress import Progress
from rag.readers import Reader
from rag.readers.hidden_parts import PartsReader, Variant, shortened
from rag.session import Session
from rag.settings import HierarchySettings, Settings
from retrievers import Passage

_ANEW = 4  # coalitions of which each is read anew


def levels(settings: BenchmarkSettings, reader: Reader, examples: Sequence[Example], progress: Progress) -> Section:
    """Explain the first questions down to words, three passages opened whatever their values."""
    if not isinstance(reader, PartsReader):
        raise ValueError(f"{reader.name} cannot hide parts of passages; leave out the section levels")
    hierarchy = HierarchySettings(level="word", open="top-n", permutations=settings.word_permutations)
    questions = [(a.question.text, list(a.passages[: settings.passages])) for a in examples[: settings.timed_questions]]
    Session(reader, *questions[0]).attribute()  # warms up
    entries = [_measure(reader, question, passages, hierarchy, settings) for question, passages in questions]

    def over(name: str, digits: str = ".3g") -> str:
        found = [entry[name] for entry in entries]
        return f"{median(found):{digits}} ({min(found):{digits}}–{max(found):{digits}})"

    evaluated, many = over("coalitions", ",.0f"), over("flat_coalitions", ",.0f")
    rows = [
        ["passages, sentences, words", over("seconds"), evaluated, over("variants", ",.0f"), "1"],
        ["flat, each text read anew (scaled up)", over("flat_anew"), many, "–", over("times_anew")],
        ["flat, one new variant each (scaled up)", over("flat_best"), many, "–", over("times_best")],
    ]
    how = (
        f"{len(entries)} questions of {settings.passages} passages, {hierarchy.passages} of them opened, "
        f"{hierarchy.permutations} nested orders, encoding and passage level included; median (least–most) over "
        f"questions. Flat sampling takes every word of all passages as a player and as many orders; it was timed on "
        f"{_ANEW} coalitions read anew, and on {settings.flat_sample} with variants cached."
    )
    heads = ["way", "seconds", "coalitions", "variants encoded", "× ours"]
    return Section("levels", [Table(heads, rows, "Down to the word", how)], {"questions": entries})


def _measure(
    reader: PartsReader,
    question: str,
    passages: Sequence[Passage],
    hierarchy: HierarchySettings,
    settings: BenchmarkSettings,
) -> dict[str, Any]:
    started = time.perf_counter()
    session = Session(reader, question, passages, Settings(hierarchy=hierarchy))
    found = explain_parts(session, session.attribute())
    ours = time.perf_counter() - started
    n_words, anew, best = flat_seconds(reader, question, passages, settings.flat_sample)
    coalitions = n_words * hierarchy.permutations
    return {
        "question": question,
        "seconds": ours,
        "coalitions": found.evaluations,
        "variants": found.variants,
        "words": n_words,
        "flat_coalitions": coalitions,
        "flat_anew": coalitions * anew,
        "flat_best": coalitions * best,
        "times_anew": coalitions * anew / ours,
        "times_best": coalitions * best / ours,
    }


def flat_seconds(
    reader: PartsReader, question: str, passages: Sequence[Passage], steps: int
) -> tuple[int, float, float]:
    """Number of words, and seconds per coalition of them: read anew, and with one new variant each."""
    rng = np.random.default_rng(0)
    players = [(i, word) for i, p in enumerate(passages) for word in words(p, Part("passage", p.id, 0, len(p.text)))]
    steps = min(steps, len(players) - 1)
    order = rng.permutation(len(players))
    first = int(rng.integers(len(players) - steps))
    sets = [set(order[: first + step].tolist()) for step in range(steps + 1)]
    n = len(passages)

    def variant(passage: int, present: set[int]) -> Variant:
        hidden = [(w.start, w.end) for number, (i, w) in enumerate(players) if i == passage and number not in present]
        return Variant(passage, tuple(hidden))

    def read_anew() -> None:
        for present in sets[:_ANEW]:
            left = [shortened(p, variant(i, present)) for i, p in enumerate(passages)]
            reader.generate(reader.encode(question, left), np.ones((1, n), dtype=np.bool_))

    encoded = reader.encode(question, passages)
    begin = [variant(i, sets[0]) for i in range(n)]
    arrivals = [variant(players[order[first + step]][0], sets[step + 1]) for step in range(steps)]

    def read_variants(count: int) -> None:
        rows = np.zeros((count + 1, 2 * n + count), dtype=np.bool_)
        rows[0, n : 2 * n] = True
        for step in range(count):
            rows[step + 1] = rows[step]
            passage = arrivals[step].passage
            before = [2 * n + s for s in range(step) if arrivals[s].passage == passage]
            rows[step + 1, [n + passage, *before]] = False
            rows[step + 1, 2 * n + step] = True
        reader.generate(reader.extend(encoded, begin + arrivals[:count]), rows)

    anew = _timed(read_anew) / len(sets[:_ANEW])
    best = (_timed(lambda: read_variants(steps)) - _timed(lambda: read_variants(0))) / steps
    return len(players), anew, max(best, 0.0)


def _timed(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
