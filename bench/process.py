# SPDX-License-Identifier: MIT
"""A server's process: started in a folder of its own, waited for until it answers, ended by its process id."""

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
from tests.support.postgresql import Server as PostgresqlServer
from tests.support.site.running import free_ports

PATIENCE = 120.0
# Seconds between two looks at the memory.
_GLANCE = 0.05


@dataclass(frozen=True)
class Server:
    """A server that runs.

    :ivar target: where it is, and a login.
    :ivar started: seconds from the start of its process to its first right answer.
    :ivar helpers: MiB that the largest process held which it has started until then.
    """

    name: str
    target: Target
    pid: int
    started: float
    helpers: float = 0.0

    @property
    def resident(self) -> float:
        """MiB of memory that it holds."""
        return resident(self.pid)

    @property
    def worked(self) -> tuple[float, float]:
        """Seconds of processor time so far: in its own code, and in the kernel for it."""
        behind_name = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        user, system = (int(ticks) / os.sysconf("SC_CLK_TCK") for ticks in behind_name[11:13])
        return user, system

    @property
    def worked_by_all(self) -> float:
        """Seconds of processor time so far, of this process and those that it has started."""
        return sum(map(_worked, (self.pid, *_children(self.pid))))

    @property
    def most_resident(self) -> float:
        """MiB of memory that it has ever held."""
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
    """A server, until the block ends.

    :param answers: whether it answers rightly by now; an `OSError` means that it does not.
    :param patience: seconds that it has for its start.
    :param place: where Python finds its modules first.
    """
    begun, helpers = time.monotonic(), 0.0
    with (folder / "log").open("wb") as log:
        # A session of its own: what Ctrl-C ends is us, and we end the server.
        process = subprocess.Popen(command, cwd=place, stdout=log, stderr=log, start_new_session=True)
    try:
        while not _is_ready(answers, target):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < begun + patience, f"{name} is not ready: {(folder / 'log').read_text()}"
            helpers = max(helpers, *map(_most_resident, _children(process.pid)), 0.0)
            time.sleep(0.02)
        yield Server(name, target, process.pid, time.monotonic() - begun, helpers)
        assert process.poll() is None, (folder / "log").read_text()
    finally:
        _end(process)


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in _words(task / "children")]
    except OSError:
        return []


@contextmanager
def postgresql() -> Iterator[tuple[PostgresqlServer, str]]:
    """A PostgreSQL server that waits for the disk, as it does by itself, and the URL of an empty database."""
    [port] = free_ports(1)
    server = PostgresqlServer.create(settings=(), listens=True, port=port)
    try:
        server.start()
        server.execute("CREATE DATABASE bench ENCODING 'UTF8' TEMPLATE template0")
        yield server, server.url("bench").render_as_string(hide_password=False)
    finally:
        server.delete()


class Peak:
    """The most memory that a process and those that it has started hold at once, while a block runs.

    They come and go, so somebody has to look: often, and on a thread, because the block is busy.

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


def _worked(pid: int) -> float:
    """Seconds of processor time of a process and of its children that have ended; 0 for one that is gone."""
    try:
        behind_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, behind_name[11:15])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> float:
    """MiB of memory that a process holds; 0 for one that is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def _words(file: Path) -> list[str]:
    return file.read_text().split()


def _most_resident(pid: int) -> float:
    """MiB of memory that a process has ever held; 0 for one that is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) / (1 << 10)


def _is_ready(answers: Callable[[Target], bool], target: Target) -> bool:
    try:
        return answers(target)
    except OSError:
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise
