"""ragshap: question answering that knows why it answers.

All public names of `rag`, `retrievers` and `attribution` in one place, each imported when it is first used:

>>> import ragshap
>>> pipeline = ragshap.Pipeline.from_config("default", corpus="examples/islands")  # doctest: +SKIP
>>> print(pipeline.ask("How tall is the Old Man of Hoy?").text)  # doctest: +SKIP
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attribution import *
    from rag import *
    from retrievers import *

__all__ = [
    "ESTIMATORS",
    "Answer",
    "Attribution",
    "BM25Retriever",
    "BanzhafSampling",
    "CachedGame",
    "Contribution",
    "CorpusError",
    "CorpusWarning",
    "DenseRetriever",
    "EngineError",
    "Evidence",
    "ExactEnumeration",
    "Game",
    "GaussianProcess",
    "Group",
    "Hit",
    "HybridRetriever",
    "IndexFormatError",
    "Interactions",
    "KernelSampling",
    "LikelihoodGame",
    "OtherAnswer",
    "OwenValues",
    "Passage",
    "PermutationSampling",
    "Pipeline",
    "Reader",
    "RegressionAdjusted",
    "Reranker",
    "Retriever",
    "Searcher",
    "Settings",
    "SettingsError",
    "StoppingRule",
    "TargetError",
    "TopKCertain",
    "VotesGame",
    "as_passages",
    "check",
    "exact",
    "exact_owen",
    "explain",
    "interactions",
    "load_corpus",
    "load_index",
    "load_reader",
    "load_settings",
    "normalize_answer",
    "owen",
    "sentence_spans",
    "split_document",
    "split_text",
]

PACKAGES = ("rag", "attribution", "retrievers")
"""The packages whose names these are; `rag` first, whose names are known without loading a library."""

HOME = Path(__file__).resolve().parent
"""The folder that holds ragshap's packages: `site-packages`, or a checkout of the repository."""


if not TYPE_CHECKING:  # or type checkers would take any name for one of ours

    def __getattr__(name: str) -> Any:
        if name in __all__:
            check_packages(*PACKAGES)
            for package in map(import_module, PACKAGES):
                if name in package.__all__:
                    return getattr(package, name)
        raise AttributeError(f"module 'ragshap' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__


def check_packages(*names: str) -> None:
    """Make sure that Python imports ragshap's own packages of these names, and nobody else's.

    Raises:
        ImportError: names the folder or file that Python finds instead.
    """
    for name in names:
        if (found := find_package(name)) != HOME / name:
            raise ImportError(
                f"{HOME / name} is missing; install ragshap again"
                if found is None
                else f"{found} hides ragshap's own package {name} ({HOME / name}): "
                "give it another name, or start Python in another folder"
            )


def find_package(name: str) -> Path | None:
    """The folder of the package that Python imports by a name, the file if it is a module; None if there is neither."""
    spec = find_spec(name)
    if spec is None:
        return None
    place = next(iter(spec.submodule_search_locations or ()), spec.origin)
    return None if place is None else Path(place).resolve()


def main() -> None:
    """Run the `ragshap` command."""
    try:
        check_packages("rag")
    except ImportError as error:
        sys.exit(f"ragshap: {error}")
    from rag.cli import main as run

    run()


if __name__ == "__main__":
    main()
