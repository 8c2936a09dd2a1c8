"""Work spread by Ray Data over a pool of actors, and what is lost with a process or a machine done again."""

from __future__ import annotations

import logging
import os
import pickle
import socket
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

from rag.scale.executor import Item, Result, Worker
from rag.settings_base import SettingsError

# Ray Data starts from items that it holds: at most so many of them, or bytes, per worker are handed over at a time.
# Workers load their models once for each such part, which is short beside the work on it.
_PART_ITEMS, _PART_BYTES = 256, 32 * 2**20
_LOSSES = 3  # failures in a row, without any result between them, after which the cause is taken to be the item
_ASKED_TO_LOG = "RAGSHAP_RAY_LOGS"  # environment variable; where it is set, Ray says what it has to say
_ANSWER_SECONDS = 10  # within which a cluster must answer; Ray itself would try for minutes

_LOG = logging.getLogger(__name__)


class RayExecutor:
    """Spreads work over actors, each with its own copy of the models, on one machine or a cluster.

    Results come in the order of the items, each once. When a worker process or a node is lost, the items whose results
    did not arrive are given to as many workers as then fit.

    Args:
        address: a running cluster's, such as "10.0.0.1:6379", or "auto" for that of this machine; None starts Ray on
            this machine for as long as the work takes.
        workers: number of processes; by default one per GPU where the work uses these, else one per CPU.
        gpu: whether each process gets a GPU; else each gets an equal share of the CPUs, and as many threads. None is
            where the cluster has any.

    Raises:
        ImportError: Ray is not installed.
    """

    remote = True

    def __init__(self, address: str | None = None, workers: int | None = None, gpu: bool | None = False):
        try:
            import ray.data  # noqa: F401
        except ImportError as error:
            raise ImportError(f"--engine ray needs Ray ({error}): pip install 'ragshap[ray]'") from error
        self._address, self._workers, self._gpu = address, workers, gpu

    def map(self, worker: Worker[Item, Result], items: Iterable[Item]) -> Iterator[Result]:
        """See `Executor`.

        Raises:
            ConnectionError: there is no cluster at the address, or it ended.
            SettingsError: the cluster has too few CPUs or GPUs.
            ChildProcessError: workers were lost again and again on the same item.
            Exception: what the worker raised, of the same kind where it can be sent between processes.
        """
        with _connected(self._address):
            pool = _Pool(worker, self._workers, self._gpu)
            for part in _parts(items, pool.size):
                yield from _until_done(pool, part)


class _Pool:
    """The actors that fit, and what each gets: CPUs, which stay the same so that results do, or a GPU."""

    def __init__(self, worker: Worker[Any, Any], workers: int | None, gpu: bool | None):
        self._worker = worker
        self._gpu = bool(_nodes("GPU")) if gpu is None else gpu
        kind = "GPU" if self._gpu else "CPU"
        nodes = _nodes(kind)
        if not nodes:
            raise SettingsError(f"the work needs {kind}s and the cluster has none that it knows of")
        self._wanted = workers or sum(nodes)
        self._each = 1 if self._gpu else share(nodes, self._wanted)
        if self._fitting() < self._wanted:
            raise SettingsError(f"--workers {self._wanted}: the cluster has {sum(nodes)} {kind}s; give that or fewer")
        self.size = self._wanted

    def run(self, part: Sequence[bytes]) -> Iterator[bytes]:
        """The results of the items in turn; raises what Ray raises when it loses one."""
        import ray.data

        size = self._fitting()
        if not size:
            raise ConnectionError("no node is left that could do the work; the same command goes on once there is one")
        needed: dict[str, Any] = {"num_gpus": 1} if self._gpu else {"num_cpus": self._each}
        actor: Any = _Actor
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*ray_remote_args_fn", DeprecationWarning)  # nothing takes its place yet
            dataset = ray.data.from_items([{"item": item} for item in part], override_num_blocks=len(part)).map(
                actor,
                fn_constructor_args=(self._worker, version("ragshap")),
                compute=ray.data.ActorPoolStrategy(size=size, max_tasks_in_flight_per_actor=2),
                # A lost actor ends the dataset: restarted by Ray, it would wait for ever where there is no room for it.
                ray_remote_args_fn=_never_restarted,
                **needed,
            )
        for row in dataset.iter_rows():
            if not row["done"]:
                raise pickle.loads(row["result"])
            yield row["result"]

    def _fitting(self) -> int:
        nodes = _nodes("GPU" if self._gpu else "CPU")
        return min(self._wanted, sum(units // self._each for units in nodes))


class _Actor:
    """A process that works. What the work raises is a result too: Ray must not try it again, nor print it."""

    def __init__(self, worker: Worker[Any, Any], driver: str):
        self._worker, self._driver = worker, driver
        self._handle: Any = None

    def __call__(self, row: dict[str, bytes]) -> dict[str, Any]:
        try:
            if self._handle is None:
                if (own := version("ragshap")) != self._driver:
                    raise ValueError(f"a node has ragshap {own}, this machine {self._driver}; install the same on both")
                self._handle = self._worker()
            return {"done": True, "result": pickle.dumps(self._handle(pickle.loads(row["item"])))}
        except Exception as error:
            return {"done": False, "result": _portable(error)}


def _portable(error: Exception) -> bytes:
    """An exception that can be raised elsewhere: itself, or its words."""
    try:
        packed = pickle.dumps(error)
        pickle.loads(packed)
    except Exception:
        return pickle.dumps(RuntimeError(f"{type(error).__name__}: {error}"))
    return packed


def _never_restarted() -> dict[str, int]:
    return {"max_restarts": 0, "max_task_retries": 0}


def _until_done(pool: _Pool, part: Sequence[bytes]) -> Iterator[Any]:
    """The results of a part; after each loss, of what is left of it."""
    import ray.data
    import ray.exceptions

    done = losses = 0
    while done < len(part):
        try:
            for result in pool.run(part[done:]):
                done, losses = done + 1, 0
                yield pickle.loads(result)
        except (ray.exceptions.RayError, ray.data.exceptions.SystemException) as error:
            losses += 1
            reason = " ".join(str(error).split())
            if losses == _LOSSES:
                raise ChildProcessError(
                    f"workers were lost {losses} times in a row without a result ({reason[:400]}); is memory short? "
                    "Fewer --workers need less; the same command goes on where it stopped"
                ) from None
            _LOG.warning(
                "a worker or a node was lost (%s); the items whose results it had are done again", type(error).__name__
            )


def share(nodes: Sequence[int], workers: int) -> int:
    """The most CPUs that each of so many workers can have, none of them spread over two nodes; at least 1."""
    each = max(1, sum(nodes) // workers)
    while each > 1 and sum(cpus // each for cpus in nodes) < workers:
        each -= 1
    return each


def _parts(items: Iterable[Item], workers: int) -> Iterator[list[bytes]]:
    """The items, packed whole: Arrow's tables would turn tuples and dictionaries into kinds of their own."""
    part: list[bytes] = []
    size = 0
    for item in items:
        part.append(pickle.dumps(item))
        size += len(part[-1])
        if len(part) == _PART_ITEMS * workers or size >= _PART_BYTES * workers:
            yield part
            part, size = [], 0
    if part:
        yield part


def _nodes(kind: str) -> list[int]:
    """How many CPUs or GPUs each node has, without those that have none."""
    import ray

    found = [int(node["Resources"].get(kind, 0)) for node in ray.nodes() if node["Alive"]]
    return [units for units in found if units]


@contextmanager
def _connected(address: str | None) -> Iterator[None]:
    """Ray, left as it is where the program has connected to it already."""
    import ray

    if ray.is_initialized():
        yield
        return
    asked = _ASKED_TO_LOG in os.environ
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    level = logging.INFO if asked else logging.CRITICAL
    options: dict[str, Any] = {"logging_level": level, "log_to_driver": asked}
    if address is None:
        options["include_dashboard"] = False
    try:
        if address not in (None, "auto"):
            _knock(address)
        ray.init(address=address or "local", **options)
    except (OSError, RuntimeError, ValueError) as error:
        where = "Ray could not be started here" if address is None else f"no Ray cluster lets us in at {address}"
        reason = " ".join(str(error).split())[:400]
        raise ConnectionError(
            f"{where} ({reason}); are RAY_AUTH_MODE and the version of Ray those of the cluster?"
        ) from None
    try:
        import ray.data

        context = ray.data.DataContext.get_current()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(level)
        yield
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Raises where nothing listens at HOST:PORT."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        raise ValueError("--address is HOST:PORT, as `ray start --head` says it, or auto")
    socket.create_connection((host, int(port)), _ANSWER_SECONDS).close()
