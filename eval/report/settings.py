"""The file that says what a report measures."""

from __future__ import annotations

import shlex
from pathlib import Path
from string import Formatter

from pydantic import Field, model_validator

from rag.settings_base import Section

_PLACEHOLDERS = {"data", "out"}


class SectionSettings(Section):
    """One measurement.

    Attributes:
        title: its heading.
        about: what to read from it, in a sentence or two.
        command: arguments of `ragshap`. What it prints is read as Markdown; pictures that it leaves in its folder are
            shown. `{data}` stands for the folder of data and `{out}` for the section's folder.
    """

    title: str = Field(min_length=1)
    about: str = ""
    command: str = Field(min_length=1)

    @model_validator(mode="after")
    def _placeholders(self) -> SectionSettings:
        try:
            named = {name for _, name, _, _ in Formatter().parse(self.command) if name is not None}
            shlex.split(self.command)
        except ValueError as error:
            raise ValueError(f"command: {error}: {self.command!r}") from None
        if unknown := named - _PLACEHOLDERS:
            raise ValueError(f"command: only {{data}} and {{out}} are filled in, not {sorted(unknown)}")
        return self

    def arguments(self, data: Path, out: Path) -> list[str]:
        """The command's arguments over these folders."""
        return [word.format(data=data, out=out) for word in shlex.split(self.command)]


class ReportFile(Section):
    """A report: a title, a line below it, and sections in order."""

    title: str = Field(min_length=1)
    about: str = ""
    sections: list[SectionSettings] = Field(min_length=1)
