"""The same work for many items, in this process or spread by Ray over the processes of a machine or a cluster."""

from rag.scale.executor import Executor, LocalExecutor, Worker
from rag.scale.ray_executor import RayExecutor

__all__ = ["Executor", "LocalExecutor", "RayExecutor", "Worker"]
