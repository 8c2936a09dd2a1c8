"""`ragshap benchmark`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eval.cli.options import Markdown
from rag.cli import options as opt

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

benchmark = typer.Typer(no_args_is_help=True, help="Measure speed against the alternatives.", rich_markup_mode=None)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(benchmark, name="benchmark")
    benchmark.command(epilog="Example: ragshap benchmark attribution --only speed --out speed.json")(attribution)
    benchmark.command(epilog="Example: ragshap benchmark vectors --count 1000000 --index flat,ivfpq")(vectors)
    benchmark.command(epilog="Example: ragshap benchmark recall notes.index --questions questions.txt")(recall)
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
            help="Sections, by comma: speed, and in a checkout of the repository shape, peak, votes, certain, growth "
            "and levels; by default all that are there."
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Sizes that try the machinery; the numbers mean nothing.")] = (
        False
    ),
    overrides: opt.Overrides = None,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Votes attributed by ours, by the naive way and by the released way.

    Without --root it asks the example corpus's questions. Leave the machine alone meanwhile: other work spoils the
    timings. Other settings: passages, permutations, repeats, reader.… (with --set).
    """
    with opt.progress_bars(quiet) as progress:
        from eval.benchmark import QUICK, BenchmarkSettings, benchmark_attribution
        from eval.benchmark.plots import plot
        from rag.plotting import figure_class
        from rag.settings_base import load_section

        if plots is not None:
            figure_class()  # a missing library must show now, not after an hour
        result = benchmark_attribution(
            load_section(BenchmarkSettings, None, overrides or [], base=QUICK if quick else {}),
            root=root,
            only=None if only is None else opt.split_names([only]),
            quick=quick,
            progress=opt.stage_progress(progress),
        )
    _deliver(result.to_dict(), out, as_json)
    if plots is not None:
        plot(result, plots)
    if as_json:
        return
    if markdown:
        opt.say(result.markdown())
        return
    opt.say(result.heading())
    for table in result.tables():
        table.print()


def service(
    url: Annotated[str, typer.Argument(help="Address of a running `ragshap serve` that asks for no token.")],
    corpus: Annotated[Path, typer.Option(help="A BEIR folder with questions.")] = Path("examples/islands"),
    requests: Annotated[int, typer.Option(min=1, help="Requests of all clients together.")] = 200,
    clients: Annotated[int, typer.Option(min=1, help="Clients at once.")] = 16,
    flood: Annotated[int, typer.Option(min=0, help="Clients at one moment, more than the queue has places.")] = 0,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write all numbers as JSON.")] = None,
    as_json: opt.Json = False,
) -> None:
    """A service under load: latency, requests lost or wrong, memory, and how fast it refuses."""
    from eval.benchmark.service import benchmark_service

    load = benchmark_service(url.rstrip("/"), corpus, requests=requests, clients=clients, flood=flood)
    _deliver(load.to_dict(), out, as_json)
    for line in () if as_json else load.lines():
        opt.say(line)


def vectors(
    root: Annotated[
        Path | None, typer.Option(help="Folder of data with openqa in it, or a BEIR folder, to mix vectors from.")
    ] = None,
    count: Annotated[int, typer.Option(min=100, help="Vectors to mix.")] = 100_000,
    file: Annotated[
        Path | None, typer.Option("--vectors", help="A .npy file of vectors to index instead, (n, dimension).")
    ] = None,
    queries: Annotated[Path | None, typer.Option(help="A .npy file of queries for them, (n, dimension).")] = None,
    index: Annotated[str, typer.Option(help="Indexes, by comma: flat,hnsw,ivfpq.")] = "flat,hnsw,ivfpq",
    recall: Annotated[float, typer.Option(min=0.0, max=1.0, help="Search as broadly as this recall@10 needs.")] = 0.95,
    folder: Annotated[Path | None, typer.Option(help="Keep the indexes in this new folder.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write all numbers as JSON.")] = None,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Time to build and to search, size, and recall against exact search, of each index of vectors.

    Without --vectors, passages and questions are encoded, and --count vectors are mixed from them.
    """
    if (file is None) != (queries is None):
        raise typer.BadParameter("give both or neither", param_hint="--vectors and --queries")
    with opt.progress_bars(quiet) as progress:
        from eval.benchmark.timing import machine
        from eval.benchmark.vectors import measure_indexes
        from rag.provenance import versions

        slabs, searched, how = _mixed(root, count) if file is None or queries is None else _given(file, queries)
        kinds = opt.split_names([index]) or []
        report = opt.stage_progress(progress)
        section = measure_indexes(slabs, searched, kinds, target=recall, how=how, folder=folder, progress=report)
        about = {"machine": machine(), "versions": versions("faiss-cpu"), "load": os.getloadavg()}
    _deliver({**about, **section.to_dict()}, out, as_json)
    if not as_json:
        section.tables[0].print()


def recall(
    index: Annotated[Path, typer.Argument(help="An index folder, dense or hybrid.")],
    questions: Annotated[
        Path | None, typer.Option(help="Questions, one a line; by default sentences of the passages.")
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Passages asked for.")] = 10,
    as_json: opt.Json = False,
) -> None:
    """How many of the passages that exact search ranks first an index finds."""
    from retrievers import DenseRetriever, HybridRetriever, load_index

    opened = load_index(index)
    members = opened.retrievers if isinstance(opened, HybridRetriever) else (opened,)
    dense = next((member for member in members if isinstance(member, DenseRetriever)), None)
    if dense is None:
        raise ValueError(f"{index} holds no vectors: recall is for dense and hybrid indexes")
    given = None
    if questions is not None:
        given = [line.strip() for line in questions.read_text(encoding="utf-8").splitlines() if line.strip()]
    measured = dense.measure_recall(given, k)
    if as_json:
        opt.print_json(measured.to_dict())
    else:
        opt.say(str(measured))


def _deliver(content: Mapping[str, Any], out: Path | None, as_json: bool) -> None:
    """Write and print a result as JSON, where that was asked for."""
    from eval.records import save_json

    if out is not None:
        save_json(out, content)
    if as_json:
        opt.print_json(content)


Source = tuple["Callable[[], Iterator[NDArray[np.float32]]]", "NDArray[np.float32]", str]


def _mixed(root: Path | None, count: int) -> Source:
    from eval.benchmark.run import data_folder
    from eval.benchmark.vectors import mixture
    from rag.offline.run import read_queries
    from retrievers import load_corpus
    from retrievers.dense.encoder import Encoder

    data, encoder = data_folder(root), Encoder()
    seeds = encoder.encode_documents([passage.full_text for passage in load_corpus(data)], 64)
    searched = encoder.encode_queries(list(read_queries(data)[0].values()))
    how = f"Mixtures of {len(seeds):,} encoded passages of {data.name}; its questions as queries."
    return (lambda: mixture(seeds, count)), searched, how


def _given(file: Path, queries: Path) -> Source:
    import numpy as np

    slab = 2**14
    try:
        given, searched = np.load(file, mmap_mode="r", allow_pickle=False), np.load(queries, allow_pickle=False)
    except ValueError as error:
        raise ValueError(f"{file} and {queries} must be .npy files of numbers: {error}") from None
    if given.ndim != 2 or searched.ndim != 2 or given.shape[1] != searched.shape[1]:
        raise ValueError(
            f"vectors and queries must be (n, dimension) with one dimension, got {given.shape} and {searched.shape}"
        )
    starts = range(0, len(given), slab)
    how = f"Vectors of {file.name}, queries of {queries.name}."
    return (lambda: (given[at : at + slab].astype(np.float32) for at in starts)), searched.astype(np.float32), how
