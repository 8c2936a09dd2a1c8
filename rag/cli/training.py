"""`ragshap train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rag.cli.options import Quiet, progress_bars


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: ragshap train train-v1.1.json --out my-reader")(train)


def train(
    data: Annotated[list[Path], typer.Argument(metavar="DATA…", help="SQuAD JSON files.", exists=True, dir_okay=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for checkpoint, log and the finished reader.")],
    seed: Annotated[int, typer.Option(min=0, help="Seed of all random choices.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Train the embedded reader; the same command goes on where a killed run stopped."""
    with progress_bars(quiet) as progress:
        from rag.readers.embedded.blocks import BlockTokenizer
        from rag.readers.embedded.initialize import from_minilm
        from rag.readers.embedded.weights import save_model
        from rag.training.batches import BatchMaker
        from rag.training.data import load_questions, split_by_article
        from rag.training.trainer import Trainer, TrainSettings
        from retrievers.encoder import DEFAULT, locate

        minilm = Path(locate(DEFAULT))
        settings = TrainSettings(seed=seed)
        task = progress.add_task("reading and mining negatives", total=None)
        questions = load_questions(data)
        tokenizer = minilm / "tokenizer.json"
        maker = BatchMaker(questions, BlockTokenizer(tokenizer), settings.max_block_tokens, seed)
        model = from_minilm(minilm)
        usable = maker.usable(split_by_article(questions)[0])
        progress.update(task, description="training", total=settings.steps)

        def show(step: int, row: dict[str, float]) -> None:
            progress.update(task, completed=step, description=f"training, loss {row['answer']:.3f}")

        Trainer(model, maker, usable, settings, out, on_step=show).run()
        save_model(model, tokenizer, out / "reader")
    typer.echo(f"{settings.steps} steps on {len(usable)} questions; the reader is in {out / 'reader'}")
