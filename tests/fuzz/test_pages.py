"""HTML and script in questions, passages and titles, in a real browser: none of it runs on any page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from eval.report.page import render_report
from eval.report.run import Part, Report
from rag import Pipeline
from rag.report import render_page
from retrievers import BM25Retriever, Passage

from ..rag.conftest import ScriptedReader

RUN = "window.ran=(window.ran||0)+1"
EVIL = [
    f"<script>{RUN}</script>",
    f"</script></style></title></textarea><script>{RUN}</script>",
    f"<img src=x onerror='{RUN}'>",
    f"<svg onload='{RUN}'><animate onbegin='{RUN}' attributeName=x dur=1s>",
    f"\"'><details open ontoggle='{RUN}'>",
    "<iframe srcdoc='<script>parent.ran=1</script>'></iframe><base href=//evil.example>",
    f"<a href='javascript:{RUN}'>x</a>",
    f"<math><mtext><table><mglyph><style><img src onerror={RUN}>",
    f"[x](javascript:{RUN}) <!--><script>{RUN}</script>--> {{{{constructor.constructor('{RUN}')()}}}}",
]


@pytest.fixture
def page(browser) -> Iterator:
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(20_000)
    yield page
    context.close()


def passages() -> list[Passage]:
    return [Passage(f"{n}{evil}", f"Rome {evil} and {n}", evil) for n, evil in enumerate(EVIL)]


def assert_nothing_ran(page, shown: str) -> None:
    page.wait_for_timeout(300)
    assert page.evaluate("window.ran") is None
    assert shown in page.content()  # the text is there, as text
    assert page.locator("script:not([src]), iframe, img[src='x'], base, a[href^='javascript:']").count() == 0


def test_the_browser_would_run_them(page):
    """Else the other tests would say nothing."""
    for evil in EVIL[:3]:
        page.set_content(f"<!doctype html><title>x</title>{evil}", wait_until="load")
        page.wait_for_timeout(100)
        assert page.evaluate("window.ran") >= 1


def test_the_explanation_page(page, tmp_path):
    answer = Pipeline(None, ScriptedReader()).explain(" ".join(EVIL), passages())
    (tmp_path / "page.html").write_text(render_page(answer), encoding="utf-8")
    page.goto((tmp_path / "page.html").as_uri())
    assert_nothing_ran(page, "&lt;script&gt;")


def test_the_report_of_an_evaluation(page, tmp_path):
    evil = " ".join(EVIL)
    picture = tmp_path / "evil.svg"
    picture.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" onload="{RUN}"><script>{RUN}</script></svg>')
    table = f"| system | n |\n| --- | --- |\n| {EVIL[2]} | {EVIL[0]} |\n\n{evil}\n"
    report = Report(evil, evil, (Part(evil, evil, evil, table, (picture,), 1.0),), {"machine": evil})
    (tmp_path / "report.html").write_text(render_report(report), encoding="utf-8")
    page.goto((tmp_path / "report.html").as_uri())
    assert_nothing_ran(page, "&lt;script&gt;")


def test_the_explorer(page):
    pytest.importorskip("fastapi", reason="the service needs pip install 'ragshap[serve]'")
    from ..rag.service.conftest import Live

    with Live(Pipeline(BM25Retriever(passages()), ScriptedReader())) as live:
        page.goto(live.url)
        page.get_by_label("Question", exact=True).fill(f"Rome {EVIL[0]} {EVIL[2]}")
        page.get_by_label("Attribute to").select_option("passage")  # the scripted reader hides no parts
        page.get_by_label("Question", exact=True).press("Enter")
        page.wait_for_selector("#result .answer")
        assert_nothing_ran(page, "&lt;script&gt;")
        saved = next(Path(live.service.saved.folder).glob("*.json")).stem
        page.goto(f"{live.url}/explanations/{saved}/page")
        assert_nothing_ran(page, "&lt;script&gt;")
