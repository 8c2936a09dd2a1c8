"""The result of an attribution: values of players for outputs, immutable, saved as JSON."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from operator import index
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from attribution.games import Values

FORMAT = "ragshap-attribution"
VERSION = 2


class Contribution(NamedTuple):
    """What one player contributes to one output, with its standard error."""

    player: str
    value: float
    error: float


@dataclass(frozen=True, eq=False, repr=False)
class Attribution:
    """Values of players for the outputs of a game. Immutable (the arrays are read-only); equal by content.

    Attributes:
        players: names of the players.
        outputs: names of the outputs; for votes the answers, beginning with that of the full coalition.
        values: semivalues, (n_outputs, n_players).
        errors: standard errors of the values, same shape, zero where exact.
        pivots: mean over orderings (or coalitions) of max(0, marginal), same shape: for votes how often a
            player turns the answer *to* that output, the score of the script released with TextGenSHAP
            (Enouen et al. 2023); None if not estimated.
        full: worth of the coalition of all players, (n_outputs,).
        empty: worth of the coalition of none, (n_outputs,).
        output: index of the explained output.
        evaluations: number of distinct coalitions that were evaluated.
        estimator: "exact", "permutation", "kernel", "gaussian-process", "regression-adjusted" or "banzhaf".
        semivalue: "shapley", "banzhaf", "leave-one-out" or "first-in".
        utility: "votes", "likelihood" or "game".
        p: inclusion probability of the Banzhaf value; None for Shapley.
        samples: number of orderings or draws; None where exact.
        seed: seed of the sampling; None where exact.
        budget: the budget of evaluations given, if any.
        until: the goal of the stopping rule, as a clause ("the first 5 are certain at 95%"); None without a rule.
        reached: whether the goal was reached before the budget ran out; None without a rule.
    """

    players: tuple[str, ...]
    outputs: tuple[str, ...]
    values: Values
    errors: Values
    pivots: Values | None
    full: Values
    empty: Values
    output: int
    evaluations: int
    estimator: str
    semivalue: str
    utility: str
    p: float | None = None
    samples: int | None = None
    seed: int | None = None
    budget: int | None = None
    until: str | None = None
    reached: bool | None = None

    def __post_init__(self) -> None:
        """Copy the arrays and make them read-only; raises ValueError where parts do not fit together."""
        for name in ("players", "outputs"):
            names = getattr(self, name)
            if isinstance(names, str) or not all(isinstance(label, str) for label in names):
                raise ValueError(f"{name} must be a sequence of strings, got {names!r}")
            object.__setattr__(self, name, tuple(names))
        for name in ("evaluations", "samples", "seed", "budget"):
            number = getattr(self, name)
            object.__setattr__(self, name, None if number is None else index(number))
        if (self.until is None) != (self.reached is None) or not isinstance(self.until, str | None):
            raise ValueError(f"until (a string) and reached go together, got {self.until!r} and {self.reached!r}")
        matrix = (len(self.outputs), len(self.players))
        for name, shape in _ARRAYS.items():
            if name == "pivots" and self.pivots is None:
                continue
            array = np.array(getattr(self, name), dtype=np.float64)
            expected = matrix[: len(shape)]
            if array.shape != expected:
                raise ValueError(f"{name} must be {shape} = {expected}, got {array.shape}")
            if not np.isfinite(array).all():
                raise ValueError(f"{name} holds a number that is not finite")
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        object.__setattr__(self, "output", output_index(self.output, self.outputs))

    @property
    def efficiency_gap(self) -> Values:
        """Sum of an output's values less full - empty, (n_outputs,): zero for Shapley, up to rounding."""
        gap: Values = self.values.sum(axis=1) - (self.full - self.empty)
        return gap

    def of(self, output: int | str) -> Values:
        """Values of all players for one output, by index or name: (n_players,)."""
        row: Values = self.values[output_index(output, self.outputs)]
        return row

    def top(self, k: int, output: int | str | None = None) -> list[Contribution]:
        """The k players of highest value for an output (the explained one), ties in the order of players."""
        if k < 0:
            raise ValueError(f"k must be 0 or more, got {k}")
        row = self.output if output is None else output_index(output, self.outputs)
        return [
            Contribution(self.players[i], float(self.values[row, i]), float(self.errors[row, i]))
            for i in descending(self.values[row])[:k]
        ]

    def to_dict(self) -> dict[str, Any]:
        """Everything in lists, strings and numbers, with the format's name and version."""
        content = {field.name: getattr(self, field.name) for field in fields(self)}
        for name, value in content.items():
            if isinstance(value, np.ndarray):
                content[name] = value.tolist()
        content |= {"players": list(self.players), "outputs": list(self.outputs)}
        return {"format": FORMAT, "version": VERSION, **content}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Attribution":
        """Inverse of `to_dict`, of this version or version 1; raises ValueError for any other content."""
        if not isinstance(content, Mapping) or content.get("format") != FORMAT:
            raise ValueError(f"not an attribution: expected a mapping with format {FORMAT!r}")
        version = content.get("version")
        if version == 1:  # had no stopping rules
            content = {**content, "until": None, "reached": None}
        elif version != VERSION:
            raise ValueError(f"attribution of version {version!r}; this release reads versions 1 and {VERSION}")
        given, known = set(content) - {"format", "version"}, {field.name for field in fields(cls)}
        if given != known:
            raise ValueError(f"damaged attribution: missing {sorted(known - given)}, unknown {sorted(given - known)}")
        try:
            return cls(**{name: content[name] for name in known})
        except (TypeError, ValueError) as error:
            raise ValueError(f"damaged attribution: {error}") from error

    def to_json(self) -> str:
        """`to_dict` as JSON; numbers come back exactly."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "Attribution":
        """Inverse of `to_json`; raises ValueError for any other text."""
        try:
            content = json.loads(text, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"damaged attribution, not valid JSON: {error}") from error
        return cls.from_dict(content)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write JSON to `path`, all of it or nothing; raises FileNotFoundError if its folder is missing."""
        path = Path(path)
        if not path.parent.is_dir():
            raise FileNotFoundError(f"cannot save {path}: folder {path.parent} does not exist")
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            temporary.write_text(self.to_json(), encoding="utf-8")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Attribution":
        """Read what `save` wrote; raises FileNotFoundError, or ValueError with the path and what is wrong."""
        try:
            return cls.from_json(Path(path).read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"cannot load {path}: {error}") from error

    def __eq__(self, other: object) -> bool:
        """Whether all parts are equal, arrays number by number."""
        if not isinstance(other, Attribution):
            return NotImplemented
        return self.to_dict() == other.to_dict()

    def __repr__(self) -> str:
        """The explained output, how it was estimated, and the three top players."""
        best = [f"{c.player} {c.value:+.3f}" + f"±{c.error:.3f}" * (c.error > 0) for c in self.top(3)]
        return (
            f"<Attribution of {self.outputs[self.output]!r} ({self.utility}, {self.semivalue}, "
            f"{self.estimator}, {self.evaluations} evaluations) to {len(self.players)} players: "
            f"{', '.join(best) or 'none'}>"
        )


_ARRAYS = {
    "values": ("n_outputs", "n_players"),
    "errors": ("n_outputs", "n_players"),
    "pivots": ("n_outputs", "n_players"),
    "full": ("n_outputs",),
    "empty": ("n_outputs",),
}


def output_index(output: int | str, outputs: tuple[str, ...]) -> int:
    """Index of an output given by index or name; raises ValueError if there is no such output."""
    if isinstance(output, str) and output in outputs:
        return outputs.index(output)
    if not isinstance(output, str) and 0 <= output < len(outputs):
        return int(output)
    raise ValueError(f"no output {output!r}; there are {len(outputs)}: {', '.join(map(repr, outputs[:10]))}")


def descending(scores: Values) -> npt.NDArray[np.intp]:
    """Indices of scores from highest to lowest, (n_players,); equal ones keep their order."""
    # Equal players get sums that differ by rounding, which must not decide their order.
    scale = np.abs(scores).max(initial=0.0)
    rounded = np.round(scores / scale, 12) if scale > 0 else scores
    return np.argsort(-rounded, kind="stable")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a finite number")
