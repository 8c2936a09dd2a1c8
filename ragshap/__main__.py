"""`python -m ragshap` is the `ragshap` command."""

from ragshap import main

main()
