"""Runs commands, each in a fork of this process, which has imported everything once.

A fork runs what the command line runs, `rag.cli.run`, with files, locks and memory of its own; only the imports are
spared. Reads one JSON order a line: `arguments` of the command line, or `code`; `log`, where its output goes;
`file_bytes`, a limit on the size of files. Writes the fork's process id, and its wait status when it has ended.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import traceback

import torch  # noqa: F401
import transformers  # noqa: F401

import rag.offline
import rag.pipeline
import rag.readers.embedded
import rag.service
import rag.training.run  # noqa: F401
from rag.cli import run


def carry_out(order: dict) -> int:
    """In the fork: the exit code."""
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if "file_bytes" in order:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["file_bytes"], order["file_bytes"]))
    try:
        if "code" in order:
            exec(order["code"], {"__name__": "__main__"})
            return 0
        return run(order["arguments"])
    except BaseException:
        traceback.print_exc()
        return 70


def main() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            code = carry_out(json.loads(line))
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
        sys.stdout.write(f"{os.waitpid(pid, 0)[1]}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
