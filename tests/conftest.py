"""One thread for everything: tiny models gain nothing from more, and lose much where other work wants the cores."""

import os
import shutil
from collections.abc import Iterator

import pytest

# Before torch, faiss and numpy start their thread pools; subprocesses inherit it.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say aloud that nothing was shown of a real language model."""
    skipped = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])]
    if any("make real-model" in reason for reason in skipped):
        terminalreporter.write_line("The tests of a real language model were left out; `make real-model` fetches it.")


@pytest.fixture(autouse=True, scope="session")
def no_wait_for_the_disk() -> Iterator[None]:
    """Nothing here asks what outlasts a loss of power, and waiting for it is a large fraction of the time.

    Processes that tests start, and kill, wait as ever.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)
        yield


@pytest.fixture(scope="module")
def browser() -> Iterator:
    """Headless Chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium: apt install chromium")
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()
