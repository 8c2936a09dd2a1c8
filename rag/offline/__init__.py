"""Rerank what other engines found: TREC runs, DPR and FiD files; streaming, and going on after a stop."""

from rag.offline.contexts import ContextsTask
from rag.offline.run import RunTask
from rag.offline.writing import Task, rerank_file

__all__ = ["ContextsTask", "RunTask", "Task", "rerank_file"]
