"""The documentation site builds without a warning, describes every public name, and asks no other host for anything."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from .pages import ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    pytest.importorskip("mkdocs", reason="the site needs pip install 'ragshap[docs]'")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.parametrize("package", ["rag", "retrievers", "attribution"])
def test_every_public_name_has_an_entry(site, package):
    page = (site / "reference" / f"{package}.html").read_text(encoding="utf-8")
    described = {name.rpartition(".")[2] for name in re.findall(rf'id="({package}\.[\w.]+)"', page)}
    assert set(import_module(package).__all__) - described == set()


def test_pages_ask_no_other_host_for_anything(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 10
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert re.findall(r'<(?:script|img|iframe|source)\b[^>]*\bsrc="?(?:https?:)?//', text) == []
        assert re.findall(r'<link\b[^>]*\brel="?(?:stylesheet|preconnect|preload)[^>]*//', text) == []
