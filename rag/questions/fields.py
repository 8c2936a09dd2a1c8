"""The fields of an entry of a question file: its id, its text, and its accepted answers in every known shape."""

from __future__ import annotations

import ast
import io
import json
import tokenize
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

from retrievers import CorpusError
from retrievers.storage.json_text import parse_json

ID_FIELDS = ("id", "_id", "question_id", "query_id", "qid")
TEXT_FIELDS = ("question", "question_text", "query", "input")
ANSWER_FIELDS = ("answers", "answer", "golden_answers", "possible_answers", "answers_objects", "output", "target")
ALIAS_FIELD = "answer_aliases"
_PARTS = ("text", "value", "aliases", "spans", "number", "answer")  # of an answer that is an object
_BESIDE = ("provenance", "meta")  # alone in an object of KILT's `output`, which then holds no answer
_EXPECTED = (
    "a string, a list of strings, null, or an object such as "
    "{text, answer_start}, {value, aliases}, {spans} or {answer}"
)


class Entry(NamedTuple):
    """One entry of a file.

    Attributes:
        where: its place, as in "questions.jsonl, line 3".
        name: its id where it gives none.
        value: its fields.
    """

    where: str
    name: str
    value: Mapping[str, Any]

    @property
    def id(self) -> str:
        """The id; a whole number is read as its digits."""
        given = next((self.value[field] for field in ID_FIELDS if self.value.get(field) is not None), self.name)
        if isinstance(given, bool) or not isinstance(given, str | int) or given == "":
            raise CorpusError(f"{self.where}: the id must be a non-empty string or a whole number, got {_short(given)}")
        return str(given)

    @property
    def text(self) -> str:
        """The question."""
        given = next((self.value[field] for field in TEXT_FIELDS if field in self.value), None)
        if not isinstance(given, str):
            raise CorpusError(
                f"{self.where}: not a question; expected a string named {' or '.join(TEXT_FIELDS)}, got "
                + (f"fields {list(self.value)[:8]}" if given is None else _short(given))
            )
        return given.strip()

    @property
    def answers(self) -> tuple[str, ...] | None:
        """The accepted answers; None if no field speaks of them."""
        if self.value.get("answerable") is False:  # MuSiQue then keeps the answer of the answerable twin
            return ()
        present = [field for field in ANSWER_FIELDS if field in self.value]
        if not present:
            return None
        found = next(filter(None, (accepted_answers(self.value[field], self.where) for field in present)), ())
        return tuple(dict.fromkeys([*found, *accepted_answers(self.value.get(ALIAS_FIELD), self.where)]))

    def rest(self, *used: str) -> dict[str, Any]:
        """The other fields, with the items of a `metadata` object among them."""
        known = {*ID_FIELDS, *TEXT_FIELDS, *ANSWER_FIELDS, ALIAS_FIELD, *used}
        nested = self.value.get("metadata")
        if nested is None or isinstance(nested, dict):
            known.add("metadata")
        return {name: own for name, own in self.value.items() if name not in known} | (
            nested if isinstance(nested, dict) else {}
        )


def accepted_answers(value: Any, where: str) -> tuple[str, ...]:
    """The distinct answers that a value of any known shape stands for.

    A string is one answer, or the list that it spells, in JSON or in Python; null is no answer. Of an object, the
    answers are in `text` (SQuAD), `value` and `aliases` (TriviaQA), `spans` and `number` (MuSiQue, DROP) or `answer`
    (KILT). A number is refused, because it may count the choices of a question.

    Raises:
        CorpusError: the value has another type; the message says where it stands.
    """
    return tuple(dict.fromkeys(answer for answer in _strings(value, where, nested=False) if answer.strip()))


def _strings(value: Any, where: str, *, nested: bool) -> Iterator[str]:
    if value is None:
        return
    if isinstance(value, str):
        spelled = None if nested else spelled_list(value, where)
        yield from [value] if spelled is None else spelled
    elif isinstance(value, list) and not nested:
        for item in value:
            yield from _strings(item, where, nested=True)
    elif isinstance(value, dict) and (parts := [value[part] for part in _PARTS if part in value]):
        for part in parts:
            for item in part if isinstance(part, list) else [part]:
                if item is not None and not isinstance(item, str):
                    raise _unknown(value, where)
                yield from () if item is None else [item]
    elif not (isinstance(value, dict) and nested and value and set(value) <= set(_BESIDE)):
        raise _unknown(value, where)


def _unknown(value: Any, where: str) -> CorpusError:
    return CorpusError(f"{where}: accepted answers must be {_EXPECTED}; got {_short(value)}")


def spelled_list(text: str, where: str) -> list[str] | None:
    """The list of strings that a text spells as JSON or Python write it; None if it spells none.

    Raises:
        CorpusError: commas are missing between the strings, as NumPy prints them; Python would join these.
    """
    text = text.strip()
    if not (text.startswith("[") and text.endswith("]")):
        return None
    for read in (parse_json, ast.literal_eval):
        try:
            values = read(text)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):  # as literal_eval documents
            continue
        if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
            return None
        if read is ast.literal_eval and _lacks_commas(text):
            raise CorpusError(f"{where}: commas are missing between the answers of {_short(text)}")
        return values
    return None


def _lacks_commas(text: str) -> bool:
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    kinds = [token.type for token in tokens if token.type != tokenize.NL]
    return any(first == second == tokenize.STRING for first, second in pairwise(kinds))


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else f"{text[:80]}…"
