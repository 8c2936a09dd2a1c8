"""Run the examples of the pages on other people's stacks as a new user would.

For each page, build the wheel, make an empty virtual environment, and install torch and then the wheel with the extra
that the page names, from the package index and without our pins. Then run the page's examples in a folder that holds
only `examples/`, and print the versions that they ran with.

    python -m tests.docs.from_wheel                   # all pages; about half an hour, a few hundred MB each
    python -m tests.docs.from_wheel langchain mcp     # some pages

A stand-in serves for Elasticsearch and OpenSearch, as in the tests. Java is the runtime that the extra brings.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PathDistribution
from pathlib import Path

import httpx2
from packaging.requirements import Requirement

from . import stand_in
from .pages import ROOT, Block, blocks

PAGES = ("langchain", "llama-index", "haystack", "rerankers", "mcp", "milvus", "elasticsearch", "opensearch", "lucene")
SERVICE = "service"
CLIENTS = ("cohere", "langchain-cohere", "llama-index-postprocessor-tei-rerank")  # of the service's page
RUN_COMMANDS = ("milvus",)  # pages whose commands need nothing from the person who reads them
SERVICE_ADDRESS = "http://127.0.0.1:8000"  # as that page writes it
ALSO_SHOWN = {"ragshap", "torch", "transformers"}


class Environment:
    """A new virtual environment with the wheel in it, and an empty folder to work in."""

    def __init__(self, folder: Path, wheel: Path, extra: str, more: Sequence[str] = ()):
        self.folder = folder / "work"
        self.folder.mkdir()
        (self.folder / "examples").symlink_to(ROOT / "examples")
        self._bin = folder / "venv" / "bin"
        kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
        path = f"{self._bin}{os.pathsep}{os.environ['PATH']}"
        self.variables = {**kept, "PATH": path, "HAYSTACK_TELEMETRY_ENABLED": "False"}
        self.extra, self._wheel, self._more = extra, wheel, more
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
        self._install("--constraint", str(ROOT / "constraints.txt"), "torch")
        self._install(f"ragshap[{extra}] @ {wheel.as_uri()}", *more)

    def _install(self, *what: str) -> None:
        self.run([str(self._bin / "pip"), "install", "--quiet", "--disable-pip-version-check", *what])

    def run(self, command: Sequence[str]) -> str:
        """What a command prints; raises `RuntimeError` if it fails."""
        done = subprocess.run(command, cwd=self.folder, env=self.variables, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def run_python(self, block: Block, addresses: dict[str, str]) -> None:
        """Run an example with other addresses; raises `RuntimeError` if it does not print the lines it promises."""
        text = block.text
        for written, real in addresses.items():
            text = text.replace(written, real)
        (self.folder / "example.py").write_text(text, encoding="utf-8")
        printed = self.run([str(self._bin / "python"), "example.py"]).splitlines()
        if missing := block.promised() - set(printed):
            raise RuntimeError(f"{block}: expected the lines {missing}, but it printed {printed}")

    def versions(self) -> dict[str, str]:
        """Versions of the packages that the extra and the page name, and of those that all environments have."""
        listed = json.loads(self.run([str(self._bin / "pip"), "list", "--format", "json"]))
        wanted = {_plain(name) for name in (*ALSO_SHOWN, *self._more, *named_by(self._wheel, self.extra))}
        return {entry["name"]: entry["version"] for entry in listed if _plain(entry["name"]) in wanted}


def build_wheel(folder: Path) -> Path:
    """The wheel of this checkout."""
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def named_by(wheel: Path, extra: str) -> list[str]:
    """The packages that an extra of the wheel names."""
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        described = PathDistribution(zipfile.Path(archive, metadata.removesuffix("METADATA")))
        requirements = [Requirement(text) for text in described.requires or ()]
    return [r.name for r in requirements if r.marker and r.marker.evaluate({"extra": extra})]


def page_blocks(page: str) -> tuple[str, list[Block]]:
    """The extra that a page tells you to install, and the page's blocks."""
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    found = re.search(r"pip install 'ragshap\[([\w-]+)\]'", text)
    if found is None:
        raise ValueError(f"docs/{page}.md names no extra")
    return found[1], [block for block in blocks() if block.page == f"docs/{page}.md"]


def try_page(page: str, wheel: Path, folder: Path) -> dict[str, str]:
    """Install and run a page, and return the versions; raises `RuntimeError` if anything goes wrong."""
    extra, found = page_blocks(page)
    environment = Environment(folder, wheel, extra, CLIENTS if page == SERVICE else ())
    if page in RUN_COMMANDS:
        for command in (command for block in found if not block.language for command in block.commands()):
            environment.run(["ragshap", *command])
    examples = [block for block in found if block.language == "python"]
    if page == SERVICE:
        with _service(environment) as url:
            for block in examples:
                environment.run_python(block, {SERVICE_ADDRESS: url})
    else:
        with stand_in.search_engine() as url:
            for block in examples:
                environment.run_python(block, {stand_in.ADDRESS: url})
    return {"python": sys.version.split()[0], **environment.versions(), "examples": str(len(examples))}


@contextmanager
def _service(environment: Environment) -> Iterator[str]:
    """The service, started as its page says, on a free port."""
    environment.run(["ragshap", "index", "examples/islands", "--out", "islands.index"])
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = ["ragshap", "serve", "--index", "islands.index", "--port", str(port)]
    log = environment.folder / "service.log"
    with log.open("w") as file:
        server = subprocess.Popen(command, cwd=environment.folder, env=environment.variables, stderr=file)
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(240):
            try:
                httpx2.get(f"{url}/health").raise_for_status()
                break
            except httpx2.HTTPError:
                if server.poll() is not None:
                    raise RuntimeError(f"the service ended: {log.read_text()}") from None
                time.sleep(0.5)
        yield url
    finally:
        server.terminate()
        server.wait(60)


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main(pages: Sequence[str]) -> int:
    """Try the pages; 0 if all of them work."""
    unknown = set(pages) - {*PAGES, SERVICE}
    if unknown:
        raise SystemExit(f"unknown pages {', '.join(sorted(unknown))}; known: {', '.join((*PAGES, SERVICE))}")
    failed = 0
    with tempfile.TemporaryDirectory(prefix="ragshap-wheel-") as built:
        wheel = build_wheel(Path(built))
        for page in pages or (*PAGES, SERVICE):
            started = time.monotonic()
            with tempfile.TemporaryDirectory(prefix=f"ragshap-{page}-") as folder:
                try:
                    result = ", ".join(f"{name} {value}" for name, value in try_page(page, wheel, Path(folder)).items())
                except (RuntimeError, subprocess.CalledProcessError) as error:
                    failed, result = failed + 1, f"FAILED {error}"
            sys.stdout.write(f"{page} ({time.monotonic() - started:.0f} s): {result}\n")
            sys.stdout.flush()
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
