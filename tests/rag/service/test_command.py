"""`ragshap serve`, and what is said where something is missing."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time

import httpx2
import pytest

from rag.cli import run

from .conftest import EXAMPLES, FERRY, FERRY_TEXTS


@pytest.mark.slow
def test_it_serves_until_it_is_told_to_end(tmp_path):
    log = tmp_path / "log"
    command = [sys.executable, "-m", "rag", "serve", "--corpus", str(EXAMPLES), "--port", "0", "-s", "threads=1"]
    with log.open("wb") as file, subprocess.Popen(command, stderr=file, cwd=EXAMPLES.parents[1]) as process:
        try:
            deadline = time.monotonic() + 120
            while "startup complete" not in log.read_text():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
            found = re.search(r"http://127\.0\.0\.1:\d+", log.read_text())
            url = found[0]
            assert httpx2.get(f"{url}/health").json()["passages"] > 100
            sent = {"query": FERRY, "texts": FERRY_TEXTS}
            assert httpx2.post(f"{url}/rerank", json=sent, timeout=60).json()[0]["index"] == 2
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) in (0, -signal.SIGTERM)
        finally:
            process.kill()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["route"] for line in lines if line["event"] == "request"] == ["/health", "/rerank"]
    assert "stopped" in [line["event"] for line in lines]
    assert "Suduroy" not in log.read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--host", "0.0.0.0"], 2, "a token is needed"),
        (["--host", "::"], 2, "host :: can be reached from other machines, so a token is needed"),
        (["--host", "0.0.0.0", "--token-env", "NO_SUCH_TOKEN"], 2, "NO_SUCH_TOKEN must hold a token"),
        (["-s", "service.wating=3"], 2, "did you mean 'waiting'"),
        (["-s", "service.port=65536"], 2, "service.port"),
        (["-s", "service.grace=.inf"], 2, "service.grace: Input should be a finite number"),
        (["--port", "0", "--index", "nowhere"], 1, "nowhere"),
        (["--port", "0", "--index", "a", "--corpus", "b"], 2, "one of the two"),
    ],
)
def test_wrong_use_is_one_clear_message(tmp_path, monkeypatch, capfd, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    assert run(["serve", *arguments]) == code
    err = capfd.readouterr().err
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_port_in_use_is_named_before_a_reader_is_loaded(monkeypatch, capfd, host):
    monkeypatch.setattr("rag.readers.loading.load_reader", lambda *_: pytest.fail("a reader was loaded"))
    try:
        other = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError:
        pytest.skip(f"this machine has no {host}")
    with other:
        port = other.getsockname()[1]
        assert run(["serve", "--host", host, "--port", str(port)]) == 1
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    assert f"ragshap: cannot listen on {place}: Address already in use; " in capfd.readouterr().err


@pytest.mark.parametrize("missing", ["fastapi", "uvicorn", "prometheus_client"])
def test_a_missing_library_names_what_to_install(missing):
    code = f"import sys; sys.modules[{missing!r}] = None; from rag.cli import run; sys.exit(run(['serve']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=EXAMPLES.parents[1])
    assert done.returncode == 1
    assert f"the service needs {missing}: pip install 'ragshap[serve]'" in done.stderr
    assert "Traceback" not in done.stderr
