"""The explorer page in a real browser; `RAGSHAP_SHOTS=FOLDER` keeps screenshots."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rag.service.app import EXPLORER

from .conftest import Live

pytestmark = pytest.mark.slow

QUESTION = "How high is Hvannadalshnjúkur?"
SHOTS = os.environ.get("RAGSHAP_SHOTS")


@pytest.fixture
def page(browser, live) -> Iterator:
    yield from opened(browser, live.url)


def opened(browser, url: str, **options) -> Iterator:
    """A page that asks no one but the service, and in which no script fails."""
    context = browser.new_context(accept_downloads=True, **options)
    page = context.new_page()
    page.set_default_timeout(20_000)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "console",
        lambda m: wrong.append(m.text) if m.type == "error" and "Failed to load resource" not in m.text else None,
    )
    page.on(
        "request",
        lambda request: None if request.url.startswith((url, "data:", "blob:")) else wrong.append(request.url),
    )
    yield page
    context.close()
    assert wrong == []


def ask(page, url: str, level: str = "passage", k: int = 6) -> None:
    page.goto(url)
    page.get_by_label("Question", exact=True).fill(QUESTION)
    page.get_by_label("Attribute to").select_option(level)
    page.get_by_label("Passages", exact=True).fill(str(k))
    page.get_by_label("Question", exact=True).press("Enter")
    page.wait_for_selector("#result .answer")


def test_ask_watch_read_and_switch_passages_off(page, live):
    page.goto(live.url)
    page.evaluate("""() => {
        window.seen = [];
        new MutationObserver(() => seen.push(document.getElementById("status").textContent))
            .observe(document.getElementById("status"), {childList: true});
    }""")
    page.get_by_label("Question", exact=True).fill(QUESTION)
    page.get_by_label("Attribute to").select_option("sentence")
    page.get_by_label("Passages", exact=True).fill("6")
    page.get_by_role("button", name="Ask", exact=True).click()
    page.wait_for_selector("#result .answer")
    assert page.locator("#result .answer").inner_text() == "2,110 metres"
    assert "Asking subsets of the passages…" in page.evaluate("seen")
    assert page.locator("#progress").is_hidden()

    direct = live.pipeline.retriever.search(QUESTION, 6)
    assert page.locator(".evidence > li").count() == len(direct)
    first = page.locator("#passage-1")
    assert first.locator("svg.bar").get_attribute("aria-label").startswith("value ")
    shades = first.locator(".part.sentence").evaluate_all("all => all.map(e => getComputedStyle(e).backgroundColor)")
    assert len(set(shades)) > 1
    assert page.get_by_role("heading", name="Other answers").is_visible()
    assert page.get_by_text("alone gives this answer").is_visible()

    page.get_by_label("Use passage 1,").uncheck()
    page.wait_for_selector("output strong")
    output = page.locator("output").inner_text()
    rest = [hit.passage for hit in direct if hit.passage.id != "hvannadalshnjukur-2"]
    expected = live.service.engine.answer(QUESTION, rest)
    assert output == f"From 5 of 6 passages: {expected or 'no answer'}, another answer"
    page.get_by_role("button", name="Explain this answer").click()
    page.wait_for_function("() => document.querySelectorAll('.evidence > li').length === 5")
    assert page.locator("#result .answer").inner_text() == (expected or "no answer")


def test_all_passages_can_be_switched_on_again_and_off_altogether(page, live):
    ask(page, live.url)
    boxes = page.locator(".switch input")
    for index in range(boxes.count()):
        boxes.nth(index).evaluate("box => box.click()")
    page.wait_for_function("() => document.querySelector('output').textContent.startsWith('Without any passage')")
    page.get_by_role("button", name="All passages on").click()
    assert page.locator("output").inner_text() == ""
    assert page.locator(".evidence > li.off").count() == 0
    assert page.get_by_role("button", name="Explain this answer").is_disabled()


def test_the_link_leads_to_the_same_explanation_and_the_page_can_be_saved(page, live, tmp_path):
    ask(page, live.url)
    assert "?explanation=" in page.url
    link = page.get_by_role("link", name="Link to this explanation").get_attribute("href")
    before = page.locator(".evidence").first.inner_text()
    page.goto("about:blank")
    page.goto(live.url + link)
    page.wait_for_selector("#result .answer")
    assert page.locator(".evidence").first.inner_text() == before
    assert page.get_by_label("Question", exact=True).input_value() == QUESTION
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save as a page").click()
    path = tmp_path / "why.html"
    saved.value.save_as(path)
    assert "2,110 metres" in path.read_text(encoding="utf-8")


def test_passages_of_ones_own(page, live):
    page.goto(live.url)
    page.get_by_text("Passages of your own").click()
    page.locator("#passages").fill("Oslo is the capital of\nNorway.\n\n<b>Cats</b> sleep a lot.\n")
    page.get_by_label("Question", exact=True).fill("What is the capital of Norway?")
    page.get_by_label("Attribute to").select_option("word")
    page.get_by_role("button", name="Ask", exact=True).click()
    page.wait_for_selector("#result .answer")
    assert page.locator("#result .answer").inner_text() == "Oslo"
    assert page.locator(".evidence > li").count() == 2
    assert page.locator("#result b").count() == 0
    assert page.locator("#passage-1 .part.word").all_inner_texts()[0].startswith("Oslo")


def test_an_answer_of_ones_own_lights_up_with_its_passages(page, live):
    page.goto(live.url)
    page.get_by_text("Passages of your own").click()
    page.get_by_label("An answer to explain").fill("Cats sleep a lot. Oslo is the capital of Norway.")
    page.get_by_label("Question", exact=True).fill("What sleeps, and what is the capital?")
    page.get_by_role("button", name="Ask", exact=True).click()
    assert "give the passages too" in page.get_by_role("alert").inner_text()
    page.locator("#passages").fill("Oslo is the capital of Norway.\n\nCats sleep a lot.")
    page.get_by_role("button", name="Ask", exact=True).click()
    page.wait_for_selector("#result .cited")
    passage = page.locator(".evidence > li.carries-1")
    page.locator("#sentence-1").hover()
    assert "lit" in passage.get_attribute("class")
    assert "Cats" in passage.locator(".snippet").inner_text()
    passage.locator("h3").hover()
    assert "lit" in page.locator("#sentence-1").get_attribute("class")
    assert "lit" not in page.locator("#sentence-2").get_attribute("class")
    assert page.locator(".whatif").count() == 0
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / "given.png", full_page=True)


def test_problems_are_said(page, live):
    page.goto(f"{live.url}/?explanation={'0' * 24}".replace("//?", "/?"))
    page.wait_for_function("() => document.getElementById('problem').textContent")
    assert "no longer, kept" in page.get_by_role("alert").inner_text()


def test_the_keyboard_is_enough(page, live):
    page.goto(live.url)
    page.wait_for_selector("#question:focus")
    page.keyboard.type(QUESTION)
    page.keyboard.press("Enter")
    page.wait_for_selector("#result .answer")
    assert page.evaluate("document.activeElement.id") == "result"
    reached = []
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("document.activeElement.getAttribute('aria-label') || document.activeElement.tagName")
        )
    assert any(name.startswith("Use passage 1,") for name in reached)
    assert "SUMMARY" in reached
    page.locator("#passage-1 summary").focus()
    was = page.locator("#passage-1 details").evaluate("e => e.open")
    page.keyboard.press("Enter")
    assert page.locator("#passage-1 details").evaluate("e => e.open") is not was


def test_every_control_has_a_name(page, live):
    ask(page, live.url)
    nameless = page.evaluate("""() =>
        [...document.querySelectorAll("input, select, textarea, button, a, output, progress")]
        .filter(e => !(e.labels?.length || e.getAttribute("aria-label") || e.textContent.trim()))
        .filter(e => e.tagName !== "OUTPUT")
        .map(e => e.outerHTML)""")
    assert nameless == []
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_nothing_is_cut_off_or_too_faint(browser, live, scheme, width):
    for page in opened(browser, live.url, color_scheme=scheme, viewport={"width": width, "height": 900}):
        ask(page, live.url, "sentence")
        page.get_by_label("Use passage 1,").uncheck()
        page.wait_for_selector("output strong")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        left = page.evaluate("document.querySelector('.switch').getBoundingClientRect().left")
        assert left >= 0
        assert contrast(*colours(page, "body")) > 7
        assert contrast(*colours(page, "button[type=submit]")) > 4.5
        if SHOTS:
            page.screenshot(path=Path(SHOTS) / f"explorer-{scheme}-{width}.png", full_page=True)


def colours(page, selector: str) -> tuple[list[float], list[float]]:
    """Of an element's text, and of its background."""
    script = "(e, name) => getComputedStyle(e)[name].match(/[0-9.]+/g).slice(0, 3).map(Number)"
    element = page.locator(selector).first
    return element.evaluate(script, "color"), element.evaluate(script, "backgroundColor")


def contrast(first: list[float], second: list[float]) -> float:
    """Contrast ratio of two sRGB colours (WCAG 2.1)."""

    def luminance(colour: list[float]) -> float:
        linear = [c / 12.92 if (c := v / 255) <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for v in colour]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted([luminance(first), luminance(second)], reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_a_token_is_asked_for_and_kept(browser, islands, monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "correct-horse-battery")
    with Live(islands, token_env="MY_TOKEN") as live:
        for page in opened(browser, live.url):
            page.goto(live.url)
            page.get_by_label("Question", exact=True).fill(QUESTION)
            page.get_by_label("Attribute to").select_option("passage")
            page.get_by_role("button", name="Ask", exact=True).click()
            page.get_by_label("This service asks for its token").fill("wrong-horse-battery")
            page.get_by_role("button", name="Go on").click()
            page.wait_for_function("() => document.getElementById('problem').textContent.includes('not the one')")
            page.get_by_label("This service asks for its token").fill("correct-horse-battery")
            page.get_by_role("button", name="Go on").click()
            page.wait_for_selector("#result .answer")
            assert page.locator("#token").is_hidden()


def test_stopping_ends_the_work(browser):
    from rag import Pipeline

    from .conftest import SlowReader

    reader = SlowReader()
    with Live(Pipeline(None, reader)) as live:
        for page in opened(browser, live.url):
            page.goto(live.url)
            page.wait_for_selector("#own[open]")
            reader.hold.set()
            page.locator("#passages").fill("Rome")
            page.get_by_label("Attribute to").select_option("passage")
            page.get_by_label("Question", exact=True).fill("where?")
            page.get_by_role("button", name="Ask", exact=True).click()
            assert reader.started.wait(10)
            page.get_by_role("button", name="Stop").click()
            page.wait_for_function("() => document.getElementById('problem').textContent === 'Stopped.'")
            while live.service.worker.unfinished:
                page.wait_for_timeout(10)
        reader.hold.clear()


def test_the_page_names_no_other_place():
    for file in EXPLORER.iterdir():
        assert "http" not in file.read_text(encoding="utf-8").replace("http-equiv", ""), file
