"""Seconds of the naive way, of the released way, and of ours with each idea switched off, on the same questions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from attribution import VotesGame, explain
from eval.benchmark.ablations import OURS, VARIANTS, Variant
from eval.benchmark.plain import PlainReader, plain
from eval.benchmark.result import Section
from eval.benchmark.settings import BenchmarkSettings
from eval.benchmark.timing import Seconds, seconds, seconds_after
from eval.selection import Example
from eval.tables import Table
from rag.progress import Progress
from rag.readers import EncodedQuestion, Reader
from rag.readers.base import Coalitions

Row = dict[str, Any]


def speed(settings: BenchmarkSettings, reader: Reader, examples: Sequence[Example], progress: Progress) -> Section:
    """Time all ways on the first questions."""
    questions = [Example(a.question, a.passages[: settings.passages]) for a in examples[: settings.timed_questions]]
    rows = compare(settings, reader, questions, plain(reader))
    n = max(len(a.passages) for a in questions)
    return Section(
        "speed",
        [table(f"Votes of {settings.permutations} permutations of {n} passages, {reader.name} reader", settings, rows)],
        {"rows": rows},
    )


def compare(
    settings: BenchmarkSettings,
    reader: Reader,
    questions: Sequence[Example],
    way: PlainReader,
    *,
    naive_sample: int | None = None,
    expanded_sample: int | None = None,
) -> list[Row]:
    """One row per way: seconds per question without and with encoding, coalitions evaluated, coalitions timed."""
    n, repeats = len(questions), settings.repeats
    work = [permutation_coalitions(len(a.passages), settings.permutations, seed) for seed, a in enumerate(questions)]
    total = sum(map(len, work))

    def encode_all() -> list[EncodedQuestion]:
        return [reader.encode(a.question.text, a.passages) for a in questions]

    def row(name: str, coalitions: int, timed: int | None, after: Seconds | None, whole: Seconds) -> Row:
        return {
            "name": name,
            "questions": n,
            "coalitions": coalitions / n,
            "timed": None if timed is None else timed / n,
            "seconds": after,
            "with_encoding": whole,
        }

    encoded = encode_all()
    encode = seconds(encode_all, repeats).times(1 / n)

    few = [evenly(coalitions, naive_sample or settings.naive_sample) for coalitions in work]
    timed = sum(map(len, few))
    taken = seconds(lambda: [naive(way, a, some) for a, some in zip(questions, few, strict=True)], repeats)
    name = "naive: encode and generate for each coalition"
    rows = [row(name, total, timed, None, taken.times(total / timed / n))]

    blocks = [way.encode(a.question.text, a.passages) for a in questions]
    some = [evenly(coalitions, expanded_sample or settings.expanded_sample) for coalitions in work]
    timed = sum(map(len, some))

    def released() -> None:
        for one, coalitions in zip(blocks, some, strict=True):
            for first in range(0, len(coalitions), settings.batch):
                way.generate(one, coalitions[first : first + settings.batch])

    taken = seconds(released, repeats).times(total / timed / n)
    name = f"released way: encode once, generate {settings.batch} at a time"
    rows.append(row(name, total, timed, taken, taken.plus(encode)))

    for variant in (OURS, *VARIANTS):
        evaluated = sum(len(evaluated_coalitions(reader, one, settings.permutations, variant)) for one in encoded)

        def attribute_all(fresh: Sequence[EncodedQuestion], variant: Variant = variant) -> None:
            for one in fresh:
                attribute(reader, one, settings.permutations, variant)

        with variant.context(reader):  # encoded anew, or the answers of the run before would be known
            taken = seconds_after(encode_all, attribute_all, repeats).times(1 / n)
        rows.append(row(variant.name, evaluated, None, taken, taken.plus(encode)))
    return rows


def permutation_coalitions(n_players: int, permutations: int, seed: int) -> Coalitions:
    """The coalitions that random orderings pass through, bool (permutations * n_players, n_players).

    Each ordering gives the n_players prefixes from the first player alone to all players.
    """
    rng = np.random.default_rng(seed)
    places = rng.permuted(np.tile(np.arange(n_players), (permutations, 1)), axis=1)
    return (places[:, None, :] < np.arange(1, n_players + 1)[:, None]).reshape(-1, n_players)


def evenly(coalitions: Coalitions, count: int) -> Coalitions:
    """`count` of the coalitions at even distances in the order of their sizes, or all if there are no more."""
    order = np.argsort(coalitions.sum(axis=1), kind="stable")
    places = (np.arange(count) + 0.5) * len(order) / count
    return coalitions[order[places.astype(int)]] if count < len(order) else coalitions


def naive(way: PlainReader, example: Example, coalitions: Coalitions) -> list[list[int]]:
    """For each coalition encode its passages and generate, as if there were nothing else."""
    answers = []
    for row in coalitions:
        passages = [passage for passage, member in zip(example.passages, row, strict=True) if member]
        blocks = way.encode(example.question.text, passages)
        answers.append(way.generate(blocks, np.ones((1, len(passages)), dtype=np.bool_))[0].tokens)
    return answers


def attribute(reader: Reader, encoded: EncodedQuestion, permutations: int, variant: Variant) -> None:
    """Votes attributed by permutation sampling; where coalitions may repeat, all that the orderings pass through."""
    n = len(encoded.passages)
    game = VotesGame(lambda rows: reader.generate(encoded, rows))
    if variant.distinct:
        explain(game, n, estimator="permutation", permutations=permutations, budget=n * permutations + 1)
    else:
        game(permutation_coalitions(n, permutations, seed=0))


def evaluated_coalitions(
    reader: Reader, encoded: EncodedQuestion, permutations: int, variant: Variant = OURS
) -> Coalitions:
    """The coalitions that `attribute` has the reader evaluate, (n_coalitions, n_passages)."""
    seen: list[Coalitions] = []

    class Recorder:
        def generate(self, encoded: EncodedQuestion, coalitions: Coalitions) -> list[str]:
            seen.append(coalitions)
            return reader.generate(encoded, coalitions)

    attribute(Recorder(), encoded, permutations, variant)  # type: ignore[arg-type]
    return np.concatenate(seen)


def table(title: str, settings: BenchmarkSettings, rows: Sequence[Row]) -> Table:
    """The rows as text; ratios are to our own way, encoding counted on both sides, and after encoding."""
    ours = next(row for row in rows if row["name"] == OURS.name)
    cells = []
    for row in rows:
        after = row["seconds"]
        cells.append(
            [
                row["name"] + (" (scaled up)" if row["timed"] is not None else ""),
                f"{row['coalitions']:,.0f}",
                f"{row['timed']:,.0f}" if row["timed"] is not None else "all",
                "–" if after is None else str(Seconds(*after)),
                str(Seconds(*row["with_encoding"])),
                "–" if after is None else f"{after[0] / ours['seconds'][0]:.3g}",
                f"{row['with_encoding'][0] / ours['with_encoding'][0]:.3g}",
            ]
        )
    how = (
        f"Seconds per question over {rows[0]['questions']} questions, median (least–most) of {settings.repeats} after "
        "a warm-up; ratios to ours within this run, after encoding and with it. Scaled-up rows were timed on "
        "coalitions at even distances in size. The first two rows evaluate every coalition that the orderings pass "
        "through, ours each different one once."
    )
    heads = "way|coalitions|timed on|after encoding, s|with encoding, s|× ours|× with encoding".split("|")
    return Table(heads, cells, title, how)
