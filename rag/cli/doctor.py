"""`ragshap doctor`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from rag.cli.options import Config, IndexFolder, Json, Overrides, print_json, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rag.doctor import Check

_MARKS = {"ok": ("✓", "green"), "missing": ("–", "dim"), "warning": ("!", "yellow"), "problem": ("✗", "red")}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: ragshap doctor --index islands.index")(doctor)


def doctor(
    index: IndexFolder = None, config: Config = None, overrides: Overrides = None, as_json: Json = False
) -> None:
    """Check the environment, packages, models, settings and an index, and say what to do where something is wrong.

    Nothing is downloaded or changed. The exit code is 1 if there is a problem.
    """
    from rag.doctor import examine, summary

    checks = examine(index, config, overrides or [])
    counts = summary(checks)
    if as_json:
        print_json({"checks": [asdict(check) for check in checks], "summary": counts})
    else:
        _print(checks)
        say(f"\nproblems: {counts['problem']}, warnings: {counts['warning']}")
    if counts["problem"]:
        raise typer.Exit(1)


def _print(checks: Sequence[Check]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from rag.report.text import harmless

    console = Console()
    for group in dict.fromkeys(check.group for check in checks):
        table = Table(box=None, show_header=False, pad_edge=False, title=Text(group, "bold"), title_justify="left")
        for check in (check for check in checks if check.group == group):
            mark, style = _MARKS[check.state]
            finding = Text(harmless(check.finding))
            if check.fix:
                finding.append(f"\n{harmless(check.fix)}", "bold" if check.state in ("warning", "problem") else "dim")
            table.add_row(Text(mark, style), Text(harmless(check.name)), finding)
        console.print(table)
