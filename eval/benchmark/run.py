"""The benchmark of attribution from questions to result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from eval.benchmark.ablations import VARIANTS, Variant
from eval.benchmark.accuracy import accuracy
from eval.benchmark.certain import certain
from eval.benchmark.growth import growth
from eval.benchmark.levels import levels
from eval.benchmark.peak import peak
from eval.benchmark.peers import peers
from eval.benchmark.report import BenchmarkResult
from eval.benchmark.settings import SECTIONS, BenchmarkSettings
from eval.benchmark.shape import shape
from eval.benchmark.speed import speed
from eval.benchmark.tables import Section
from eval.benchmark.timing import machine
from eval.benchmark.votes import votes
from eval.selection import Asked, Selection, choose
from rag.provenance import made_with
from rag.readers import Reader
from rag.readers.loading import load_reader
from rag.settings_base import SettingsError

Progress = Callable[[str, int, int], None]

ISLANDS = Path(__file__).parents[2] / "examples" / "islands"


def benchmark_attribution(
    settings: BenchmarkSettings | None = None,
    *,
    root: Path | None = None,
    only: Sequence[str] = SECTIONS,
    quick: bool = False,
    variants: Sequence[Variant] = VARIANTS,
    reader: Reader | None = None,
    progress: Progress | None = None,
) -> BenchmarkResult:
    """Measure all sections, or only some, in one run.

    Args:
        settings: sizes.
        root: folder of data with `openqa` in it, or a BEIR folder with answers; by default the example corpus.
        only: names out of `SECTIONS`.
        quick: whether the settings are too small for the numbers to mean anything; it is said in the result.
        variants: ways of ours to time beside the full one.
        reader: used instead of the one that the settings name.
        progress: called as progress(section, done, total).

    Raises:
        SettingsError: an unknown section, or no questions.
        ImportError: a library to compare with is missing.
    """
    settings = settings or BenchmarkSettings()
    unknown = [name for name in only if name not in SECTIONS]
    if unknown or not only:
        raise SettingsError(f"unknown sections {', '.join(unknown) or '(none)'}; known: {', '.join(SECTIONS)}")
    if "accuracy" in only:
        peers()  # a missing library is better met now than after an hour
    folder = data_folder(root)
    asked = questions(settings, folder) if set(only) != {"shape"} else []
    own, reader = reader, reader or load_reader(settings.reader)

    def report(name: str) -> Callable[[int, int], None]:
        return lambda done, total: progress(name, done, total) if progress is not None else None

    measures: dict[str, Callable[[], Section]] = {
        "speed": lambda: speed(settings, reader, asked, variants),
        "shape": lambda: shape(settings, variants),
        "peak": lambda: peak(settings, reader, asked),
        "votes": lambda: votes(settings, reader, asked),
        "certain": lambda: certain(settings, reader, asked, report("certain")),
        "growth": lambda: growth(settings, asked),
        "levels": lambda: levels(settings, reader, asked),
        "accuracy": lambda: accuracy(settings, reader, asked, report("accuracy")),
    }
    sections = []
    for name in SECTIONS:
        if name in only:
            report(name)(0, 1)
            sections.append(measures[name]())
            report(name)(1, 1)
    made = made_with(
        settings.model_dump(mode="json"), own or settings.reader, [(folder.name, folder)], "captum", "shap", "shapiq"
    )
    return BenchmarkResult(sections, settings, machine(), made, folder.name, quick)


def data_folder(root: Path | None) -> Path:
    """The BEIR folder of the questions; raises FileNotFoundError if the example corpus is not there."""
    if root is not None:
        return root / "openqa" if (root / "openqa").is_dir() else root
    if not ISLANDS.is_dir():
        raise FileNotFoundError(f"{ISLANDS} is not there: the example corpus comes with a checkout; give --root")
    return ISLANDS


def questions(settings: BenchmarkSettings, folder: Path) -> list[Asked]:
    """Questions with an answer, drawn at random, and the passages that BM25 finds for them.

    Of openqa only the odd ones, which are for reporting.
    """
    most = max(settings.passages, settings.players, settings.many_passages)
    selection = Selection(
        data=[str(folder)],
        k=[most],
        ids="odd" if folder.name == "openqa" else "all",
        limit=settings.questions,
    )
    return list(choose(selection).asked)
