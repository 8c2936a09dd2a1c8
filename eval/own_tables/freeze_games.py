"""Freeze games of a reader: what every coalition of a question's passages is worth, for comparisons of estimators.

Example: python -m eval.own_tables.freeze_games DATA/openqa --ids even --questions 48 --out eval/games/openqa-even.npz

The file is written anew after each question, so that what has been done is kept if the command is stopped.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from attribution import VotesGame
from attribution.games import all_coalitions
from eval.own_tables.games import Coalitions, FrozenGames
from eval.selection import Example, Selection, select_questions
from rag.readers import Reader
from rag.readers.base import CostlyReader
from rag.readers.loading import load_reader
from rag.settings import ReaderSettings
from rag.settings_base import SettingsError
from retrievers import CorpusError


def freeze(reader: Reader, examples: Iterable[Example], n_players: int) -> Iterator[FrozenGames]:
    """Answers and log-likelihoods of all coalitions of each question's first passages; all so far, after each question.

    Args:
        reader: whose games they are.
        examples: questions with at least `n_players` passages; others are left out.
        n_players: passages per question.
    """
    rows, ids, answers, likelihoods = all_coalitions(n_players), [], [], []
    parts = _alike(rows) if isinstance(reader, CostlyReader) else [np.arange(len(rows))]
    for question, passages in examples:
        if len(passages) < n_players:
            continue
        encoded = reader.encode(question.text, passages[:n_players])
        votes = VotesGame(partial(reader.generate, encoded))
        votes(rows[-1:])
        (full,) = votes.outputs
        given, likelihood = np.zeros(len(rows), np.intp), np.zeros(len(rows))
        for part in parts:
            given[part] = votes(rows[part]).argmax(axis=1)
            likelihood[part] = reader.score(encoded, rows[part], [full])[:, 0]
        ids.append(question.id)
        answers.append(given)
        likelihoods.append(likelihood)
        sys.stderr.write(f"{len(ids)}: {question.id}, {len(votes.outputs)} answers\n")
        yield FrozenGames(tuple(ids), np.array(answers), np.array(likelihoods))


def _alike(rows: Coalitions) -> list[npt.NDArray[np.intp]]:
    """Each coalition by itself, in an order in which its prompt begins as the one before it does.

    The reader of prompts then scores the answer from what it has just read to generate one.
    """
    order = sorted(range(len(rows)), key=lambda row: tuple(np.flatnonzero(rows[row])))
    return [np.array([row]) for row in order]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the games; the exit code is 1 if the data cannot be read."""
    parser = argparse.ArgumentParser(
        prog="python -m eval.own_tables.freeze_games", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("data", help="questions with answers, in any known layout")
    parser.add_argument("--ids", default="all", help="all, odd or even questions")
    parser.add_argument("--questions", type=int, default=48, help="at most so many, drawn at random")
    parser.add_argument("--players", type=int, default=12, help="passages that BM25 finds for each question")
    parser.add_argument("--reader", default="embedded", help="as in reader.checkpoint")
    parser.add_argument("--dtype", default="float32", help="as in reader.dtype")
    parser.add_argument("--out", type=Path, required=True, help="the file: .npz")
    chosen = parser.parse_args(arguments)
    try:
        selection = Selection(data=[chosen.data], k=[chosen.players], ids=chosen.ids, limit=chosen.questions)
        reader = load_reader(ReaderSettings(checkpoint=chosen.reader, dtype=chosen.dtype))
        games = None
        for games in freeze(reader, select_questions(selection).examples(), chosen.players):
            games.save(chosen.out)
        if games is None:
            raise ValueError(f"no question has {chosen.players} passages")
    except (CorpusError, SettingsError, ValueError, OSError) as error:
        sys.stderr.write(f"eval.own_tables.freeze_games: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
