"""Games, which say what coalitions are worth, as votes, as likelihoods or by any callable; and their cache."""

from collections.abc import Callable, Sequence
from operator import index
from typing import Protocol

import numpy as np
import numpy.typing as npt

from attribution.normalize import answer_key

Coalitions = npt.NDArray[np.bool_]
Values = npt.NDArray[np.float64]
Progress = Callable[[int, int], None]


def all_coalitions(n_players: int) -> Coalitions:
    """Every coalition, (2^n_players, n_players); bit i of the row's number says whether player i is in."""
    return (np.arange(2**n_players)[:, None] >> np.arange(n_players) & 1).astype(np.bool_)


class Game(Protocol):
    """Callable from coalitions, bool (n_coalitions, n_players), to what each of them is worth.

    The values are float (n_coalitions,) or (n_coalitions, n_outputs). The number of outputs may grow from
    call to call; an output not seen before counts as zero for all earlier coalitions. A game may name its
    outputs in an attribute `outputs` and its kind in an attribute `utility`.
    """

    def __call__(self, coalitions: Coalitions, /) -> npt.ArrayLike:
        """Value each row of `coalitions`."""
        ...


class VotesGame:
    """Which answer is generated. Each distinct answer is one output, 1 where a coalition gives it, else 0.

    Args:
        generate: gives one answer string per row of a bool (n_coalitions, n_players) array.
        normalize: maps an answer to a form that is the same for all answers that count as the same.
    """

    utility = "votes"

    def __init__(
        self,
        generate: Callable[[Coalitions], Sequence[str]],
        normalize: Callable[[str], str] = answer_key,
    ) -> None:
        """Start with no answer seen."""
        self._generate = generate
        self._normalize = normalize
        self._columns: dict[str, int] = {}
        self._labels: list[str] = []

    @property
    def outputs(self) -> tuple[str, ...]:
        """The first raw answer seen for each output, or "" if normalisation leaves nothing of it."""
        return tuple(self._labels)

    def __call__(self, coalitions: Coalitions, /) -> Values:
        """Generate and vote; returns (n_coalitions, n_outputs) with a single 1 in each row."""
        answers = self._generate(coalitions)
        if isinstance(answers, str) or len(answers) != len(coalitions):
            given = "a single string" if isinstance(answers, str) else str(len(answers))
            raise ValueError(f"`generate` must return {len(coalitions)} answers, not {given}")
        columns = np.array([self._column(answer) for answer in answers], dtype=np.intp)
        votes = np.zeros((len(coalitions), len(self._labels)))
        votes[np.arange(len(coalitions)), columns] = 1.0
        return votes

    def _column(self, answer: str) -> int:
        if not isinstance(answer, str):
            raise ValueError(f"`generate` must return strings, got {type(answer).__name__} {answer!r}")
        key = self._normalize(answer)
        column = self._columns.setdefault(key, len(self._columns))
        if column == len(self._labels):
            self._labels.append(answer if key else "")
        return column


class LikelihoodGame:
    """The log-probability of given answers, each of which is one output.

    Args:
        score: maps bool (n_coalitions, n_players) and the answers to float (n_coalitions, n_answers).
        answers: the answers to score, all different.
    """

    utility = "likelihood"

    def __init__(self, score: Callable[[Coalitions, Sequence[str]], npt.ArrayLike], answers: Sequence[str]) -> None:
        """Keep the answers in the order given; raises ValueError if there is none, or two are the same."""
        if isinstance(answers, str) or not answers or len(set(answers)) < len(answers):
            raise ValueError(f"`answers` must be different strings in a sequence, got {answers!r}")
        self._score = score
        self.outputs = tuple(answers)

    def __call__(self, coalitions: Coalitions, /) -> Values:
        """Score; returns (n_coalitions, n_answers), raises ValueError for a wrong shape, nan or inf."""
        values = np.asarray(self._score(coalitions, self.outputs), dtype=np.float64)
        expected = (len(coalitions), len(self.outputs))
        if values.shape != expected:
            raise ValueError(f"`score` returned shape {values.shape}, expected {expected}: (n_coalitions, n_answers)")
        for row, column in np.argwhere(~np.isfinite(values))[:1]:
            raise ValueError(
                f"`score` gave {values[row, column]} as log-probability of answer {self.outputs[column]!r} "
                f"for {_describe(coalitions[row])}; clip it to a finite number"
            )
        return values


class CachedGame:
    """A game that never evaluates the same coalition twice.

    It may wrap another CachedGame; each of the two counts the coalitions that it was given. New coalitions are
    evaluated in falling lexicographic order: the full coalition comes first, so that its answer heads the outputs of a
    votes game, and neighbours agree about the first players, because a reader may keep what it read of these.

    Args:
        game: the game to evaluate.
        n_players: number of players.
        batch_size: the most coalitions in one call of `game`.
        budget: the most distinct coalitions to evaluate in all; None (or more than exist) means all 2^n_players.
        progress: called as progress(evaluations, budget) after each call of `game`.

    Attributes:
        budget: the number given, or 2^n_players. It may be lowered for a while; `progress` still gets the whole.
        evaluations: number of distinct coalitions evaluated so far.
        n_outputs: number of outputs seen so far.
    """

    def __init__(
        self,
        game: Game,
        n_players: int,
        *,
        batch_size: int = 1024,
        budget: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Start empty; raises ValueError on impossible counts."""
        check_counts(n_players, budget)
        if batch_size < 1:
            raise ValueError(f"batch_size must be 1 or more, got {batch_size}")
        if isinstance(game, CachedGame) and game.n_players != n_players:
            raise ValueError(f"the cached game has {game.n_players} players, not {n_players}")
        self.game = game
        self.n_players: int = n_players
        self.batch_size = batch_size
        self.budget: int = 2**n_players if budget is None else min(index(budget), 2**n_players)
        self.evaluations = 0
        self.n_outputs = 0
        self._progress, self._whole = progress, self.budget
        self._rows: dict[bytes, int] = {}
        self._values: Values = np.zeros((0, 0))

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs seen so far: the game's own, or "output 0", "output 1", ..."""
        names: Sequence[str] | None = getattr(self.game, "outputs", None)
        if names is None:
            return tuple(f"output {i}" for i in range(self.n_outputs))
        if len(names) < self.n_outputs:
            raise ValueError(f"the game names {len(names)} outputs, but returned {self.n_outputs}: {names!r}")
        return tuple(names[: self.n_outputs])

    @property
    def utility(self) -> str:
        """What the game measures: "votes", "likelihood", or "game" if it does not say."""
        return str(getattr(self.game, "utility", "game"))

    def admissible(self, groups: Coalitions) -> int:
        """How many of the groups of coalitions, from the first on, fit into what is left of the budget.

        Args:
            groups: bool (n_groups, n_coalitions, n_players).
        """
        n_groups, size = len(groups), groups.shape[1]
        keys = self._keys(groups.reshape(n_groups * size, self.n_players))
        left = self.budget - self.evaluations
        new: set[bytes] = set()
        for group in range(n_groups):
            new.update(key for key in keys[group * size : (group + 1) * size] if key not in self._rows)
            if len(new) > left:
                return group
        return n_groups

    def __call__(self, coalitions: Coalitions, /) -> Values:
        """Value bool (n_coalitions, n_players); only new coalitions are evaluated. Returns (n_coalitions, n_outputs).

        Raises:
            ValueError: if coalitions have the wrong shape or type, if the budget does not admit the new ones (none is
                then evaluated), or if the game returns a wrong shape or a non-finite value.
        """
        coalitions = np.asarray(coalitions)
        if coalitions.dtype != np.bool_ or coalitions.shape[1:] != (self.n_players,):
            raise ValueError(
                f"coalitions must be bool (n_coalitions, {self.n_players}), got {coalitions.dtype} {coalitions.shape}"
            )
        keys = self._keys(coalitions)
        new: dict[bytes, int] = {}
        for position, key in enumerate(keys):
            if key not in self._rows:
                new.setdefault(key, position)
        if self.evaluations + len(new) > self.budget:
            raise ValueError(
                f"{len(new)} new coalitions exceed the budget: {self.evaluations} of {self.budget} are spent"
            )
        positions = [new[key] for key in sorted(new, reverse=True)]
        for start in range(0, len(positions), self.batch_size):
            self._evaluate(coalitions[positions[start : start + self.batch_size]])
        rows = np.fromiter((self._rows[key] for key in keys), dtype=np.intp, count=len(keys))
        return self._values[rows, : self.n_outputs]

    def finish(self) -> None:
        """Say that no evaluation follows, by progress(evaluations, evaluations) if the budget is not spent."""
        if self._progress is not None and self.evaluations < self._whole:
            self._progress(self.evaluations, self.evaluations)

    def spreads(self) -> Values:
        """The highest worth of any coalition evaluated so far less the lowest, for each output, (n_outputs,).

        Votes range from 0 to 1, even where all coalitions evaluated so far give the same answer.
        """
        if self.utility == "votes":
            return np.ones(self.n_outputs)
        spreads: Values = np.ptp(self._values[: self.evaluations, : self.n_outputs], axis=0)
        return spreads

    def _keys(self, coalitions: Coalitions) -> list[bytes]:
        packed = np.packbits(coalitions, axis=1)
        raw, width = packed.tobytes(), packed.shape[1]
        return [raw[i * width : (i + 1) * width] for i in range(len(packed))]

    def _evaluate(self, coalitions: Coalitions) -> None:
        """Evaluate coalitions that are all new and all different, and keep their values."""
        keys = self._keys(coalitions)  # before the game sees its argument, which it may change
        values = np.asarray(self.game(coalitions), dtype=np.float64)
        if values.shape == (len(coalitions),):
            values = values[:, None]
        if values.ndim != 2 or len(values) != len(coalitions) or values.shape[1] < max(1, self.n_outputs):
            raise ValueError(
                f"the game returned shape {values.shape} for coalitions of shape {coalitions.shape}; "
                f"expected ({len(coalitions)},) or ({len(coalitions)}, n_outputs), n_outputs being at least "
                f"{max(1, self.n_outputs)}"
            )
        for row, column in np.argwhere(~np.isfinite(values))[:1]:
            raise ValueError(
                f"the game gave {values[row, column]} as output {column} for {_describe(coalitions[row])}; "
                "values must be finite"
            )
        stop = self.evaluations + len(values)
        self._reserve(stop, values.shape[1])
        self._values[self.evaluations : stop, : values.shape[1]] = values
        self._rows.update(zip(keys, range(self.evaluations, stop), strict=True))
        self.evaluations, self.n_outputs = stop, values.shape[1]
        if self._progress is not None:
            self._progress(self.evaluations, self._whole)

    def _reserve(self, n_rows: int, n_columns: int) -> None:
        """Make room by doubling. What has not been written is zero, the worth of an output not seen yet."""
        rows, columns = self._values.shape
        if n_rows > rows or n_columns > columns:
            room = (max(n_rows, 2 * rows) if n_rows > rows else rows, max(n_columns, columns))
            grown = np.zeros(room)
            grown[:rows, :columns] = self._values
            self._values = grown


def check_counts(n_players: int, budget: int | None) -> None:
    """Raise ValueError for a negative number of players, or a budget that admits no evaluation."""
    if n_players < 0:
        raise ValueError(f"n_players must be 0 or more, got {n_players}")
    if budget is not None and budget < 1:
        raise ValueError(f"budget must be 1 evaluation or more, got {budget}")


def _describe(coalition: Coalitions) -> str:
    return f"the coalition of players {np.flatnonzero(coalition).tolist()} out of {len(coalition)}"
