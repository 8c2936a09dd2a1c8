"""What the properties share; at the end of a run with `-s`, how many cases were tried."""

from __future__ import annotations

import pytest

from . import harness


@pytest.fixture(scope="session", autouse=True)
def told():
    yield
    lines = [
        f"{name}: {count:,}, slowest {harness.slowest.get(name, 0):.2f} s" for name, count in harness.tried.items()
    ]
    print(f"\n{sum(harness.tried.values()):,} cases\n" + "\n".join(lines))  # noqa: T201
