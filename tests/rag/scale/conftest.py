"""A cluster of three nodes on this machine: a head without CPUs, and two nodes with one each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

STORE = 80 * 2**20  # bytes of each node's object store


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'ragshap[ray]'")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    found = Cluster()
    found.add_node(num_cpus=0, object_store_memory=STORE, include_dashboard=False)
    for _ in range(2):
        found.add_node(num_cpus=1, object_store_memory=STORE)
    yield found
    found.shutdown()
