"""The `ragshap` command."""

from rag.cli.app import main

__all__ = ["main"]
