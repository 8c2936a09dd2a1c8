"""An output that grows question by question, survives a kill, and appears whole."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from rag.notices import Tally
from rag.progress import Progress
from rag.readers.base import Notice
from rag.scale import Executor, LocalExecutor
from rag.settings_base import SettingsError
from retrievers import Hit
from retrievers.storage.atomic import replace_text
from retrievers.storage.disk import sync
from retrievers.storage.json_text import parse_json
from retrievers.storage.locks import writing

if TYPE_CHECKING:
    from rag.rerank import Reranking

Rerank = Callable[[str, Sequence[Hit]], "Reranking"]
"""Reorders the passages of a question, as `Reranker.attribute` does."""

_STEP = np.float32(1e-6)


class Part(NamedTuple):
    """A question's part of the output, and what people must be told about it."""

    text: str
    notices: tuple[Notice, ...] = ()


class Ranked(Protocol):
    """A question with its passages, as plain data."""

    def reranked(self, rerank: Rerank) -> Part:
        """Its part of the output."""
        ...


class Task(Protocol):
    """What is reranked, one question after another.

    Attributes:
        total: number of questions.
        head: what the output begins with.
        between: what stands between two questions.
        tail: what the output ends with.
    """

    total: int
    head: str
    between: str
    tail: str

    def __iter__(self) -> Iterator[Ranked]:
        """The questions with their passages, in a fixed order."""
        ...


def rerank_file(
    task: Task,
    make_rerank: Callable[[], Rerank],
    out: Path,
    made_with: Mapping[str, Any],
    progress: Progress | None = None,
    executor: Executor | None = None,
) -> list[str]:
    """Rerank every question of a task and write the result.

    Until it is complete, the output is `NAME.partial`, and `NAME.progress.json` records how much is done; a call that
    was stopped resumes there.

    Args:
        task: what is reranked.
        make_rerank: returns the function that orders the passages of one question; called once in each process.
        out: the output.
        made_with: everything that the output depends on.
        progress: called as progress(done, total), in questions.
        executor: distributes the questions; by default this process does them all.

    Returns:
        What people must be told, such as what was cut, counted over all questions, those of before a stop included.

    Raises:
        SettingsError: the output is a folder, or the partial output was made with other settings, files or weights.
        ValueError: the progress file is damaged.
        BusyError: another run writes this output.
        DiskFullError: there is no room.
    """
    if out.is_dir():
        raise SettingsError(f"{out} is a folder; give a file")
    out.parent.mkdir(parents=True, exist_ok=True)
    partial, state = out.with_name(f"{out.name}.partial"), out.with_name(f"{out.name}.progress.json")
    wanted = json.loads(json.dumps(made_with))
    executor = executor or LocalExecutor()
    with writing(out, "the questions done so far are kept"):
        done, size, tally = _progress(state, wanted)
        if done == task.total and not partial.exists() and out.exists():  # stopped just after the last step
            state.unlink()
            return tally.lines(task.total)
        with partial.open("r+b" if done and partial.exists() else "w+b") as file:
            if file.seek(0, os.SEEK_END) < size:
                raise ValueError(f"{partial} is shorter than {state} says; delete both to begin again")
            file.truncate(size)
            file.seek(size)
            for text, told in executor.map(functools.partial(_worker, make_rerank), islice(task, done, None)):
                text = (task.between if done else task.head) + text
                done += 1
                tally.add(told)
                file.write((text + (task.tail if done == task.total else "")).encode())
                file.flush()
                os.fsync(file.fileno())  # before the state that counts on it
                content = {"made_with": wanted, "questions": done, "bytes": file.tell(), "told": tally.said}
                replace_text(state, json.dumps(content))
                if progress is not None:
                    progress(done, task.total)
        os.replace(partial, out)
        sync(out.parent)
        state.unlink(missing_ok=True)
    return tally.lines(task.total)


def _worker(make_rerank: Callable[[], Rerank]) -> Callable[[Ranked], Part]:
    rerank = make_rerank()
    return lambda item: item.reranked(rerank)


def strictly_descending(scores: Sequence[float], n: int) -> list[float]:
    """`n` scores for an order: those given, lowered as little as makes them descend strictly.

    Tools that evaluate a run break ties by id and may hold scores in single precision. Each score is therefore at least
    one step of single precision, and a millionth, below the one before. Passages without a score follow below the last.
    """
    found: list[np.float32] = []
    for place in range(n):
        score = np.float32(scores[place] if place < len(scores) else np.inf)
        if found:
            last = found[-1]
            score = min(score, last - _STEP, np.nextafter(last, np.float32(-np.inf)))
        found.append(np.float32(score) if np.isfinite(score) else np.float32(0))
    return [float(str(score)) for score in found]


def _progress(state: Path, made_with: Mapping[str, Any]) -> tuple[int, int, Tally]:
    """Questions done, bytes written, and what there is to tell about these questions."""
    if not state.exists():
        return 0, 0, Tally()
    try:
        stored = parse_json(state.read_text(encoding="utf-8"))
        done, size, other, told = (stored[key] for key in ("questions", "bytes", "made_with", "told"))
        counts = [done, size, *chain.from_iterable(told.values())]
        sound = all(type(count) is int and count >= 0 for count in counts) and isinstance(other, dict)
        tally = Tally(told)
        tally.lines(done)
    except (ValueError, LookupError, TypeError, AttributeError):
        sound = False
    if not sound:
        raise ValueError(f"{state}: not the progress of a rerank; delete or move the file") from None
    if other != made_with:
        names = [key for key in {**other, **made_with} if other.get(key) != made_with.get(key)]
        raise SettingsError(f"{state} is of a run with other {', '.join(names)}; delete it to begin again")
    return done, size, tally
