"""The benchmark of attribution from questions to result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from eval.benchmark.result import BenchmarkResult
from eval.benchmark.settings import BenchmarkSettings
from eval.benchmark.timing import machine
from eval.selection import Example, Selection, select_questions
from rag.progress import StageProgress
from rag.provenance import made_with
from rag.readers.loading import load_reader
from rag.settings_base import SettingsError

SECTIONS = {
    "speed": "eval.benchmark",
    **dict.fromkeys(("shape", "peak", "votes", "certain", "growth", "levels"), "eval.own_tables"),
}
"""The package of each section's module, which holds a function of the section's name; a wheel has no `own_tables`."""

ISLANDS = Path(__file__).parents[2] / "examples" / "islands"


def benchmark_attribution(
    settings: BenchmarkSettings | None = None,
    *,
    root: Path | None = None,
    only: Sequence[str] | None = None,
    quick: bool = False,
    progress: StageProgress | None = None,
) -> BenchmarkResult:
    """Measure some sections in one run.

    Args:
        settings: sizes.
        root: folder of data with `openqa` in it, or a BEIR folder with answers; by default the example corpus.
        only: names out of `SECTIONS`; by default all that are installed.
        quick: whether the settings are too small for the numbers to mean anything; the result says so.
        progress: called as progress(section, done, total).

    Raises:
        SettingsError: an unknown section, one that is not installed, or no questions.
    """
    settings = settings or BenchmarkSettings()
    wanted = installed_sections() if only is None else only
    unknown = [name for name in wanted if name not in SECTIONS]
    if unknown or not wanted:
        raise SettingsError(f"unknown sections {', '.join(unknown) or '(none)'}; known: {', '.join(SECTIONS)}")
    modules = {name: _module(name) for name in SECTIONS if name in wanted}
    folder = data_folder(root)
    examples = questions(settings, folder)
    reader = load_reader(settings.reader)

    def report(name: str) -> Callable[[int, int], None]:
        return lambda done, total: progress(name, done, total) if progress is not None else None

    sections = []
    for name, module in modules.items():
        report(name)(0, 1)
        sections.append(getattr(module, name)(settings, reader, examples, report(name)))
        report(name)(1, 1)
    made = made_with(settings.model_dump(mode="json"), settings.reader, [(folder.name, folder)])
    return BenchmarkResult(sections, settings, machine(), made, folder.name, quick)


def installed_sections() -> list[str]:
    """The sections whose modules are there: in a checkout of the repository all, in a wheel some."""
    return [name for name, package in SECTIONS.items() if find_spec(package) is not None]


def _module(name: str) -> ModuleType:
    package = SECTIONS[name]
    if find_spec(package) is None:
        raise SettingsError(f"{name}: this section needs a checkout of the repository; leave it out of --only")
    return import_module(f"{package}.{name}")


def data_folder(root: Path | None) -> Path:
    """The BEIR folder of the questions; raises FileNotFoundError if the example corpus is not there."""
    if root is not None:
        return root / "openqa" if (root / "openqa").is_dir() else root
    if not ISLANDS.is_dir():
        raise FileNotFoundError(f"{ISLANDS} is not there: the example corpus comes with a checkout; give --root")
    return ISLANDS


def questions(settings: BenchmarkSettings, folder: Path) -> list[Example]:
    """Questions with an answer, drawn at random, and the passages that BM25 finds for them.

    Of openqa only the odd ones, which are for reporting.
    """
    most = max(settings.passages, settings.many_passages)
    selection = Selection(
        data=[str(folder)],
        k=[most],
        ids="odd" if folder.name == "openqa" else "all",
        limit=max(settings.timed_questions, settings.vote_questions, settings.certain_questions),
    )
    return list(select_questions(selection).examples())
