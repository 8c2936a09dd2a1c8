"""Requests made from the OpenAPI file, right and wrong ones: none may end in an error of ours.

`RAGSHAP_FUZZ=5000` in the environment sets how many in all; the default is small.
"""

from __future__ import annotations

import contextlib
import os
import time

import pytest

from .conftest import TOWNS, make_client

pytestmark = pytest.mark.slow

CASES = int(os.environ.get("RAGSHAP_FUZZ", "300"))


@pytest.fixture(scope="module")
def app():
    from retrievers import BM25Retriever

    retriever = BM25Retriever()
    retriever.add(TOWNS)
    with make_client(retriever=retriever, max_budget=300) as client:
        yield client.app


def test_no_request_ends_in_an_error_of_ours(app):
    schemathesis = pytest.importorskip("schemathesis", reason="pip install schemathesis")
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis.errors import Unsatisfiable

    schema = schemathesis.openapi.from_asgi("/openapi.json", app, headers={"host": "localhost"})
    operations = [result.ok() for result in schema.get_all_operations()]
    varied = sum(operation.method == "post" for operation in operations)
    assert varied == 9
    statuses: dict[int, int] = {}
    slowest = 0.0
    for operation in operations:
        for mode in schemathesis.GenerationMode:

            @given(case=operation.as_strategy(generation_mode=mode))
            @settings(
                max_examples=max(1, CASES // (2 * varied)),
                deadline=None,
                database=None,
                derandomize=True,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            def attempt(case):
                nonlocal slowest
                started = time.perf_counter()
                answer = case.call(headers={"host": "localhost"})
                slowest = max(slowest, time.perf_counter() - started)
                statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
                assert answer.status_code < 500, case.as_curl_command()
                case.validate_response(answer, checks=[schemathesis.checks.not_a_server_error])

            with contextlib.suppress(Unsatisfiable):  # a request without fields cannot be wrong
                attempt()
    print(sum(statuses.values()), "requests:", sorted(statuses.items()), f"slowest {slowest:.2f} s")  # noqa: T201
    assert statuses[200] > 0
    assert statuses[422] > 0
    assert slowest < 30
