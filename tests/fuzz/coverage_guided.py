"""Coverage-guided fuzzing of the readers of files, with atheris (libFuzzer).

    python tests/fuzz/coverage_guided.py READER [FOLDER] [libFuzzer's options, such as -runs=100000]

READER is a name in `readers.READERS`, such as "contexts"; FOLDER keeps the inputs that reached something new. What is
no result and no error of the reader's own ends the run, with the input in a file `crash-…`.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[2]))
with atheris.instrument_imports(include=["retrievers", "rag.questions", "rag.offline", "rag.settings", "eval.records"]):
    from tests.fuzz.readers import READERS


def main(arguments: list[str]) -> None:
    """Fuzz one reader until libFuzzer's options or an error end it."""
    if len(arguments) < 2 or arguments[1] not in READERS:
        raise SystemExit(f"usage: {arguments[0]} READER [FOLDER] [OPTIONS]; readers: {', '.join(READERS)}")
    reader = READERS[arguments[1]]
    place = Path(tempfile.mkdtemp())
    seeds = place / "seeds"
    seeds.mkdir()
    for number, seed in enumerate(reader.seeds):
        (seeds / str(number)).write_bytes(seed)

    def attempt(raw: bytes) -> None:
        folder = place / "in"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / reader.file).write_bytes(raw)
        try:
            reader.read(folder / reader.file)
        except reader.errors as error:
            if type(error) not in reader.errors:
                raise

    atheris.Setup([arguments[0], *arguments[2:], str(seeds)], attempt)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv)
