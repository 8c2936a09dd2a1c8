"""`ragshap benchmark vectors` and `ragshap benchmark recall`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rag.cli.options import Json, Quiet, print_json, progress_bars, say, stage_progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def register(benchmark: typer.Typer) -> None:
    """Add the commands."""
    benchmark.command(epilog="Example: ragshap benchmark vectors --count 1000000 --index flat,ivfpq")(vectors)
    benchmark.command(epilog="Example: ragshap benchmark recall notes.index --questions questions.txt")(recall)


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
    recall: Annotated[float, typer.Option(min=0.0, max=1.0, help="Recall@10 to search broadly enough for.")] = 0.95,
    folder: Annotated[Path | None, typer.Option(help="Keep the indexes in this new folder.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write all numbers as JSON.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Time to build and to search, size, and recall against exact search, of each index of vectors.

    Without --vectors, passages and questions are encoded and as many vectors mixed from them as are asked for.
    """
    if (file is None) != (queries is None):
        raise typer.BadParameter("give both or neither", param_hint="--vectors and --queries")
    with progress_bars(quiet) as progress:
        from eval.benchmark.timing import machine
        from eval.benchmark.vectors import measure_indexes
        from eval.records import save_json
        from rag.provenance import versions

        slabs, asked, how = _mixed(root, count) if file is None or queries is None else _given(file, queries)
        section = measure_indexes(
            slabs,
            asked,
            [name.strip() for name in index.split(",")],
            target=recall,
            how=how,
            folder=folder,
            progress=stage_progress(progress),
        )
        content = {
            "machine": machine(),
            "versions": versions("faiss-cpu"),
            "load": os.getloadavg(),
            **section.to_dict(),
        }
    if out is not None:
        save_json(out, content)
    if as_json:
        print_json(content)
    else:
        section.tables[0].print()


def recall(
    index: Annotated[Path, typer.Argument(help="An index folder, dense or hybrid.")],
    questions: Annotated[
        Path | None, typer.Option(help="Questions, one a line; by default sentences of the passages.")
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Passages asked for.")] = 10,
    as_json: Json = False,
) -> None:
    """How many of the passages that exact search ranks first an index finds."""
    from retrievers import DenseRetriever, HybridRetriever, load_index

    opened = load_index(index)
    members = opened.retrievers if isinstance(opened, HybridRetriever) else (opened,)
    dense = next((member for member in members if isinstance(member, DenseRetriever)), None)
    if dense is None:
        raise ValueError(f"{index} holds no vectors: recall is for dense and hybrid indexes")
    asked = None
    if questions is not None:
        asked = [line.strip() for line in questions.read_text(encoding="utf-8").splitlines() if line.strip()]
    measured = dense.measure_recall(asked, k)
    if as_json:
        print_json(measured.to_dict())
    else:
        say(str(measured))


Source = tuple["Callable[[], Iterator[NDArray[np.float32]]]", "NDArray[np.float32]", str]


def _mixed(root: Path | None, count: int) -> Source:
    from eval.benchmark.run import data_folder
    from eval.benchmark.vectors import mixture
    from rag.offline.run import read_queries
    from retrievers import load_corpus
    from retrievers.dense.encoder import Encoder

    data, encoder = data_folder(root), Encoder()
    seeds = encoder.encode_documents([passage.full_text for passage in load_corpus(data)], 64)
    asked = encoder.encode_queries(list(read_queries(data).values()))
    how = f"Mixtures of {len(seeds):,} encoded passages of {data.name}; its questions as queries."
    return (lambda: mixture(seeds, count)), asked, how


def _given(file: Path, queries: Path) -> Source:
    import numpy as np

    slab = 2**14
    try:
        given, asked = np.load(file, mmap_mode="r", allow_pickle=False), np.load(queries, allow_pickle=False)
    except ValueError as error:
        raise ValueError(f"{file} and {queries} must be .npy files of numbers: {error}") from None
    if given.ndim != 2 or asked.ndim != 2 or given.shape[1] != asked.shape[1]:
        raise ValueError(
            f"vectors and queries must be (n, dimension) with one dimension, got {given.shape} and {asked.shape}"
        )
    starts = range(0, len(given), slab)
    how = f"Vectors of {file.name}, queries of {queries.name}."
    return (lambda: (given[at : at + slab].astype(np.float32) for at in starts)), asked.astype(np.float32), how
