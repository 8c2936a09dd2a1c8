"""What the trainer knows of the network that it trains."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from torch import Tensor, nn

from rag.training.sampling import Example


class ParameterGroup(NamedTuple):
    """Parameters that share a learning rate; `pretrained` ones get the lower."""

    parameters: list[nn.Parameter]
    pretrained: bool


class Learner(Protocol):
    """A network with its loss."""

    @property
    def model(self) -> nn.Module:
        """The network."""
        ...

    def groups(self) -> list[ParameterGroup]:
        """The parameters to train."""
        ...

    def usable(self, questions: Sequence[int]) -> list[int]:
        """The questions that can be learned from."""
        ...

    def losses(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        """Parts of the loss of one step by name, scalars; "total" is minimised."""
        ...

    def state(self) -> dict[str, Tensor]:
        """The network's weights, each once."""
        ...

    def save(self, folder: Path) -> None:
        """Write a folder that `reader.checkpoint` can name; whole or not at all."""
        ...

    def calibrate(self, folder: Path, examples: Sequence[Example]) -> None:
        """Tune what is no weight on held-out examples, and write the folder again."""
        ...
