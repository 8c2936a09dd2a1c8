"""Explanations given before, kept so that links to them work."""

from __future__ import annotations

import re
import secrets
import tempfile
from pathlib import Path

from rag.answer import Answer
from retrievers.storage.atomic import remove_leftovers, replace_text

_NAME = re.compile(r"[0-9a-f]{24}")


class SavedExplanations:
    """One JSON file per explanation in a folder; the oldest are deleted when there are too many.

    Names are random, so that they cannot be guessed.

    Args:
        folder: the folder, made if it does not exist; None is a temporary one, which `close` removes.
        keep: largest number of explanations.
    """

    def __init__(self, folder: str | Path | None, keep: int):
        self._temporary = tempfile.TemporaryDirectory(prefix="ragshap-") if folder is None else None
        self.folder = Path(self._temporary.name if self._temporary else folder or "")
        self.folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(self.folder, ".json")
        self.keep = keep

    def add(self, answer: Answer) -> str:
        """Keep an explanation and return its name."""
        name = secrets.token_hex(12)
        replace_text(self.folder / f"{name}.json", answer.to_json())
        files = [file for file in self.folder.glob("*.json") if _NAME.fullmatch(file.stem)]
        files.sort(key=lambda file: file.stat().st_mtime_ns)
        for old in files[: max(0, len(files) - self.keep)]:
            old.unlink(missing_ok=True)
        return name

    def get(self, name: str) -> Answer:
        """An explanation by its name.

        Raises:
            KeyError: it is not, or no longer, kept.
            ValueError: its file is damaged.
        """
        if not _NAME.fullmatch(name):
            raise KeyError(name)
        try:
            content = (self.folder / f"{name}.json").read_text(encoding="utf-8")
        except FileNotFoundError:
            raise KeyError(name) from None
        return Answer.from_json(content)

    def close(self) -> None:
        """Remove the folder if it is a temporary one."""
        if self._temporary:
            self._temporary.cleanup()
