"""The same readers as for the benchmark."""

from ..benchmark.conftest import read

__all__ = ["read"]
