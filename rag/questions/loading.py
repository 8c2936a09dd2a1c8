"""Read question files in any of the known layouts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rag.questions.contexts import read_dpr, read_hotpotqa, read_judged, read_paragraphs
from rag.questions.fields import ANSWER_FIELDS, ID_FIELDS, TEXT_FIELDS, Entry, accepted_answers
from rag.questions.open_domain import read_open, read_table
from rag.questions.question import Question, QuestionSet
from rag.questions.squad import read_squad, read_squad_rows
from rag.questions.topics import read_topics
from retrievers import CorpusError, load_corpus
from retrievers.corpora.decoding import packed_or_plain, read_text
from retrievers.storage.json_text import parse_json

KNOWN = (
    "JSON or JSON Lines of SQuAD, DPR/FiD, HotpotQA, MuSiQue, MIRACL, NQ-open, TriviaQA, FlashRAG, KILT or BRIGHT; a "
    ".tsv or .csv of PopQA, DPR questions or topics; TREC topics in SGML or XML; or a BEIR folder"
)


def load_questions(paths: Iterable[str | Path]) -> QuestionSet:
    """The questions of all files together; each layout is told by its content.

    Passages of SQuAD paragraphs are cut as an index cuts them; the other layouts' passages are kept as they are.
    JSON may be one value or JSON Lines, and may be `.gz`.

    Raises:
        FileNotFoundError: a file is missing.
        CorpusError: a layout is unknown or broken, a file holds no question, or a file is given twice.
    """
    found = QuestionSet([], [])
    seen: set[Path] = set()
    for path in map(Path, paths):
        if path.resolve() in seen:
            raise CorpusError(f"{path} is given twice")
        seen.add(path.resolve())
        part = _load(path)
        if not part.questions:
            raise CorpusError(f"{path} holds no question")
        _check_unicode(path, part)
        found = found + part
    return found


def _check_unicode(path: Path, found: QuestionSet) -> None:
    """Halves of surrogate pairs, which JSON can spell, no tokenizer reads and no file holds."""
    texts = [(q.id, text) for q in found.questions for text in (q.id, q.text, *q.answers)]
    for name, text in (*texts, *((p.id, text) for p in found.passages for text in (p.id, p.title, p.text))):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise CorpusError(
                f"{path}: {name!r} is not valid Unicode (lone surrogate at character {error.start} of a text)"
            ) from None


def _load(path: Path) -> QuestionSet:
    if not path.exists():
        raise FileNotFoundError(f"no such question file or folder: {path}")
    if path.is_dir():
        found = read_beir_queries(path)
        return QuestionSet(list(load_corpus(path)), found.questions, found.notes)
    if Path(path.name.removesuffix(".gz")).suffix in (".tsv", ".csv"):
        return read_table(path)
    text = read_text(path)
    start = text.lstrip()[:1]
    if start == "<":
        return read_topics(path, text)
    if start not in ("{", "[", ""):
        if "\t" in text.split("\n", 1)[0]:
            return read_table(path)
        raise CorpusError(f"{path}: {_guess(text)}; expected {KNOWN}")
    content = _json(path, text)
    if not isinstance(content, list):
        return read_squad(path, content)
    fields: set[str] = set().union(*(entry.value for entry in content))
    return _reader(path, fields)(content)


def _reader(path: Path, fields: set[str]) -> Callable[[Sequence[Entry]], QuestionSet]:
    """What reads entries with these fields, which any of them has."""
    texts, answers = fields & {*TEXT_FIELDS}, fields & {*ANSWER_FIELDS}
    if fields & {"ctxs", "positive_ctxs", "negative_ctxs", "hard_negative_ctxs"}:
        return read_dpr
    if fields & {"positive_passages", "negative_passages"}:
        return read_judged
    if "supporting_facts" in fields:
        return read_hotpotqa
    if fields & {"paragraphs", "contexts"}:
        return read_paragraphs
    if "context" in fields and texts:
        return partial(read_squad_rows, path)
    if (texts - {"input"} and (answers - {"output"} or "gold_ids" in fields)) or (
        {"id", "input", "output"} <= fields and "instruction" not in fields
    ):
        return read_open
    if texts - {"input"} and fields <= {*ID_FIELDS, *TEXT_FIELDS, "metadata"}:
        return read_open
    if "_id" in fields and "text" in fields and fields <= {"_id", "text", "metadata"}:
        return _beir_queries
    raise CorpusError(f"{path}: cannot tell the layout (fields: {sorted(fields)[:8]}); expected {KNOWN}")


def _guess(text: str) -> str:
    """What a file that holds no questions seems to be, by its first line."""
    line = text.lstrip().split("\n", 1)[0].rstrip("\r")
    columns = line.split()
    if len(columns) == 6 and columns[1] == "Q0":
        return "a TREC run, which goes to --run"
    if len(columns) == 4 and columns[1] in ("0", "Q0"):
        return "TREC judgements, which go to --qrels"
    return f"cannot tell the layout, which is neither JSON, SGML, XML nor tab-separated (it begins {line[:40]!r})"


def _json(path: Path, text: str) -> dict[str, Any] | list[Entry]:
    """SQuAD's object, or the entries of an array, of JSON Lines, or of a single object."""
    try:
        content = parse_json(text)
    except json.JSONDecodeError as error:
        if error.msg != "Extra data":
            raise CorpusError(f"{path}, line {error.lineno}: not valid JSON ({error.msg})") from None
        return list(_entries(path, _json_lines(path, text)))
    if isinstance(content, dict) and "data" in content:
        return content
    if isinstance(content, dict):
        return list(_entries(path, [(f"{path}, line 1", content)]))
    return list(_entries(path, ((f"{path}, question {n}", value) for n, value in enumerate(content, start=1))))


def _json_lines(path: Path, text: str) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), start=1):
        if line.strip():
            try:
                yield f"{path}, line {number}", parse_json(line)
            except json.JSONDecodeError as error:
                raise CorpusError(f"{path}, line {number}: not valid JSON ({error.msg})") from None


def _entries(path: Path, values: Iterable[tuple[str, Any]]) -> Iterator[Entry]:
    for number, (where, value) in enumerate(values, start=1):
        if not isinstance(value, dict):
            raise CorpusError(f"{where}: expected an object with a question, got {type(value).__name__}")
        yield Entry(where, f"{path.stem}/{number}", value)


def read_beir_queries(folder: Path) -> QuestionSet:
    """The queries of a BEIR folder, from `queries.jsonl` or `queries.jsonl.gz`, without the corpus.

    Raises:
        CorpusError: the folder holds no queries, or one of them is broken.
    """
    path = packed_or_plain(folder / "queries.jsonl")
    if path is None:
        raise CorpusError(f"{folder} holds no queries.jsonl; expected {KNOWN}")
    if entries := list(_entries(path, _json_lines(path, read_text(path)))):
        return _beir_queries(entries)
    raise CorpusError(f"{path} holds no question")


def _beir_queries(entries: Sequence[Entry]) -> QuestionSet:
    """Queries with `_id` and `text`; their answers are `metadata.answers`, which are ours and not BEIR's."""
    found, seen = QuestionSet([], []), set[str]()
    for entry in entries:
        if not isinstance(text := entry.value.get("text"), str) or "_id" not in entry.value:
            raise CorpusError(f"{entry.where}: not a BEIR query, which holds _id and text; got {list(entry.value)[:8]}")
        own = entry.value.get("metadata")
        if own is not None and not isinstance(own, dict):
            raise CorpusError(f"{entry.where}: the metadata of a BEIR query must be an object or null, got {own!r}")
        metadata = entry.rest("text")
        answers = accepted_answers(metadata.pop("answers", None), entry.where)
        given = "answers" in (own or {})
        name = entry.id
        if name in seen:
            raise CorpusError(f"{entry.where}: the question id {name!r} occurs twice")
        seen.add(name)
        found.questions.append(Question(name, text.strip(), answers, name, metadata=metadata, answers_given=given))
    return found
