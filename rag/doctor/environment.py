"""Checks of the machine, of ragshap's packages, and of its extras."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, version
from tempfile import TemporaryFile, gettempdir
from typing import TYPE_CHECKING

from rag.doctor.check import Check, line
from ragshap import HOME, PACKAGES, find_package

if TYPE_CHECKING:
    from packaging.requirements import Requirement

_GB = 2**30
_LEAST_MEMORY, _LEAST_DISK = 2 * _GB, _GB
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def check_machine() -> Iterator[Check]:
    """Python, platform, cores, memory, and variables that set the number of threads."""
    yield Check("environment", "Python", "ok", f"{platform.python_version()}, {sys.executable}")
    yield Check("environment", "platform", "ok", platform.platform())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield Check("environment", "cores", "ok", f"{cores}")
    if hasattr(os, "sysconf"):
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        fix = "ask with fewer passages (retriever.passages)"
        yield _adequate("memory", memory >= _LEAST_MEMORY, f"{memory / _GB:.1f} GB", fix)
    for name in _THREADS:
        if (value := os.environ.get(name)) is not None:
            right = value.isdecimal() and 0 < int(value) <= cores
            yield _adequate(name, right, value, f"set it to a number from 1 to {cores}, or not at all")


def _adequate(name: str, adequate: bool, finding: str, fix: str) -> Check:
    """Check something of the environment that is all right, or else a warning with its remedy."""
    return Check("environment", name, "ok" if adequate else "warning", finding, "" if adequate else fix)


def check_temporary_files() -> Iterator[Check]:
    """Whether temporary files can be written, and how much room there is."""
    try:
        folder = gettempdir()
        with TemporaryFile(dir=folder) as file:
            file.write(b"ragshap")
    except OSError as error:
        fix = "name a folder that can be written to in TMPDIR"
        yield Check("environment", "temporary files", "problem", line(error), fix)
        return
    free = shutil.disk_usage(folder).free
    finding = f"{folder} can be written to, {free / _GB:.1f} GB free"
    yield _adequate("temporary files", free >= _LEAST_DISK, finding, "make room, or name another folder in TMPDIR")


def check_torch() -> Iterator[Check]:
    """The threads and GPUs that torch sees."""
    import torch

    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    finding = f"{torch.get_num_threads()} threads; {', '.join(gpus) if gpus else 'no GPU'}"
    yield Check("environment", "torch", "ok", finding)


def check_packages() -> Iterator[Check]:
    """Whether ragshap's own packages are the ones that are imported, and those that it needs are here."""
    for name in (*PACKAGES, "eval"):
        found, own = find_package(name), HOME / name
        if found == own:
            yield Check("packages", name, "ok", str(own))
        elif found is None:
            yield Check("packages", name, "problem", f"{own} is missing", "install ragshap again")
        else:
            fix = f"give {found} another name, or start Python in another folder"
            yield Check("packages", name, "problem", f"{found} hides {own}", fix)
    for requirement in _required(""):
        yield _package("packages", requirement)


def _package(group: str, requirement: Requirement) -> Check:
    """Check that a package is installed in a version that ragshap's metadata allow."""
    wanted = f"{requirement.name}{requirement.specifier}"
    install = f"pip install '{wanted}'"
    try:
        found = version(requirement.name)
    except PackageNotFoundError:
        return Check(group, requirement.name, "problem", "not installed", install)
    if not requirement.specifier.contains(found, prereleases=True):
        return Check(group, requirement.name, "problem", f"{found}, and {wanted} is needed", install)
    return Check(group, requirement.name, "ok", found)


def check_extras() -> Iterator[Check]:
    """Which extras are complete."""
    for extra in distribution("ragshap").metadata.get_all("Provides-Extra") or []:
        checks = {check.name: check for check in (_package("extras", one) for one in _required(extra))}.values()
        lacking = [check for check in checks if check.finding == "not installed"]
        wrong = [check for check in checks if check.state == "problem" and check not in lacking]
        install = f"pip install 'ragshap[{extra}]'"
        if wrong:
            finding = "; ".join(f"{check.name} {check.finding}" for check in wrong)
            yield Check("extras", extra, "warning", finding, install)
        elif lacking:
            yield Check("extras", extra, "missing", f"without {', '.join(check.name for check in lacking)}", install)
        else:
            yield Check("extras", extra, "ok", "complete")


def _required(extra: str) -> list[Requirement]:
    """Return what ragshap's metadata require here for an extra and those that it includes; "" is the core."""
    from packaging.requirements import Requirement

    found: list[Requirement] = []
    for requirement in map(Requirement, distribution("ragshap").requires or ()):
        of_extra = requirement.marker is not None and "extra" in str(requirement.marker)
        asked = requirement.marker is None or requirement.marker.evaluate({"extra": extra})
        if of_extra != bool(extra) or not asked:
            continue
        named = sorted(requirement.extras) if requirement.name == "ragshap" else []
        found += [one for other in named for one in _required(other)] or [requirement]
    return found
