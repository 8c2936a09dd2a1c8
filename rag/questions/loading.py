"""Read question files in any of the known layouts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rag.questions.contexts import read_dpr, read_hotpotqa, read_paragraphs
from rag.questions.open_domain import ANSWER_FIELDS, read_open, read_table
from rag.questions.question import Question, QuestionSet
from rag.questions.squad import read_squad
from retrievers import CorpusError, load_corpus
from retrievers.corpora.decoding import packed_or_plain
from retrievers.corpora.formats import read_text
from retrievers.storage.json_text import parse_json

KNOWN = (
    "SQuAD, DPR/FiD, HotpotQA, MuSiQue or NQ-open JSON, a .tsv or .csv of PopQA, DPR questions or topics, or a BEIR "
    "folder, with answers in its queries' metadata"
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
        return _read_beir(path)
    if Path(path.name.removesuffix(".gz")).suffix in (".tsv", ".csv"):
        return read_table(path)
    content = _json(path)
    if isinstance(content, dict) and "data" in content:
        return read_squad(path, content)
    entries = content if isinstance(content, list) else [content]
    fields = set(entries[0]) if entries and isinstance(entries[0], dict) else set()
    if fields & {"ctxs", "positive_ctxs"}:
        return read_dpr(path, entries)
    if "supporting_facts" in fields:
        return read_hotpotqa(path, entries)
    if fields & {"paragraphs", "contexts"}:
        return read_paragraphs(path, entries)
    if "question" in fields and fields & set(ANSWER_FIELDS):
        return read_open(path, entries)
    raise CorpusError(f"{path}: cannot tell the layout (fields: {sorted(fields)[:8]}); expected {KNOWN}")


def _json(path: Path) -> Any:
    """A file's JSON value; of JSON Lines, the list of values."""
    text = read_text(path)
    try:
        return parse_json(text)
    except json.JSONDecodeError as error:
        if error.msg != "Extra data":
            raise CorpusError(f"{path}, line {error.lineno}: not valid JSON ({error.msg})") from None
    values = []
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), start=1):
        if line.strip():
            try:
                values.append(parse_json(line))
            except json.JSONDecodeError as error:
                raise CorpusError(f"{path}, line {number}: not valid JSON ({error.msg})") from None
    return values


def _read_beir(folder: Path) -> QuestionSet:
    """A BEIR folder: its corpus, and the queries of `queries.jsonl` with `metadata.answers`."""
    queries = packed_or_plain(folder / "queries.jsonl")
    if queries is None:
        raise CorpusError(f"{folder} holds no queries.jsonl; expected {KNOWN}")
    values = _json(queries)
    found = QuestionSet(list(load_corpus(folder)), [])
    for number, value in enumerate(values if isinstance(values, list) else [values], start=1):
        try:
            metadata = dict(value.get("metadata", {}))
            given = metadata.pop("answers", [])
            answers = tuple(dict.fromkeys(map(str, [given] if isinstance(given, str) else given)))
            found.questions.append(
                Question(str(value["_id"]), value["text"].strip(), answers, str(value["_id"]), metadata=metadata)
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise CorpusError(f"{queries}, line {number}: not a BEIR query: {error!r}") from None
    return found
