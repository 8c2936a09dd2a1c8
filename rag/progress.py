"""How work that takes long says how far it has come."""

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Called as progress(done, total)."""

StageProgress = Callable[[str, int, int], None]
"""Called as progress(stage, done, total)."""
