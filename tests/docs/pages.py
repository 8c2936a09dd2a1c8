"""The pages that people read, and what on them can be run."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.S | re.M)
REMARKS = {"3 and 7 need one another, 11 makes up for either"}  # on what is printed; other such comments are printed


@dataclass(frozen=True)
class Block:
    """A block of code on a page; `language` is "" for shell lines and whatever else has none."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    def promised(self) -> set[str]:
        """The lines that its `print`s say they print."""
        return set(re.findall(r"print\(.*\)  # (.+)", self.text)) - REMARKS

    def commands(self) -> list[list[str]]:
        """The arguments of all `ragshap` commands, their continued lines joined."""
        found = re.findall(r"(?:^|[ \t])ragshap[ \t](.*)$", self.text.replace("\\\n", " "), re.M)
        return [shlex.split(arguments, comments=True) for arguments in found]


def blocks() -> list[Block]:
    """All blocks of all pages, in their order."""
    found = []
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        text = path.read_text(encoding="utf-8")
        for match in FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.append(Block(path.relative_to(ROOT).as_posix(), line, match[2], match[3]))
    return found
