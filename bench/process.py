# SPDX-License-Identifier: MIT
"""A server's process: its start in a folder of its own, its processor time and memory, and its end."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.phone import Target
from tests.support.checkout import ROOT
from tests.support.site.running import Process

PATIENCE = 120.0
# Seconds between two looks at the memory of processes.
_GLANCE = 0.05


@dataclass(frozen=True)
class Server:
    """A server that runs.

    :ivar target: the server's address, and a login.
    :ivar started: seconds from the start of the server's process to its first right answer.
    :ivar helpers: MiB of memory of the largest process that the server started until then.
    """

    name: str
    target: Target
    pid: int
    started: float = 0.0
    helpers: float = 0.0

    @property
    def resident(self) -> float:
        """MiB of memory that the server holds."""
        return resident(self.pid)

    @property
    def worked(self) -> tuple[float, float]:
        """Seconds of processor time so far: in the server's own code, and in the kernel for the server."""
        user, system, *_ = _seconds(self.pid)
        return user, system

    @property
    def worked_by_all(self) -> float:
        """Seconds of processor time so far, of the server and of the processes that it started."""
        return sum(sum(_seconds(pid)) for pid in (self.pid, *_children(self.pid)))

    @property
    def most_resident(self) -> float:
        """MiB of memory that the server has held at most."""
        return _most_resident(self.pid)


@contextmanager
def running(
    name: str,
    command: Sequence[str | Path],
    folder: Path,
    target: Target,
    answers: Callable[[Target], bool],
    patience: float = PATIENCE,
    *,
    place: Path = ROOT,
) -> Iterator[Server]:
    """Run a server until the block ends.

    :param answers: returns whether the server gives the right answer by now; an `OSError` counts as no.
    :param patience: seconds that the server has for its start.
    :param place: the folder in which Python looks for modules first.
    """
    begun, helpers = time.monotonic(), 0.0
    # The process has a session of its own: Ctrl-C ends the bench, and the bench ends the server.
    process = Process(list(map(str, command)), folder / "log", place, start_new_session=True)
    try:
        while not _is_ready(answers, target):
            assert process.status is None, process.said
            assert time.monotonic() < begun + patience, f"{name} is not ready: {process.said}"
            helpers = max(helpers, *map(_most_resident, _children(process.pid)), 0.0)
            time.sleep(0.02)
        yield Server(name, target, process.pid, time.monotonic() - begun, helpers)
        assert process.status is None, process.said
    finally:
        try:
            process.end()
        except subprocess.TimeoutExpired:
            process.end(signal.SIGKILL)
            raise


def _is_ready(answers: Callable[[Target], bool], target: Target) -> bool:
    try:
        return answers(target)
    except OSError:
        return False


class Peak:
    """The most memory that a process and the processes that it started hold at once, while a block runs.

    The processes come and go, so a thread of its own looks at them often.

    :ivar most: MiB.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.most = 0.0

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while True:
            self.most = max(self.most, sum(map(resident, (self._pid, *_children(self._pid)))))
            if self._over.wait(_GLANCE):
                return


# --- /proc: a process that has ended has no children, no memory and no processor time ---


def resident(pid: int) -> float:
    """Return the MiB of memory that a process holds."""
    words = _read(pid, "statm").split()
    return int(words[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20) if words else 0.0


def _most_resident(pid: int) -> float:
    """Return the MiB of memory that a process has held at most."""
    lines = _read(pid, "status").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / (1 << 10)


def _seconds(pid: int) -> tuple[float, ...]:
    """Return the processor time of a process, and of its children that have ended: in their code and in the kernel."""
    behind_name = _read(pid, "stat").rpartition(")")[2].split()
    return tuple(int(ticks) / os.sysconf("SC_CLK_TCK") for ticks in behind_name[11:15]) or (0.0,) * 4


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in _read(pid, f"task/{task.parent.name}/children").split()]


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return ""
