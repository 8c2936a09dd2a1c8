"""The pages of the documentation, and the blocks on them that can be run."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.S | re.M)
# A comment behind `print` is the line that it prints, except for these.
REMARKS = {"3 and 7 need one another, 11 makes up for either"}


@dataclass(frozen=True)
class Block:
    """A block of code on a page; `language` is "" for shell lines and other blocks without a language."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    def promised(self) -> set[str]:
        """The lines that the comments behind `print` promise."""
        return set(re.findall(r"print\(.*\)  # (.+)", self.text)) - REMARKS

    def commands(self) -> list[list[str]]:
        """The arguments of all `ragshap` commands, with continued lines joined."""
        found = re.findall(r"(?:^|[ \t])ragshap[ \t](.*)$", self.text.replace("\\\n", " "), re.M)
        return [shlex.split(arguments, comments=True) for arguments in found]


def blocks() -> list[Block]:
    """All blocks of all pages, in the order of the pages."""
    found = []
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        text = path.read_text(encoding="utf-8")
        for match in FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.append(Block(path.relative_to(ROOT).as_posix(), line, match[2], match[3]))
    return found
