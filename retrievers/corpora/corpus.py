"""Read a corpus in any of the known layouts as a stream of passages."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from retrievers.corpora import formats
from retrievers.corpora.chunking import split_document
from retrievers.corpora.formats import Record
from retrievers.errors import CorpusError
from retrievers.passage import Passage

_READERS: dict[str, Callable[[Path], Iterator[Record]]] = {
    "beir": lambda path: formats.read_jsonl(_beir_file(path) or path),
    "jsonl": formats.read_jsonl,
    "dpr": formats.read_dpr,
    "squad": formats.read_squad,
    "folder": formats.read_text_files,
    "hf": lambda path: _rows(path),
}
_KEEPS_PASSAGES = {"beir", "dpr"}  # qrels and published runs name these passages as they are
_KNOWN = (
    "a BEIR folder (corpus.jsonl), JSON Lines (.jsonl), a DPR passage table (.tsv), SQuAD JSON (.json), "
    "a folder of .txt and .md files, a Hugging Face data set (hf:NAME[:CONFIG][:SPLIT], a folder written by "
    "save_to_disk, or .parquet files); the first three may be .gz"
)
_SUFFIXES = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".tsv": "dpr",
    ".json": "squad",
    ".txt": "folder",
    ".md": "folder",
    ".parquet": "hf",
}


def load_corpus(source: str | Path, *, format: str = "auto", passage_words: int | None = 100) -> Iterator[Passage]:
    """Stream the passages of a corpus, in its order; the content is checked as it is read.

    Passages of BEIR folders and DPR tables are kept as they are. Documents of the other layouts are cut into
    passages of at most ``passage_words`` words (see :func:`retrievers.split_document`).

    Args:
        source: A file or folder in one of the layouts below, or ``"hf:NAME[:CONFIG][:SPLIT]"``, which loads a
            data set by name with the ``datasets`` package.
        format: ``"beir"``, ``"jsonl"``, ``"dpr"``, ``"squad"``, ``"folder"`` (of ``.txt`` and ``.md`` files),
            ``"hf"``, or ``"auto"`` to tell by name and content of the folder.
        passage_words: Upper limit of passage length in words; ``None`` keeps documents whole.

    Raises:
        FileNotFoundError: ``source`` does not exist.
        CorpusError: The layout is unknown, the corpus is empty, or a record is broken: invalid JSON or UTF-8,
            no id, no text, an id that occurs twice. The message names the file and the line.
        ImportError: A Hugging Face data set is asked for and ``datasets`` is not installed.
        ValueError: ``format`` is unknown, or ``passage_words`` is below 1.
    """
    return open_corpus(source, format=format, passage_words=passage_words).passages


class Corpus(NamedTuple):
    """An open corpus: its layout, and two streams, of which one feeds the other.

    Attributes:
        layout: As in :func:`load_corpus`.
        read: Counts the documents that the passages so far come from, and their characters.
        passages: The stream that :func:`load_corpus` gives.
        rest: The documents that have not been asked for yet.
    """

    layout: str
    read: Counter[str]
    passages: Iterator[Passage]
    rest: Iterator[Record]


def open_corpus(source: str | Path, *, format: str = "auto", passage_words: int | None = 100) -> Corpus:
    """As :func:`load_corpus`, for those who want to know how far the stream has been read."""
    if format != "auto" and format not in _READERS:
        raise ValueError(f"format must be 'auto' or one of {', '.join(map(repr, _READERS))}, got {format!r}")
    if passage_words is not None and passage_words < 1:
        raise ValueError(f"passage_words must be at least 1 or None, got {passage_words}")
    if isinstance(source, str) and source.startswith("hf:"):
        if format not in {"auto", "hf"}:
            raise ValueError(f"{source!r} names a Hugging Face data set, which format={format!r} does not read")
        return _counted("hf", formats.read_rows(_hub_dataset(source), source), source, passage_words)
    path = Path(source)
    if not path.exists():
        raise FileNotFoundError(f"no such corpus file or folder: {path}")
    layout = _detect(path) if format == "auto" else format
    if path.is_dir() and (layout in {"jsonl", "dpr", "squad"} or (layout == "beir" and not _beir_file(path))):
        raise CorpusError(f"{path}: format={layout!r} cannot read this folder; known layouts are {_KNOWN}")
    return _counted(layout, _READERS[layout](path), path, None if layout in _KEEPS_PASSAGES else passage_words)


def _counted(layout: str, records: Iterator[Record], source: str | Path, max_words: int | None) -> Corpus:
    read: Counter[str] = Counter()

    def counting() -> Iterator[Record]:
        for record in records:
            read["documents"] += 1
            read["characters"] += len(record.text)
            yield record

    rest = counting()
    return Corpus(layout, read, _passages(rest, source, max_words), rest)


def _passages(records: Iterator[Record], source: str | Path, max_words: int | None) -> Iterator[Passage]:
    seen: set[str] = set()
    for record in records:
        _check(record)
        passages = (
            [Passage(record.id, record.text, record.title, record.metadata)]
            if max_words is None
            else split_document(
                record.id, record.text, title=record.title, max_words=max_words, metadata=record.metadata
            )
        )
        ids = {record.id, *(passage.id for passage in passages)}
        if repeated := ids & seen:
            raise CorpusError(f"{record.where}: the id {min(repeated)!r} occurs twice")
        seen |= ids
        yield from passages
    if not seen:
        raise CorpusError(f"{source}: the corpus is empty")


def _check(record: Record) -> None:
    if not record.text.strip():
        raise CorpusError(f"{record.where}: passage {record.id!r} has no text")
    for name, value in (("id", record.id), ("text", record.text), ("title", record.title)):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise CorpusError(
                f"{record.where}: the {name} of passage {record.id!r} is not valid Unicode "
                f"(lone surrogate at character {error.start})"
            ) from error
    try:
        json.dumps(record.metadata, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise CorpusError(f"{record.where}: the metadata of passage {record.id!r} cannot be kept ({reason})") from None


def _detect(path: Path) -> str:
    if path.is_file():
        beside_queries = any((path.parent / name).exists() for name in ("queries.jsonl", "qrels"))
        if path.name in {"corpus.jsonl", "corpus.jsonl.gz"} and beside_queries:
            return "beir"
        suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
        if suffix not in _SUFFIXES:
            raise CorpusError(f"{path}: cannot tell the layout from the suffix {suffix!r}; known are {_KNOWN}")
        return _SUFFIXES[suffix]
    if _beir_file(path):
        return "beir"
    if _is_saved_dataset(path) or any(path.rglob("*.parquet")):
        return "hf"
    if formats.text_files(path):
        return "folder"
    counts = Counter(file.suffix or file.name for file in path.rglob("*") if file.is_file())
    seen = ", ".join(f"{count} {suffix}" for suffix, count in counts.most_common(8)) or "no files"
    raise CorpusError(f"{path}: cannot tell the layout of this folder, which holds {seen}; known are {_KNOWN}")


def _beir_file(path: Path) -> Path | None:
    return next((file for name in ("corpus.jsonl", "corpus.jsonl.gz") if (file := path / name).is_file()), None)


def _is_saved_dataset(path: Path) -> bool:
    return (path / "dataset_dict.json").is_file() or (path / "state.json").is_file()


def _local_dataset(path: Path) -> Any:
    datasets = _import_datasets()
    if _is_saved_dataset(path):
        return _only_split(datasets.load_from_disk(str(path)), str(path))
    files = [path] if path.is_file() else sorted(path.rglob("*.parquet"))
    if not files:
        raise CorpusError(f"{path}: neither a folder written by save_to_disk nor one with .parquet files")
    return datasets.load_dataset("parquet", data_files=[str(f) for f in files], split="train", streaming=True)


def _rows(path: Path) -> Iterator[Record]:
    """The records of a data set on disk; whatever pyarrow and datasets say of a damaged one is one kind of error."""
    try:
        yield from formats.read_rows(_local_dataset(path), str(path))
    except (CorpusError, ImportError):
        raise
    except Exception as error:
        raise CorpusError(f"{path}: the data set cannot be read: {type(error).__name__}: {error}") from error


def _hub_dataset(source: str) -> Any:
    name, config, split, *rest = [*source.removeprefix("hf:").split(":"), "", ""]
    if not name or len(rest) > 2 or any(rest):
        raise CorpusError(f"{source!r}: expected hf:NAME, hf:NAME:CONFIG or hf:NAME:CONFIG:SPLIT")
    datasets = _import_datasets()
    try:
        loaded = datasets.load_dataset(name, config or None, split=split or None, streaming=True)
    except Exception as error:  # every cause, from a wrong name to no network, reaches the user as one kind
        raise CorpusError(f"{source!r}: the data set cannot be loaded: {error}") from error
    return _only_split(loaded, source)


def _only_split(loaded: Any, source: str) -> Any:
    """A data set itself; of a dictionary of splits the only one, or the one called ``train``."""
    if not isinstance(loaded, dict):
        return loaded
    if len(loaded) == 1:
        return next(iter(loaded.values()))
    if "train" in loaded:
        return loaded["train"]
    raise CorpusError(f"{source}: name one of the splits {list(loaded)}: hf:NAME:CONFIG:SPLIT")


def _import_datasets() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise ImportError("Hugging Face data sets need the package datasets: pip install datasets") from error
    return datasets
