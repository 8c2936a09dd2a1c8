"""The `ragshap` command."""

from rag.cli.app import main, run

__all__ = ["main", "run"]
