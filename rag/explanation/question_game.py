"""The game over the words of a question and the parts of its passages."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from rag.explanation.parts import Part
from rag.explanation.parts_game import PartsGame, Values, Worth
from rag.readers.base import Coalitions, EncodedQuestion
from rag.readers.hidden_parts import Masking, PartsReader


class QuestionGame:
    """Worth of coalitions of parts of passages and words of the question.

    A word that is not in a coalition is hidden in every passage's block, and where the question is read alone. A state
    of the question is encoded once a call, with those passages of which any coalition that has it reads something, and
    forgotten before the next: beside the whole question, one state of it is held at a time. What it is worth with the
    parts of these passages is a `PartsGame`.

    Args:
        reader: reads the question with words hidden, and the variants of the passages.
        encoded: the whole question with the whole passages.
        players: for each passage the parts it was divided into; the first players, one after another.
        question: the parts the question was divided into, at least one; the last players.
        worth: what the encoded passages that a coalition shows are worth, `(n_coalitions,)`.
        masking: how parts and words are hidden.
        progress: called as progress(coalitions done, coalitions asked for) after each batch.

    Attributes:
        variants: number of variants of passages encoded so far, the whole ones under a hidden question left out.
        questions: number of states of the question encoded so far, the whole one left out.
    """

    def __init__(
        self,
        reader: PartsReader,
        encoded: EncodedQuestion,
        players: Sequence[Sequence[Part]],
        question: Sequence[Part],
        worth: Worth,
        masking: Masking = "attention",
        progress: Callable[[int, int], None] | None = None,
    ):
        self.variants = self.questions = 0
        self._reader, self._encoded, self._players, self._question = reader, encoded, players, question
        self._worth, self._masking, self._progress = worth, masking, progress
        self._done = self._asked = 0
        self._passage = np.repeat(np.arange(len(players)), [len(parts) for parts in players])

    def __call__(self, coalitions: Coalitions, /) -> Values:
        """Worth of `(n_coalitions, n_players)`, one column per player."""
        self._asked += len(coalitions)
        parts, words = np.split(coalitions, [len(self._passage)], axis=1)
        states, which = np.unique(words, axis=0, return_inverse=True)
        values = np.empty(len(coalitions))
        for number, state in enumerate(states):
            rows = np.flatnonzero(which.ravel() == number)
            values[rows] = self._evaluate(parts[rows], state)
            self._done += len(rows)
            if self._progress is not None:
                self._progress(self._done, self._asked)
        return values

    def _evaluate(self, parts: Coalitions, state: NDArray[np.bool_]) -> Values:
        """Worth of coalitions of parts, the question being in one state."""
        columns = np.unique(self._passage[parts.any(axis=0)]).tolist()
        encoded = self._encoded
        if state.all():
            columns = list(range(len(self._players)))
        else:
            self.questions += 1
            hidden = tuple((word.start, word.end) for word, show in zip(self._question, state, strict=True) if not show)
            encoded = self._reader.hide_question(encoded, hidden, columns, self._masking)
        if not columns:
            return self._worth(encoded, np.zeros((len(parts), 0), dtype=np.bool_))
        players = [self._players[column] for column in columns]
        game = PartsGame(self._reader, encoded, players, self._worth, self._masking, self._within)
        values = game(parts[:, np.isin(self._passage, columns)])
        self.variants += game.variants
        return values

    def _within(self, done: int, _: int) -> None:
        if self._progress is not None:
            self._progress(self._done + done, self._asked)
