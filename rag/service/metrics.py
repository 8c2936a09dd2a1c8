"""Counters for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from rag.service.worker import Worker

_SECONDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """Counters of one service, in a registry of their own."""

    def __init__(self, worker: Worker):
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        # Only known routes are labels, so that no request can add a series.
        self.requests = Counter("ragshap_requests", "Requests.", ["route", "status"], registry=self.registry)
        self.seconds = Histogram(
            "ragshap_request_seconds", "Time of a request.", ["route"], buckets=_SECONDS, registry=self.registry
        )
        self.documents = Counter("ragshap_documents", "Documents read.", registry=self.registry)
        self.stopped = Counter("ragshap_stopped", "Work stopped before its end.", ["why"], registry=self.registry)
        unfinished = Gauge("ragshap_unfinished", "Requests that wait or are being worked on.", registry=self.registry)
        unfinished.set_function(lambda: worker.unfinished)
