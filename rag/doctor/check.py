"""The result of looking at one thing, and the words for what went wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from typing import Any, Literal, get_args

State = Literal["ok", "missing", "warning", "problem"]


@dataclass(frozen=True)
class Check:
    """The result of looking at one thing.

    Attributes:
        group: "environment", "packages", "extras", "models", "settings" or "index".
        name: what was looked at.
        state: "missing" is an extra that is not installed and not needed; a "problem" keeps something from working.
        finding: what was found.
        fix: what to do about it; "" where there is nothing to do.
    """

    group: str
    name: str
    state: State
    finding: str
    fix: str = ""


def line(error: Exception) -> str:
    """Return the message of an exception as one line."""
    return " ".join(str(error).split()) or type(error).__name__


def remedy(error: Exception) -> str:
    """Return what to do about an exception whose message does not say so."""
    if isinstance(error, PackageNotFoundError):
        return f"pip install {error.name}"
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"pip install {error.name.split('.')[0]}, or install ragshap again"
    return ""


def summary(checks: Sequence[Check]) -> dict[str, Any]:
    """Count the checks in each state."""
    return {state: sum(check.state == state for check in checks) for state in get_args(State)}
