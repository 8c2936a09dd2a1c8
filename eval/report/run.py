"""Run a report's commands one after another and keep what they print and draw."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from eval.records import file_name
from eval.report.settings import ReportFile
from rag.progress import StageProgress
from rag.provenance import versions

_PICTURES = (".svg", ".png")  # of one name, the first kind is shown


@dataclass(frozen=True)
class Part:
    """A section that was measured.

    Attributes:
        title, about: as its file says.
        command: what makes its numbers again, as one types it.
        printed: the command's output, Markdown.
        pictures: files that the command drew.
        seconds: wall-clock time of the command.
    """

    title: str
    about: str
    command: str
    printed: str
    pictures: tuple[Path, ...]
    seconds: float


@dataclass(frozen=True)
class Report:
    """All sections, and what they were made with: `made_with` maps names to versions and machine."""

    title: str
    about: str
    parts: tuple[Part, ...]
    made_with: dict[str, str]


def make_report(file: ReportFile, data: Path, out: Path, progress: StageProgress | None = None) -> Report:
    """Run every section's command; each has a folder of its own in `out`, named after its place and title.

    Commands that keep what they have measured go on from there when the report is made again.

    Raises:
        ValueError: a command failed; the message holds its last line.
    """
    parts = []
    for number, section in enumerate(file.sections, 1):
        if progress is not None:
            progress(section.title, number - 1, len(file.sections))
        folder = out / f"{number}-{file_name(section.title)}"
        folder.mkdir(parents=True, exist_ok=True)
        arguments = section.arguments(data, folder)
        started = time.perf_counter()
        printed = _run(section.title, arguments)
        seconds = time.perf_counter() - started
        command = shlex.join(["ragshap", *arguments])
        parts.append(Part(section.title, section.about, command, printed, _pictures(folder), seconds))
    if progress is not None:
        progress("done", len(parts), len(parts))
    machine = {"machine": f"{platform.machine()}, {os.cpu_count()} processors", "python": platform.python_version()}
    return Report(file.title, file.about, tuple(parts), {**versions(), **machine})


def _run(title: str, arguments: list[str]) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "rag", *arguments], capture_output=True, text=True, encoding="utf-8", check=False
    )
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:] or ["nothing"]
        raise ValueError(
            f"section {title!r}: `ragshap {shlex.join(arguments)}` ended with {done.returncode}: {lines[0]}"
        )
    return done.stdout


def _pictures(folder: Path) -> tuple[Path, ...]:
    found: dict[str, Path] = {}
    for suffix in _PICTURES:
        for file in sorted(folder.glob(f"*{suffix}")):
            found.setdefault(file.stem, file)
    return tuple(found.values())
