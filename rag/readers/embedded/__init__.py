"""The reader that ships with the package."""

from rag.readers.embedded.reader import EmbeddedReader
from rag.readers.embedded.weights import WeightsError

__all__ = ["EmbeddedReader", "WeightsError"]
