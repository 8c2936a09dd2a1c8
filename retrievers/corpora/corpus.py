"""Read a corpus in any of the known layouts as a stream of passages."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrievers.corpora import formats, tables
from retrievers.corpora.chunking import split_document
from retrievers.corpora.decoding import encoding_of
from retrievers.corpora.documents import read_document
from retrievers.corpora.folders import find_files, is_saved_dataset
from retrievers.corpora.records import Fields, Record
from retrievers.corpora.skips import NO_TEXT, Skips, describe
from retrievers.errors import CorpusError, CorpusWarning
from retrievers.passage import Passage

_FORMATS = ("beir", "jsonl", "json", "dpr", "table", "squad", "folder", "hf")
_KEEPS_PASSAGES = {"beir", "dpr"}  # qrels and published runs name these passages as they are


def load_corpus(
    source: str | Path,
    *,
    format: str = "auto",
    passage_words: int | None = 100,
    encoding: str | None = None,
    strict: bool = False,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    id_field: str | None = None,
    text_field: str | None = None,
    title_field: str | None = None,
) -> Corpus:
    """Stream the passages of a corpus, in its order; the content is checked as it is read.

    Passages of BEIR folders and DPR tables are kept as they are. Documents of the other layouts are cut into
    passages of at most ``passage_words`` words (see :func:`retrievers.split_document`). A document that has a title
    alone becomes a passage of its title. When the stream ends, a ``CorpusWarning`` says what was left out and why:
    documents without text, files that cannot be read, and files that do not belong to the layout.

    Args:
        source: A file or folder in one of the layouts below, or ``"hf:NAME[:CONFIG][:SPLIT]"``, which loads a
            data set by name with the ``datasets`` package.
        format: ``"beir"``, ``"jsonl"`` (one file or several), ``"json"`` (an array), ``"dpr"``, ``"table"`` (CSV and
            the like, with a header), ``"squad"``, ``"folder"`` (of documents), ``"hf"``, or ``"auto"`` to tell by name
            and content.
        passage_words: Upper limit of passage length in words; ``None`` keeps documents whole.
        encoding: Of text files without a byte order mark; None is UTF-8.
        strict: Refuse the corpus where something would be left out because it cannot be read or has no text.
        include: Patterns such as ``"*.md"`` or ``"reports/*"``; only files of a folder that fit one are read.
        exclude: Patterns of files of a folder that are not read.
        id_field: Name of the field or column of ids; None tries id, _id and docid.
        text_field: Likewise of texts; None tries text, contents and passage.
        title_field: Likewise of titles; None tries title.

    Raises:
        FileNotFoundError: ``source`` does not exist.
        CorpusError: The layout is unknown or is several, nothing is left of the corpus, or a record is broken: invalid
            JSON, no field with a text, an id that occurs twice. The message names the file and the line.
        ImportError: A Hugging Face data set is asked for and ``datasets`` is not installed.
        ValueError: ``format`` or ``encoding`` is unknown, or ``passage_words`` is below 1.
    """
    if format != "auto" and format not in _FORMATS:
        raise ValueError(f"format must be 'auto' or one of {', '.join(map(repr, _FORMATS))}, got {format!r}")
    if passage_words is not None and passage_words < 1:
        raise ValueError(f"passage_words must be at least 1 or None, got {passage_words}")
    encoding_of(b"", encoding)
    skips, fields, read = Skips(strict), Fields(id_field, text_field, title_field), Counter[str]()
    if isinstance(source, str) and source.startswith("hf:"):
        if format not in {"auto", "hf"}:
            raise ValueError(f"{source!r} names a Hugging Face data set, which format={format!r} does not read")
        layout, files = "hf", list[Path]()
        records = formats.read_rows(_hub_dataset(source), source, fields)
    else:
        path = Path(source)
        if not path.exists():
            raise FileNotFoundError(f"no such corpus file or folder: {path}")
        layout, files = find_files(path, format, include=include, exclude=exclude, skips=skips)
        if path.is_file() and layout == "folder":
            skips.strict = True  # there is nothing else in this corpus
        records = _records(layout, files, path, fields, encoding, skips, read)
    rest = _counted(records, read)
    max_words = None if layout in _KEEPS_PASSAGES else passage_words
    return Corpus(source, layout, files, read, _passages(rest, source, max_words, skips), rest, skips)


@dataclass
class Corpus(Iterator[Passage]):
    """The passages of a corpus that is being read, one after another, and how far the reading has come.

    Attributes:
        source: As in :func:`load_corpus`.
        layout: What ``format`` says, or what was found.
        files: What is read, in order; empty for a data set by name.
        read: Counts the documents that the passages so far come from, and their characters; the files that have been
            opened, and the documents of the last of them (``"here"``).
        passages: The same passages, without the ``CorpusWarning`` at their end.
        rest: The documents that have not been asked for yet.
        skipped: What has been left out so far; whole when the stream has ended.
    """

    source: str | Path
    layout: str
    files: Sequence[Path]
    read: Counter[str]
    passages: Iterator[Passage]
    rest: Iterator[Record]
    skipped: Skips
    _warned: bool = False

    def __next__(self) -> Passage:
        try:
            return next(self.passages)
        except StopIteration:
            if self.skipped and not self._warned:
                self._warned = True
                warnings.warn(describe(self.skipped, self.source), CorpusWarning, stacklevel=2)
            raise


def _records(
    layout: str,
    files: Sequence[Path],
    source: Path,
    fields: Fields,
    encoding: str | None,
    skips: Skips,
    read: Counter[str],
) -> Iterator[Record]:
    """The records of one file after another."""
    if layout == "hf":
        yield from _rows(source, files, fields)
        return
    for path in files:
        read["files"], read["here"] = read["files"] + 1, 0
        name = path.relative_to(source).as_posix() if source.is_dir() else path.name
        if layout == "folder":
            try:
                yield from read_document(path, name, fields=fields, encoding=encoding, skips=skips)
            except CorpusError as error:
                skips.failed(error, path, name)
            except OSError as error:
                skips.failed(CorpusError(f"{path}: cannot be read ({error.strerror or error})"), path, name)
        elif layout == "dpr":
            yield from tables.read_dpr(path, encoding=encoding, skips=skips)
        elif layout == "table":
            yield from tables.read_table(path, fields, name=name, encoding=encoding, skips=skips)
        elif layout == "squad":
            yield from formats.read_squad(path, encoding)
        elif layout == "json":
            yield from formats.read_json(path, fields, name=name, encoding=encoding)
        elif layout == "beir":
            yield from formats.read_jsonl(path, fields, encoding=encoding, skips=skips)
        else:
            yield from formats.read_jsonl(path, fields, name=name, encoding=encoding, skips=skips)


def _counted(records: Iterator[Record], read: Counter[str]) -> Iterator[Record]:
    for record in records:
        read["documents"] += 1
        read["here"] += 1
        read["characters"] += len(record.text if record.text.strip() else record.title)
        yield record


def _passages(records: Iterator[Record], source: str | Path, max_words: int | None, skips: Skips) -> Iterator[Passage]:
    seen: set[str] = set()
    for record in records:
        if (reason := _unusable(record)) is not None:
            is_file = f"/{record.where}".endswith(f"/{record.id}")
            place = record.id if is_file else f"{record.where}, {record.id!r}"
            skips.unreadable(place, reason, record.id)
            continue
        if not record.text.strip():
            record = record._replace(text=record.title, title="", marks=())
        passages = (
            [Passage(record.id, record.text, record.title, record.metadata)]
            if max_words is None
            else split_document(
                record.id,
                record.text,
                title=record.title,
                max_words=max_words,
                metadata=record.metadata,
                marks=record.marks,
            )
        )
        ids = {record.id, *(passage.id for passage in passages)}
        if repeated := ids & seen:
            raise CorpusError(f"{record.where}: the id {min(repeated)!r} occurs twice")
        seen |= ids
        yield from passages
    if not seen:
        reason = f"nothing of it can be indexed: {describe(skips, source)}" if skips else "the corpus is empty"
        raise CorpusError(f"{source}: {reason}")


def _unusable(record: Record) -> str | None:
    """Why a record cannot become a passage; ``CorpusError`` if its metadata cannot be kept."""
    if not record.text.strip() and not record.title.strip():
        return NO_TEXT
    for name, value in (("id", record.id), ("text", record.text), ("title", record.title)):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            return f"with a {name} that is not valid Unicode (lone surrogate at character {error.start})"
    try:
        json.dumps(record.metadata, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise CorpusError(f"{record.where}: the metadata of passage {record.id!r} cannot be kept ({reason})") from None
    return None


def _local_dataset(files: Sequence[Path]) -> Any:
    datasets = _import_datasets()
    if is_saved_dataset(files[0]):
        return _only_split(datasets.load_from_disk(str(files[0])), str(files[0]))
    return datasets.load_dataset("parquet", data_files=[str(f) for f in files], split="train", streaming=True)


def _rows(path: Path, files: Sequence[Path], fields: Fields) -> Iterator[Record]:
    """The records of a data set on disk; whatever pyarrow and datasets say of a damaged one is one kind of error."""
    try:
        yield from formats.read_rows(_local_dataset(files), str(path), fields)
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
