"""Notes, and a stand-in for the servers of Elasticsearch and OpenSearch that finds them for any question."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..retrievers.search_engines.engines import Answer, serve

ADDRESS = "http://localhost:9200"  # the address on the pages
NOTES = {"roof": "The roof leaked after the storm of 3 March.", "boat": "The boat was painted blue in April."}


@contextmanager
def search_engine() -> Iterator[str]:
    """Run the stand-in; gives its own address."""
    notes = [{"_id": name, "_score": 1.0, "_source": {"title": "Log", "text": text}} for name, text in NOTES.items()]
    result = {"hits": {"hits": notes}, "_shards": {"failed": 0}, "timed_out": False, "count": len(notes)}
    headers = {"X-Elastic-Product": "Elasticsearch", "Content-Type": "application/json"}
    with serve(lambda request: Answer(result), headers) as server:
        yield server.url
