"""One thread for everything: tiny models gain nothing from more, and lose much where other work wants the cores."""

import os

# Before torch, faiss and numpy start their thread pools; subprocesses inherit it.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
