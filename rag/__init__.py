"""ragshap: question answering that knows why it answers.

>>> from rag import Pipeline
>>> pipeline = Pipeline.from_config("default", corpus="examples/islands")  # doctest: +SKIP
>>> print(pipeline.ask("How tall is the Old Man of Hoy?").text)  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rag.answer import Answer, Evidence, OtherAnswer
    from rag.pipeline import Pipeline
    from rag.readers import Reader
    from rag.readers.loading import load_reader
    from rag.rerank import Reranker
    from rag.settings import Settings, load_settings
    from rag.settings_base import SettingsError

__all__ = [
    "Answer",
    "Evidence",
    "OtherAnswer",
    "Pipeline",
    "Reader",
    "Reranker",
    "Settings",
    "SettingsError",
    "load_reader",
    "load_settings",
]

# Imported on first use, so that `import rag` does not load torch.
_HOMES = {
    "Answer": "rag.answer",
    "Evidence": "rag.answer",
    "OtherAnswer": "rag.answer",
    "Pipeline": "rag.pipeline",
    "Reader": "rag.readers",
    "Reranker": "rag.rerank",
    "Settings": "rag.settings",
    "SettingsError": "rag.settings_base",
    "load_reader": "rag.readers.loading",
    "load_settings": "rag.settings",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'rag' has no attribute {name!r}")
