"""Documents as their sources have them, and the fields that hold their parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from retrievers.corpora.skips import Skips
from retrievers.errors import CorpusError

_ID_FIELDS = ("id", "_id", "docid")
_TEXT_FIELDS = ("text", "contents", "passage")


class Record(NamedTuple):
    """One document as its source has it, and where it stands there (``"corpus.jsonl, line 3"``).

    ``marks`` says what holds of the text from an offset on, such as ``(250, {"page": 3})``, in ascending order.
    """

    where: str
    id: str
    text: str
    title: str
    metadata: Mapping[str, Any]
    marks: tuple[tuple[int, Mapping[str, Any]], ...] = ()


@dataclass(frozen=True)
class Fields:
    """Names of the fields of records; None tries the usual names."""

    id: str | None = None
    text: str | None = None
    title: str | None = None

    @property
    def ids(self) -> tuple[str, ...]:
        """Fields that may hold the id."""
        return _ID_FIELDS if self.id is None else (self.id,)

    @property
    def texts(self) -> tuple[str, ...]:
        """Fields that may hold the text."""
        return _TEXT_FIELDS if self.text is None else (self.text,)


USUAL = Fields()
STRICT = Skips(strict=True)


def from_fields(values: dict[str, Any], where: str, fields: Fields, row_id: str) -> Record:
    """A record of named values; ``row_id``, unless ``""``, is its id if none of the values is.

    Raises:
        CorpusError: The values make no record.
    """
    doc_id, title = id_of(values, where, fields, row_id), title_of(values, where, fields)
    text_field = next((field for field in fields.texts if field in values), None)
    if text_field is None:
        raise CorpusError(
            f"{where}: passage {doc_id!r} has no text; expected a field named {', '.join(fields.texts)}, got "
            f"{list(values)}" + ("" if fields.text else "; --text-field names another")
        )
    nested = values.get("metadata")
    used = {_id_field(values, fields), text_field, fields.title or "title"} | (
        {"metadata"} if isinstance(nested, dict) else set()
    )
    metadata = {key: value for key, value in values.items() if key not in used}
    if isinstance(nested, dict):
        metadata |= nested
    return Record(where, doc_id, optional_text(values, text_field, where), title, metadata)


def id_of(values: Mapping[str, Any], where: str, fields: Fields, row_id: str) -> str:
    """The id among named values, else ``row_id``; ``CorpusError`` if there is none or it can be none."""
    field = _id_field(values, fields)
    if field is None and (fields.id is not None or not row_id):
        raise CorpusError(f"{where}: no id; expected a field named {' or '.join(fields.ids)}, got {list(values)}")
    found = row_id if field is None else values[field]
    if isinstance(found, bool) or not isinstance(found, str | int) or found == "":
        raise CorpusError(f"{where}: the id must be a non-empty string or a whole number, got {found!r}")
    return str(found)


def _id_field(values: Mapping[str, Any], fields: Fields) -> str | None:
    return next((field for field in fields.ids if field in values), None)


def title_of(values: Mapping[str, Any], where: str, fields: Fields) -> str:
    """The title among named values, or ``""``; ``CorpusError`` if a field that was named for it is not there."""
    field = fields.title or "title"
    if fields.title is not None and field not in values:
        raise CorpusError(f"{where}: no field {field!r} for the title, got {list(values)}")
    return optional_text(values, field, where)


def optional_text(values: Mapping[str, Any], field: str, where: str) -> str:
    """A field that may be missing or null, which is ``""``; ``CorpusError`` if it is anything but a string."""
    value = values.get(field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise CorpusError(f"{where}: field {field!r} must be a string, got {type(value).__name__}")
    return value
