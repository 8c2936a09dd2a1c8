"""All checks, one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rag.doctor import environment, models
from rag.doctor.check import Check, line, remedy
from rag.doctor.index import check_index


def examine(index: Path | None = None, config: str | None = None, overrides: Sequence[str] = ()) -> list[Check]:
    """Run all checks. A check that fails with an error is reported as a problem, and the others still run.

    Args:
        index: an index folder to open; its files are compared with their checksums.
        config: settings to read, as for every command; the reader, encoder and engine that they name are checked.
        overrides: changes to the settings, each as "section.key=value".
    """
    found = [
        *_guarded("environment", "machine", environment.check_machine),
        *_guarded("environment", "temporary files", environment.check_temporary_files),
        *_guarded("environment", "torch", environment.check_torch),
        *_guarded("packages", "ragshap", environment.check_packages),
        *_guarded("extras", "ragshap", environment.check_extras),
    ]
    try:
        from rag.service.settings import ServeSettings
        from rag.settings_base import load_section

        settings = load_section(ServeSettings, config, overrides)
    except Exception as error:
        where = "correct it; configs/default.yaml lists every setting"
        found.append(Check("settings", config or "default", "problem", line(error), where))
    else:
        found.append(Check("settings", config or "default", "ok", "read"))
        found += _guarded("models", "reader", lambda: models.check_reader(settings.reader, "reader"))
        if (answering := settings.answer.reader) is not None:
            found += _guarded("models", "answer.reader", lambda: models.check_reader(answering, "answer.reader"))
        found += _guarded("models", "encoder", lambda: models.check_encoder(settings.retriever))
        if settings.retriever.is_engine:
            found += _guarded("settings", settings.retriever.kind, lambda: models.check_engine(settings.retriever))
    if index is not None:
        found += _guarded("index", str(index), lambda: check_index(index))
    return found


def _guarded(group: str, name: str, checks: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    try:
        yield from checks()
    except Exception as error:  # whatever is broken, the rest is still checked
        yield Check(group, name, "problem", line(error), remedy(error))
