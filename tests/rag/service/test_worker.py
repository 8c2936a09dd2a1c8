from __future__ import annotations

import gc
import threading
import time
import weakref
from concurrent.futures import CancelledError

import pytest

from rag.readers.interruption import checkpoint
from rag.service.worker import Busy, Interrupted, Stopped, Worker


@pytest.fixture
def worker():
    worker = Worker(waiting=2)
    yield worker
    worker.stop(5)


def forever(started: threading.Event, ended: threading.Event):
    def work():
        started.set()
        try:
            while True:
                checkpoint()
                time.sleep(0.001)
        finally:
            ended.set()

    return work


def test_jobs_are_done_one_after_another_in_one_thread(worker):
    done = []
    jobs = [worker.submit(lambda n=n: done.append((n, threading.get_ident())) or n, 5) for n in range(3)]
    assert [job.future.result(5) for job in jobs] == [0, 1, 2]
    assert [n for n, _ in done] == [0, 1, 2]
    assert len({thread for _, thread in done}) == 1


def test_a_full_queue_refuses_at_once_and_has_room_again_when_a_waiting_job_is_given_up(worker):
    started, ended = threading.Event(), threading.Event()
    running = worker.submit(forever(started, ended), 60)
    started.wait(5)
    waiting = [worker.submit(lambda: "late", 60) for _ in range(2)]
    before = time.perf_counter()
    with pytest.raises(Busy) as busy:
        worker.submit(lambda: None, 60)
    assert time.perf_counter() - before < 0.05
    assert 1 <= busy.value.retry_after <= 60
    waiting[0].give_up()
    another = worker.submit(lambda: "another", 60)
    running.give_up()
    assert ended.wait(5)
    with pytest.raises(Interrupted):
        running.future.result(5)
    with pytest.raises(CancelledError):
        waiting[0].future.result(5)
    assert (waiting[1].future.result(5), another.future.result(5)) == ("late", "another")
    assert worker.unfinished == 0


def test_work_ends_when_its_time_is_over(worker):
    started, ended = threading.Event(), threading.Event()
    job = worker.submit(forever(started, ended), 0.05)
    with pytest.raises(Interrupted):
        job.future.result(5)
    assert ended.is_set()


def test_a_job_whose_time_is_over_before_its_turn_is_not_begun(worker):
    started, ended, begun = threading.Event(), threading.Event(), []
    first = worker.submit(forever(started, ended), 60)
    started.wait(5)
    late = worker.submit(lambda: begun.append(1), 0.01)
    time.sleep(0.05)
    first.give_up()
    with pytest.raises(Interrupted):
        late.future.result(5)
    assert begun == []


def test_a_failing_job_does_not_end_the_worker(worker):
    def fail():
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        worker.submit(fail, 5).future.result(5)
    assert worker.submit(lambda: "yes", 5).future.result(5) == "yes"


def test_stopping_ends_what_is_under_way_and_refuses_more():
    worker, started, ended = Worker(waiting=2), threading.Event(), threading.Event()
    worker.submit(forever(started, ended), 60)
    started.wait(5)
    waiting = worker.submit(lambda: None, 60)
    worker.stop(5)
    assert ended.is_set()
    assert waiting.future.cancelled()
    assert not worker.alive
    with pytest.raises(Stopped):
        worker.submit(lambda: None, 5)


def test_an_idle_worker_holds_nothing_of_the_last_job(worker):
    class Big:
        pass

    big = Big()
    alive = weakref.ref(big)
    worker.submit(lambda big=big: None, 5).future.result(5)
    worker.submit(lambda: None, 5).future.result(5)
    del big
    time.sleep(0.05)
    gc.collect()
    assert alive() is None


def test_what_was_given_up_while_waiting_is_not_held_in_the_queue(worker):
    class Big:
        pass

    hold, big = threading.Event(), Big()
    alive = weakref.ref(big)
    worker.submit(lambda: hold.wait(5), 10)
    job = worker.submit(lambda big=big: None, 10)
    job.give_up()
    del big, job
    gc.collect()
    assert alive() is None
    hold.set()


def test_between_the_steps_of_a_long_job_others_have_a_turn(worker):
    done = []

    def long():
        for step in range(4):
            done.append(step)
            yield
        return "long"

    hold = threading.Event()
    worker.submit(lambda: hold.wait(5), 10)
    first = worker.submit(long, 10)
    second = worker.submit(lambda: done.append("short") or "short", 10)
    hold.set()
    assert (first.future.result(5), second.future.result(5)) == ("long", "short")
    assert done == [0, "short", 1, 2, 3]


def test_a_long_job_is_stopped_between_its_steps_and_ends_with_the_worker():
    def endless():
        while True:
            time.sleep(0.001)
            yield

    worker = Worker(waiting=2)
    first, second = worker.submit(endless, 10), worker.submit(endless, 10)
    first.give_up()
    with pytest.raises((Interrupted, CancelledError)):
        first.future.result(5)
    worker.stop(5)
    with pytest.raises((Interrupted, CancelledError)):
        second.future.result(5)


def test_an_error_in_a_later_step_is_the_outcome(worker):
    def failing():
        yield
        raise ValueError("later")

    with pytest.raises(ValueError, match="later"):
        worker.submit(failing, 10).future.result(5)
