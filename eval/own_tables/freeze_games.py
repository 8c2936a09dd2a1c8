"""Freeze games of a reader: what every coalition of a question's passages is worth, for comparisons of estimators.

Example: python -m eval.own_tables.freeze_games DATA/openqa --ids even --questions 48 --out eval/games/openqa-even.npz
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from attribution import VotesGame
from eval.own_tables.games import FrozenGames, all_coalitions
from eval.selection import Example, Selection, select_questions
from rag.readers import Reader
from rag.readers.loading import load_reader
from rag.settings_base import SettingsError
from retrievers import CorpusError


def freeze(reader: Reader, examples: Sequence[Example], n_players: int) -> FrozenGames:
    """Answers and log-likelihoods of all coalitions of each question's first passages.

    Args:
        reader: whose games they are.
        examples: questions with at least `n_players` passages; others are left out.
        n_players: passages per question.

    Raises:
        ValueError: no question has so many passages.
    """
    rows, ids, answers, likelihoods = all_coalitions(n_players), [], [], []
    for question, passages in examples:
        if len(passages) < n_players:
            continue
        encoded = reader.encode(question.text, passages[:n_players])
        votes = VotesGame(partial(reader.generate, encoded))
        given = votes(rows).argmax(axis=1)
        full = votes.outputs[given[-1]]
        ids.append(question.id)
        answers.append(given)
        likelihoods.append(reader.score(encoded, rows, [full])[:, 0])
        sys.stderr.write(f"{len(ids)}: {question.id}, {len(votes.outputs)} answers\n")
    if not ids:
        raise ValueError(f"no question has {n_players} passages")
    return FrozenGames(tuple(ids), np.array(answers), np.array(likelihoods))


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
    parser.add_argument("--out", type=Path, required=True, help="the file: .npz")
    chosen = parser.parse_args(arguments)
    try:
        selection = Selection(data=[chosen.data], k=[chosen.players], ids=chosen.ids, limit=chosen.questions)
        examples = list(select_questions(selection).examples())
        freeze(load_reader(chosen.reader), examples, chosen.players).save(chosen.out)
    except (CorpusError, SettingsError, ValueError, OSError) as error:
        sys.stderr.write(f"eval.own_tables.freeze_games: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
