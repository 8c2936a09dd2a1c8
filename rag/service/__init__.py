"""The HTTP service: rerank protocols that others' clients speak, our own routes, and the explorer page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rag.service.app import create_app
    from rag.service.server import serve

__all__ = ["create_app", "serve"]


def __getattr__(name: str) -> Any:
    """`create_app` and `serve`, imported on first use; raises `ImportError` with what to install."""
    if name not in __all__:
        raise AttributeError(f"module 'rag.service' has no attribute {name!r}")
    try:
        from rag.service import app, server
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("fastapi", "starlette", "uvicorn", "prometheus_client"):
            raise
        raise ImportError(f"the service needs {error.name}: pip install 'ragshap[serve]'") from None
    return {"create_app": app.create_app, "serve": server.serve}[name]
