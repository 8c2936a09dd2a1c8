"""`ragshap train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rag.cli.options import Json, Overrides, Quiet, print_json, progress_bars, say, with_short

if TYPE_CHECKING:
    from rich.progress import Progress


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: ragshap train train-v1.1.json --out my-reader --plot my-reader/log.png")(train)


def train(
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", help="Folder for the checkpoint, the log and the reader (OUT/reader).", file_okay=False
        ),
    ],
    data: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[DATA…]",
            help="SQuAD, DPR/FiD, HotpotQA or MuSiQue JSON; without it, data.sources of the settings.",
            exists=True,
            show_default=False,
        ),
    ] = None,
    root: Annotated[
        Path, typer.Option(help="Folder that the paths in the settings are relative to.", file_okay=False)
    ] = Path(),
    start: Annotated[
        str | None,
        typer.Option(help="Start from embedded, minilm, mpnet, or an encoder-decoder, given by name or folder."),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Plot the loss and the held-out scores to this PNG or SVG file.")
    ] = None,
    config: Annotated[
        str | None, typer.Option("--config", "-c", help="Settings, as a YAML file; see configs/train.yaml.")
    ] = None,
    overrides: Overrides = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a reader.

    If a run was killed, the same command continues from its last checkpoint.
    """
    with progress_bars(quiet) as progress:
        from rag.settings_base import load_section
        from rag.threads import set_threads
        from rag.training import plotting
        from rag.training.run import train as run
        from rag.training.settings import Source, TrainSettings

        settings = load_section(TrainSettings, config, with_short(overrides, {"start": start or None}))
        if data and settings.data.sources:
            raise typer.BadParameter("give question files or data.sources in the settings, not both")
        if data:
            source = Source(files=[str(path.resolve()) for path in data])
            settings = settings.model_copy(update={"data": settings.data.model_copy(update={"sources": [source]})})
        if plot is not None:
            plotting.check(plot)
        set_threads(settings.threads)
        view = _View(progress, settings.steps)
        questions = run(out, settings, root=root, progress=view.stage, on_step=view.step)
        if plot is not None:
            plotting.plot_log(out / "log.jsonl", plot)
    if as_json:
        print_json({"steps": settings.steps, "questions": questions, "reader": str(out / "reader"), **view.held_out})
        return
    say(f"{settings.steps} steps on {questions} questions; the reader is in {out / 'reader'}")
    for name, value in view.held_out.items():
        say(f"{name.replace('_', ' ')}: {value:.1f}")


class _View:
    """One bar that names the current stage and, while training, shows the loss and the learning rate."""

    def __init__(self, progress: Progress, steps: int):
        self.held_out: dict[str, float] = {}
        self._progress = progress
        self._steps = steps
        self._task = progress.add_task("reading", total=None)

    def stage(self, name: str, done: int, total: int) -> None:
        self._progress.update(self._task, description=name, completed=done, total=total)

    def step(self, step: int, row: dict[str, float]) -> None:
        if "total" not in row:
            self.held_out = row
            return
        about = f"training, loss {row['total']:.3f}, rate {100 * row['rate']:.0f} %"
        if "held_out_f1" in self.held_out:
            about += f", held-out F1 {self.held_out['held_out_f1']:.1f}"
        self._progress.update(self._task, description=about, completed=step, total=self._steps)
