"""Whether this installation works (environment, packages, models, settings, an index), and what to do."""

from rag.doctor.check import Check, summary
from rag.doctor.examine import examine

__all__ = ["Check", "examine", "summary"]
