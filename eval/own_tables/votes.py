"""Whether our decoding gives the votes that plain generation gives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eval.benchmark.plain import plain
from eval.benchmark.result import Section
from eval.benchmark.settings import BenchmarkSettings
from eval.selection import Example
from eval.tables import Table
from rag.progress import Progress
from rag.readers import Reader
from rag.readers.base import Coalitions

TIE = 1e-4  # of log-probability


def votes(settings: BenchmarkSettings, reader: Reader, examples: Sequence[Example], progress: Progress) -> Section:
    """Compare on random coalitions of all sizes; a difference is explained where plain generation met a tie."""
    way = plain(reader)
    compared, differing = 0, []
    for number, one in enumerate(examples[: settings.vote_questions]):
        passages = one.passages[: settings.passages]
        coalitions = random_coalitions(settings.vote_coalitions, len(passages), number)
        answers = reader.generate(reader.encode(one.question.text, passages), coalitions)
        blocks = way.encode(one.question.text, passages)
        for first in range(0, len(coalitions), settings.batch):
            part = slice(first, first + settings.batch)
            made = way.generate(blocks, coalitions[part])
            for row, answer, generated in zip(coalitions[part], answers[part], made, strict=True):
                compared += 1
                if not way.same_vote(answer, generated):
                    where = {"question": one.question.text, "coalition": np.flatnonzero(row).tolist()}
                    differing.append({**where, "answer": answer, "gap": generated.gap})
    ties = sum(entry["gap"] < TIE for entry in differing)
    rows = [
        ["coalitions compared", f"{compared:,}"],
        ["same vote", f"{compared - len(differing):,} ({100 * (1 - len(differing) / compared):.2f} %)"],
        [f"different, explained by a tie under {TIE:g}", f"{ties}"],
        ["different, not explained", f"{len(differing) - ties}"],
    ]
    how = (
        f"Random coalitions of all sizes over {min(len(examples), settings.vote_questions)} questions; greedy "
        "generation on expanded states with stock attention. A tie: the two likeliest tokens of a step, or the "
        "probability of no answer and its threshold, differ by less in log-probability."
    )
    return Section(
        "votes",
        [Table(["coalitions", "number"], rows, "Votes against plain generation", how)],
        {"compared": compared, "different": differing},
    )


def random_coalitions(count: int, n_players: int, seed: int) -> Coalitions:
    """The empty and the full coalition, then random ones, each with its own probability of membership."""
    rng = np.random.default_rng(seed)
    rows = rng.random((count, n_players)) < rng.random((count, 1))
    rows[:1], rows[1:2] = False, True
    return rows
