"""Readers: models that answer a question from any subset of its passages."""

from rag.readers.base import EncodedQuestion, Reader

__all__ = ["EncodedQuestion", "Reader"]
