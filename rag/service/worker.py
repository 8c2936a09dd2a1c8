"""One thread that does all the computing, and the bounded queue in front of it."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import Any

from rag.readers.interruption import interruptible

_MOST_PATIENCE = 60  # seconds; the longest time that a refused client is asked to wait
_MEMORY = 0.8  # weight of the past in the mean time of a turn


class Busy(Exception):  # noqa: N818 - not an error of the service
    """The queue is full; `retry_after` is in whole seconds."""

    def __init__(self, retry_after: int):
        super().__init__(f"all places in the queue are taken; try again in {retry_after} s")
        self.retry_after = retry_after


class Stopped(Exception):  # noqa: N818
    """The worker takes no more work."""


class Interrupted(Exception):  # noqa: N818
    """A job was given up, or its time is over."""


class Job:
    """A piece of work; `future` holds its outcome.

    Args:
        work: what to do. If it returns a generator, each step of that is done in a turn of its own, and the generator's
            value is the outcome.
        deadline: `time.monotonic()` at which to stop.
    """

    def __init__(self, work: Callable[[], Any], deadline: float):
        self.future: Future[Any] = Future()
        self.deadline = deadline
        self._work = work
        self._given_up = False
        self._steps: Generator[None, None, Any] | None = None

    def give_up(self) -> None:
        """Drop the job if it still waits; otherwise stop it at the next checkpoint."""
        self._given_up = True
        if self.future.cancel():
            self._work = lambda: None  # the queue holds the job until its turn, but not what the request sent

    def run(self) -> bool:
        """Do the work, or the next step of it, unless it was given up before; whether more is to be done."""
        if self._steps is None and not self.future.set_running_or_notify_cancel():
            return False
        try:
            with interruptible(self._check):
                self._check()
                if self._steps is None:
                    outcome = self._work()
                    if not isinstance(outcome, Generator):
                        self.future.set_result(outcome)
                        return False
                    self._steps = outcome
                try:
                    next(self._steps)
                    return True
                except StopIteration as end:
                    outcome = end.value
        except BaseException as error:
            # The event loop would end with a SystemExit or with a panic of the tokenizers, and takes no StopIteration.
            if not isinstance(error, Exception) or isinstance(error, StopIteration):
                error, cause = RuntimeError(f"the work ended with {type(error).__name__}"), error
                error.__cause__ = cause
            self.future.set_exception(error)
        else:
            self.future.set_result(outcome)
        return False

    def _check(self) -> None:
        if self._given_up or time.monotonic() > self.deadline:
            raise Interrupted


class Worker:
    """Does jobs one after another, in the order of their arrival; between the steps of a long one, others have a turn.

    There is one thread, because readers use all cores for one question. Caches and thread pools, which questions
    answered at the same time would share, then need no locks.

    Args:
        waiting: largest number of jobs that may wait while another is under way.
        prepare: called once in the thread, before the first job.
    """

    def __init__(self, waiting: int, prepare: Callable[[], None] = lambda: None):
        self.seconds = 0.0  # moving mean of a turn's time
        self._places = 1 + waiting
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._unfinished: set[Job] = set()
        self._lock = threading.Lock()
        self._stopped = False
        self._prepare = prepare
        self._thread = threading.Thread(target=self._run, name="ragshap-worker", daemon=True)
        self._thread.start()

    @property
    def unfinished(self) -> int:
        """Number of jobs that wait or are under way."""
        return len(self._unfinished)

    @property
    def alive(self) -> bool:
        """Whether jobs are taken and done."""
        return self._thread.is_alive() and not self._stopped

    def submit(self, work: Callable[[], Any], seconds: float) -> Job:
        """Queue work that must end within `seconds` from now.

        Raises:
            Busy: the queue is full.
            Stopped: the worker has been stopped.
        """
        job = Job(work, time.monotonic() + seconds)
        with self._lock:
            if self._stopped:
                raise Stopped
            if len(self._unfinished) >= self._places:
                raise Busy(min(_MOST_PATIENCE, max(1, math.ceil(self.seconds))))  # about when a place is free
            self._unfinished.add(job)
        job.future.add_done_callback(lambda _: self._forget(job))
        self._jobs.put(job)
        return job

    def stop(self, patience: float = 10.0) -> None:
        """Give up all jobs and end the thread; waits up to `patience` seconds for the job under way to notice."""
        with self._lock:
            self._stopped = True
            jobs = list(self._unfinished)
        for job in jobs:
            job.give_up()
        self._jobs.put(None)
        self._thread.join(patience)

    def _run(self) -> None:
        self._prepare()
        while (job := self._jobs.get()) is not None:
            started = time.monotonic()
            if job.run():
                self._jobs.put(job)
            if not job.future.cancelled():
                self.seconds += (1 - _MEMORY) * (time.monotonic() - started - self.seconds)
            del job  # while idle, nothing of the last request is held
        while not self._jobs.empty():
            if (left := self._jobs.get()) is not None:
                left.run()  # it was given up, and says so

    def _forget(self, job: Job) -> None:
        with self._lock:
            self._unfinished.discard(job)
