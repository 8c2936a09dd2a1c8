"""`ragshap benchmark`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eval.cli import benchmark_vectors
from rag.cli.options import Json, Markdown, Overrides, Quiet, print_json, progress_bars, say, stage_progress

benchmark = typer.Typer(no_args_is_help=True, help="Measure speed against the alternatives.", rich_markup_mode=None)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(benchmark, name="benchmark")

    @benchmark.callback()
    def _group() -> None:
        """Measure speed against the alternatives."""

    benchmark.command(epilog="Example: ragshap benchmark attribution --only speed,votes --out speed.json")(attribution)
    benchmark_vectors.register(benchmark)
    benchmark.command(epilog="Example: ragshap benchmark service http://127.0.0.1:8000 --flood 100")(service)


def attribution(
    root: Annotated[
        Path | None, typer.Option(help="Folder of data with openqa in it, or a BEIR folder with answers.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write all numbers and settings as JSON.")] = None,
    plots: Annotated[Path | None, typer.Option(help="Folder for plots.")] = None,
    markdown: Markdown = False,
    only: Annotated[
        str | None,
        typer.Option(
            help="Sections, by comma: speed, and in a checkout of the repository shape, peak, votes, certain, growth, "
            "levels and accuracy; by default all that are there."
        ),
    ] = None,
    questions: Annotated[int | None, typer.Option(min=1, help="Questions of the section accuracy.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Sizes that try the machinery; the numbers mean nothing.")] = (
        False
    ),
    overrides: Overrides = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Votes attributed by ours, by the naive way and by the released way, and our estimates against other libraries'.

    Without --root it asks the example corpus's questions. Leave the machine alone meanwhile: other work spoils the
    timings. Other settings: passages, permutations, players, budgets, repeats, reader.… (with --set).
    """
    with progress_bars(quiet) as progress:
        from eval.benchmark import QUICK, BenchmarkSettings, benchmark_attribution
        from eval.benchmark.plots import plot
        from eval.plotting import figure_class
        from eval.records import save_json
        from rag.settings_base import load_section

        if plots is not None:
            figure_class()  # a missing library is better met now than after an hour
        base = {**(QUICK if quick else {}), **({} if questions is None else {"questions": questions})}
        result = benchmark_attribution(
            load_section(BenchmarkSettings, None, overrides or [], base=base),
            root=root,
            only=None if only is None else [name.strip() for name in only.split(",")],
            quick=quick,
            progress=stage_progress(progress),
        )
    if out is not None:
        save_json(out, result.to_dict())
    if plots is not None:
        plot(result, plots)
    if as_json:
        print_json(result.to_dict())
    elif markdown:
        say(result.markdown())
    else:
        say(result.heading())
        for table in result.tables():
            table.print()


def service(
    url: Annotated[str, typer.Argument(help="Address of a running `ragshap serve` that asks for no token.")],
    corpus: Annotated[Path, typer.Option(help="A BEIR folder with questions.")] = Path("examples/islands"),
    requests: Annotated[int, typer.Option(min=1, help="Requests of all clients together.")] = 200,
    clients: Annotated[int, typer.Option(min=1, help="Clients at once.")] = 16,
    flood: Annotated[int, typer.Option(min=0, help="Clients at one moment, more than the queue has places.")] = 0,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write all numbers as JSON.")] = None,
    as_json: Json = False,
) -> None:
    """How a service bears load: latency, requests lost or wrong, memory, and how fast it refuses."""
    from eval.benchmark.service import benchmark_service
    from eval.records import save_json

    load = benchmark_service(url.rstrip("/"), corpus, requests=requests, clients=clients, flood=flood)
    if out is not None:
        save_json(out, load.to_dict())
    if as_json:
        print_json(load.to_dict())
        return
    for line in load.lines():
        say(line)
