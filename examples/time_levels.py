"""Time the way down from 20 passages to words, against sampling the words of all passages as players of one game.

The second takes too long to wait for: it is timed on a sample of its coalitions and scaled up, in two ways: with every
coalition's text read anew, and at its best, with one new variant of a passage encoded for each word that arrives.
"""

import statistics
import time
from pathlib import Path

import numpy as np

from rag import Pipeline
from rag.explaining import explain_passages
from rag.hierarchy import explain_parts
from rag.parts import Part, words
from rag.readers.variants import Variant, shortened
from rag.settings import HierarchySettings

CORPUS = Path(__file__).parent / "islands"
QUESTIONS = [
    "How high is the Old Man of Hoy?",
    "In which year did Surtsey emerge from the ocean?",
    "Who constructed the tower on the Bell Rock?",
    "Which ship of the Spanish Armada was lost on Fair Isle?",
    "What do the sheep of North Ronaldsay eat for most of the year?",
]
STEPS = 12  # consecutive coalitions of the sample


def timed(work):
    """Seconds that a call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def flat_seconds(reader, question, passages, rng):
    """Seconds per coalition of words of all passages: read anew, and with one new variant each."""
    players = [(i, word) for i, p in enumerate(passages) for word in words(p, Part("passage", p.id, 0, len(p.text)))]
    order = rng.permutation(len(players))
    first = rng.integers(len(players) - STEPS)
    sets = [set(order[: first + step].tolist()) for step in range(STEPS + 1)]

    def variant(passage, present):
        hidden = [(w.start, w.end) for n, (i, w) in enumerate(players) if i == passage and n not in present]
        return Variant(passage, tuple(hidden))

    def read_anew(present):
        left = [shortened(p, variant(i, present)) for i, p in enumerate(passages)]
        reader.generate(reader.encode(question, left), np.ones((1, len(left)), bool))

    encoded = reader.encode(question, passages)
    n = len(passages)
    begin = [variant(i, sets[0]) for i in range(n)]
    arrivals = [variant(players[order[first + step]][0], sets[step + 1]) for step in range(STEPS)]

    def read_variants(steps):
        rows = np.zeros((steps + 1, n + n + steps), bool)
        rows[0, n : 2 * n] = True
        for step in range(steps):
            rows[step + 1] = rows[step]
            passage = arrivals[step].passage
            rows[step + 1, [n + passage, *(2 * n + s for s in range(step) if arrivals[s].passage == passage)]] = False
            rows[step + 1, 2 * n + step] = True
        reader.generate(reader.extend(encoded, begin + arrivals[:steps]), rows)

    anew = timed(lambda: [read_anew(present) for present in sets[::4]]) / len(sets[::4])
    best = (timed(lambda: read_variants(STEPS)) - timed(lambda: read_variants(0))) / STEPS
    return len(players), anew, best


if __name__ == "__main__":
    pipeline = Pipeline.from_config("default", corpus=CORPUS)
    settings = HierarchySettings(level="word", open="top-n")
    rng = np.random.default_rng(0)
    pipeline.ask(QUESTIONS[0])  # the first call warms caches
    rows = []
    for question in QUESTIONS:
        passages = [hit.passage for hit in pipeline.search(question)]
        started = time.perf_counter()
        explanation = explain_passages(pipeline.reader, question, passages, pipeline.settings.attribution)
        hierarchy = explain_parts(pipeline.reader, explanation, settings)
        ours = time.perf_counter() - started
        n, anew, best = flat_seconds(pipeline.reader, question, passages, rng)
        flat = [n * settings.permutations * seconds for seconds in (anew, best)]
        rows.append((ours, *flat, flat[0] / ours, flat[1] / ours, n, hierarchy.evaluations, hierarchy.variants))
    medians = [statistics.median(column) for column in zip(*rows, strict=True)]
    print(f"20 passages, 3 opened, {settings.permutations} orders (medians of {len(rows)} questions)")
    print(f"passages, sentences, words: {medians[0]:10.1f} s ({medians[6]:.0f} coalitions, {medians[7]:.0f} variants)")
    print(f"flat, text read anew:       {medians[1]:10.0f} s, scaled up from 4 coalitions ({medians[5]:.0f} words)")
    print(f"flat, variants cached:      {medians[2]:10.0f} s, scaled up from {STEPS} coalitions")
    print(f"ratios of the same question: {medians[3]:.0f} and {medians[4]:.0f}")
