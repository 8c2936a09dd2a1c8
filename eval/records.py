"""Results on disk: records kept question by question, so that a killed run resumes, and files written whole."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rag.settings_base import SettingsError
from retrievers.storage.atomic import replace_text
from retrievers.storage.disk import reporting_full_disk
from retrievers.storage.json_text import parse_json
from retrievers.storage.locks import writing

_KEPT = "the questions done so far are kept"


class Records:
    """One JSON object with an "id" per question, appended to a file as they come; in memory without a file.

    The file's first line says what the records were made with. A line that a kill left unfinished is dropped. Records
    made with other versions are kept, with a warning. The file is locked until `close`, so that no second run writes
    into it.

    Args:
        path: a JSON Lines file, continued if it is there; None keeps records in memory alone.
        made_with: what the records depend on.

    Attributes:
        warnings: whether records that were there were made with other versions.

    Raises:
        SettingsError: the file's records were made with something else.
        ValueError: the file is damaged, or not of records.
        BusyError: another run writes to the file.
        DiskFullError: there is no room.
    """

    def __init__(self, path: Path | None, made_with: Mapping[str, Any]):
        self._found: dict[str, dict[str, Any]] = {}
        self._path = path
        self._held = ExitStack()
        self.warnings: list[str] = []
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._open(path, made_with)
        except BaseException:
            self.close()
            raise

    def _open(self, path: Path, made_with: Mapping[str, Any]) -> None:
        self._held.enter_context(writing(path, _KEPT))
        header: dict[str, Any] = json.loads(json.dumps({"made_with": made_with}))
        if path.exists():
            stored = list(_lines(path))
            old = stored[0]["made_with"] if stored else header["made_with"]
            if changed := differing({**old, "versions": None}, {**header["made_with"], "versions": None}):
                raise SettingsError(f"{path} holds results made with other {changed}; choose another folder for these")
            versions = old.get("versions", {})  # older files do not name them
            if changed := differing(versions, {name: header["made_with"]["versions"].get(name) for name in versions}):
                self.warnings.append(f"{path.name} was begun with other versions: {changed}")
            self._found = {record["id"]: record for record in stored[1:]}
        self._file = self._held.enter_context(path.open("ab", buffering=0))
        if path.stat().st_size == 0:
            self._write(header)

    def add(self, record: dict[str, Any]) -> None:
        """Keep a record, and hand it to the operating system before returning."""
        self._found[record["id"]] = record
        if self._path is not None:
            self._write(record)

    def __contains__(self, name: str) -> bool:
        """Whether there is a record with this id."""
        return name in self._found

    def __getitem__(self, name: str) -> dict[str, Any]:
        """The record with this id."""
        return self._found[name]

    def close(self) -> None:
        """Close the file, and let others write to it."""
        self._held.close()

    def _write(self, record: Mapping[str, Any]) -> None:
        assert self._path is not None
        left = (json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n").encode()
        with reporting_full_disk(self._path, _KEPT):
            while left:  # an unbuffered write may take a part
                left = left[self._file.write(left) :]


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The complete lines of a file; an incomplete last one is cut off."""
    raw = path.read_bytes()
    whole = raw.rfind(b"\n") + 1
    if whole < len(raw):
        with path.open("r+b") as file:
            file.truncate(whole)
    for number, line in enumerate(raw[:whole].split(b"\n")[:-1], start=1):
        try:
            value = parse_json(line.decode())
            if not isinstance(value["made_with"], dict) if number == 1 else not isinstance(value["id"], str):
                raise TypeError
        except (ValueError, TypeError, KeyError):
            raise ValueError(f"{path}, line {number}: not a record of an evaluation; delete or move the file") from None
        yield value


def differing(stored: Mapping[str, Any], wanted: Mapping[str, Any], prefix: str = "") -> str:
    """Dotted names of the entries that differ."""
    names = []
    for key in sorted({*stored, *wanted}):
        old, new = stored.get(key), wanted.get(key)
        if isinstance(old, dict) and isinstance(new, dict) and old != new:
            names.append(differing(old, new, f"{prefix}{key}."))
        elif old != new:
            names.append(prefix + key)
    return ", ".join(names)


def save_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a result as JSON, whole or not at all; raises `ValueError` for a number that is not finite."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, json.dumps(content, ensure_ascii=False, allow_nan=False, indent=1))


def file_name(title: str) -> str:
    """A title in the letters, digits and hyphens that a file's name may have everywhere."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
