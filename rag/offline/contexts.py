"""DPR and FiD files: `question`, `answers`, `ctxs`; out in the same layout, the contexts reordered."""

from __future__ import annotations

import gzip
import io
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from rag.offline.writing import Part, Rerank, strictly_descending
from retrievers import CorpusError, Hit, Passage
from retrievers.corpora.decoding import BROKEN_GZIP, LONGEST_LINE, decoded_lines
from retrievers.storage.json_text import DECODER, as_decode_error, parse_json

_CHUNK = 2**20  # characters read at a time
_NEAR_THE_END = 12  # characters within which an error may come from text not read yet
_SPACE = re.compile(r"[\s]*")


class Entry(NamedTuple):
    """A question with its contexts, and how many of these are reranked."""

    content: dict[str, Any]
    depth: int

    def reranked(self, rerank: Rerank) -> Part:
        """The entry as JSON."""
        contexts: Sequence[dict[str, Any]] = self.content["ctxs"]
        hits = [
            Hit(Passage(str(number), context["text"], context.get("title") or ""), 0.0)
            for number, context in enumerate(contexts[: self.depth])
        ]
        reranking = rerank(self.content["question"], hits) if hits else None
        ranked = reranking.passages if reranking else ()
        order = [*(int(one.passage.id) for one in ranked), *range(len(ranked), len(contexts))]
        scores = strictly_descending([one.score for one in ranked], len(order))
        ordered = [{**contexts[place], "score": score} for place, score in zip(order, scores, strict=True)]
        text = json.dumps({**self.content, "ctxs": ordered}, ensure_ascii=False, allow_nan=False)
        return Part(text, reranking.notices if reranking else ())


class ContextsTask:
    """Reranks a DPR or FiD file, a JSON array or JSON Lines, read twice: once to check it.

    `ctxs` come out best first with their new `score`; everything else stays as it was.

    Args:
        path: the file; may be `.gz`.
        depth: how many first contexts are reranked; the others follow in their order.

    Raises:
        FileNotFoundError: there is no such file.
        CorpusError: the file is not of this layout; the message names the place.
    """

    def __init__(self, path: Path, depth: int):
        if not path.is_file():
            raise FileNotFoundError(f"no such file: {path}")
        self._path, self._depth = path, depth
        self._array = is_array(path)
        self.head, self.between, self.tail = ("[\n", ",\n", "\n]\n") if self._array else ("", "\n", "\n")
        self.total = sum(1 for _ in self)
        if not self.total:
            raise CorpusError(f"{path} holds no question")

    def __iter__(self) -> Iterator[Entry]:
        """The entries, checked."""
        for where, entry in json_values(self._path, self._array):
            _check(entry, where)
            yield Entry(entry, self._depth)


def is_array(path: Path) -> bool:
    """Whether a JSON file is one array, and not JSON Lines."""
    with _opened(path) as file:
        return _Text(path, file).comes("[")


def json_values(path: Path, array: bool) -> Iterator[tuple[str, Any]]:
    """The values of an array or of JSON Lines, and where each stands, holding one of them at a time.

    Raises:
        CorpusError: invalid JSON, NaN and infinity included; the message names file and line.
    """
    if array:
        yield from _array_values(path)
        return
    for number, line in enumerate(decoded_lines(path), start=1):
        if line.strip():
            where = f"{path}, line {number}"
            try:
                yield where, parse_json(line.strip())
            except json.JSONDecodeError as error:
                raise CorpusError(f"{where}: not valid JSON ({error.msg})") from None


def _array_values(path: Path) -> Iterator[tuple[str, Any]]:
    with _opened(path) as file:
        text = _Text(path, file)
        text.take("[")
        number = 0
        while not text.comes("]"):
            if number:
                text.take(",")
            number += 1
            where = f"{path}, line {text.line}, entry {number}"
            yield where, text.value()
        text.take("]")
        if not text.at_end():
            raise CorpusError(f"{path}, line {text.line}: more follows after the array")


def _opened(path: Path) -> TextIO:
    return io.TextIOWrapper(gzip.open(path) if path.suffix == ".gz" else path.open("rb"), encoding="utf-8-sig")


class _Text:
    """A text of which only what is being parsed is held."""

    def __init__(self, path: Path, file: TextIO):
        self.line = 1
        self._path, self._file = path, file
        self._held, self._at, self._finished = "", 0, False  # what is before `_at` is done with

    def comes(self, mark: str) -> bool:
        self._skip()
        return self._held.startswith(mark, self._at)

    def take(self, mark: str) -> None:
        if not self.comes(mark):
            raise CorpusError(f"{self._path}, line {self.line}: not valid JSON (expected {mark!r})")
        self._drop(self._at + len(mark))
        self._skip()

    def at_end(self) -> bool:
        self._skip()
        return self._at == len(self._held)

    def value(self) -> Any:
        self._skip()
        while True:
            try:
                value, end = DECODER.raw_decode(self._held, self._at)
            except (RecursionError, ValueError) as raised:
                error = as_decode_error(raised, self._held)
                message, place = error.msg, error.pos
                del error  # it holds the text, and what holds it would only go with the next collection
                cut = message.startswith("Unterminated") or place >= len(self._held) - _NEAR_THE_END
                if self._finished or not cut:
                    line = self.line + self._held.count("\n", self._at, place)
                    raise CorpusError(f"{self._path}, line {line}: not valid JSON ({message})") from None
                left = len(self._held) - self._at
                if left > LONGEST_LINE:
                    most = LONGEST_LINE // 2**20
                    raise CorpusError(f"{self._path}, line {self.line}: an entry longer than {most} MiB") from None
                self._read(max(_CHUNK, left))  # doubled, so that long values are not parsed too often
                continue
            self._drop(end)
            return value

    def _skip(self) -> None:
        while True:
            space = _SPACE.match(self._held, self._at)
            assert space is not None
            self._drop(space.end())
            if self._at < len(self._held) or self._finished:
                return
            self._read(_CHUNK)

    def _drop(self, end: int) -> None:
        self.line += self._held.count("\n", self._at, end)
        self._at = end

    def _read(self, n: int) -> None:
        try:
            more = self._file.read(n)
        except (UnicodeDecodeError, *BROKEN_GZIP) as error:
            raise CorpusError(f"{self._path}: cannot be read as UTF-8 text: {error}") from None
        self._held, self._at = self._held[self._at :] + more, 0
        self._finished = not more


def _check(entry: Any, where: str) -> None:
    layout = "DPR/FiD JSON, which holds question, answers and ctxs with text"
    if not isinstance(entry, dict) or not isinstance(entry.get("ctxs"), list):
        raise CorpusError(f"{where}: not {layout}")
    if not isinstance(entry.get("question"), str) or not entry["question"].strip():
        raise CorpusError(f"{where}: the question must be text, got {entry.get('question')!r}")
    try:
        json.dumps(entry, ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError) as error:
        what = "nested too deeply" if isinstance(error, RecursionError) else "not valid Unicode (lone surrogate)"
        raise CorpusError(f"{where}: {what}") from None
    for number, context in enumerate(entry["ctxs"], start=1):
        if not isinstance(context, dict) or not isinstance(context.get("text"), str):
            raise CorpusError(f"{where}, context {number}: not {layout}")
        if not isinstance(context.get("title") or "", str):
            raise CorpusError(f"{where}, context {number}: the title must be text, got {context['title']!r}")
