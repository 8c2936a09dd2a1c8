"""`python -m rag` is the `ragshap` command."""

from rag.cli import main

main()
