"""How many CPU threads torch uses."""

from __future__ import annotations


def set_threads(threads: int) -> None:
    """Use so many CPU threads in torch; 0 leaves torch's own choice, and torch unloaded."""
    if threads:
        import torch

        torch.set_num_threads(threads)
