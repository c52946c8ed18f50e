# SPDX-License-Identifier: MIT
"""Worker threads and processes, for work that would keep phones waiting on the reactor's thread (docs/decisions/0048).

A thread is for work that blocks, such as reading files and building small books.  A process is for calculations that
would hold the interpreter lock: parsing one page of a thousand persons takes a third of a second.  A `WorkerProcess`
keeps one process, which runs one call after another and exits after some idle time.  A `ChildProcess` runs each call in
a new process unless the process is kept.

A process runs the program `ldapgw.server.child_program`.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from operator import attrgetter
from typing import Any, BinaryIO, ParamSpec, TypeVar, cast

from twisted.application.service import Service
from twisted.internet.defer import Deferred, execute, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool

from ldapgw.errors import ProcessLost, StoreError
from ldapgw.server import child_program
from ldapgw.server.child_program import LENGTH
from ldapgw.server.counters import WAIT_BOUNDS, Histogram

P = ParamSpec("P")
T = TypeVar("T")

log = Logger()

# The maximum number of seconds for a call.  Parsing a page of persons takes less than a second on the slowest machine,
# so a call that takes longer is stuck.
CALL_TIMEOUT_SECONDS = 60.0
# The maximum number of seconds for building a book; a book of a million contacts takes three minutes.
BUILD_TIMEOUT_SECONDS = 3600.0
# The maximum number of seconds for reading a configured file; a file of a million contacts takes a few minutes.
FILE_TIMEOUT_SECONDS = 600.0
# Seconds without a call after which the process ends.  An idle process has 30 MiB, and most accounts need the process
# once a week.
IDLE_SECONDS = 30.0
# The largest body that a thread parses has about ten persons, and takes two milliseconds.
THREAD_MAX_OCTETS = 16 << 10
# The largest body that is parsed at once has at most one person with few values.  A thread would take longer for the
# call of the function than for the function.
AT_ONCE_MAX_OCTETS = 256

_COMMAND = (sys.executable, "-P", "-m", child_program.__name__)


class WorkerThread(Service):
    """A service that calls functions on a thread of its own, one after the other.

    While the service is not running, no client is served, and functions are called at once on the caller's thread.

    :ivar label: the name of the thread.
    :ivar calls: the number of calls that have not finished.
    :ivar waits: a histogram of the seconds that finished calls had waited.
    """

    def __init__(self, reactor: Any, name: str) -> None:
        self._reactor = reactor
        self.label = name
        self.waits = Histogram(WAIT_BOUNDS)
        self.calls = 0
        self._pool: ThreadPool | None = None

    @property
    def waiting(self) -> int:
        return max(0, self.calls - 1)

    def __call__(self, function: Callable[P, T], *args: P.args, **kw: P.kwargs) -> Deferred[T]:
        """Call ``function(*args, **kw)`` on the thread.

        :returns: a Deferred with the function's result.
        """
        if self._pool is None:
            return execute(function, *args, **kw)
        seconds = self._reactor.seconds
        asked_at = seconds()
        began_at: list[float] = []

        def call() -> T:
            began_at.append(seconds())
            return function(*args, **kw)

        self.calls += 1
        return deferToThreadPool(self._reactor, self._pool, call).addBoth(self._ended, asked_at, began_at)

    def _ended(self, result: T, asked_at: float, began_at: list[float]) -> T:
        self.calls -= 1
        if began_at:  # empty if the call was cancelled before it began
            self.waits.observe(began_at[0] - asked_at)
        return result

    def startService(self) -> None:
        super().startService()
        self._pool = ThreadPool(1, 1, self.label)
        self._pool.start()

    def stopService(self) -> Deferred[None]:
        """Stop once the calls in progress have finished; the wait does not block the reactor."""
        super().stopService()
        pool, self._pool = self._pool, None
        if pool is None:
            return succeed(None)
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), pool.stop)


class ChildProcess(Service):
    """The caller of functions in a child process; each call blocks until the function has returned.

    Only one thread may make calls.  Functions must be defined at module level; arguments and results must be picklable.

    :param timeout: seconds that a call may take.
    :param is_kept: whether the process waits for another call until `end`.  Otherwise the process ends after its call,
        and returns the memory of the call to the system.
    """

    def __init__(self, timeout: float, *, is_kept: bool = False) -> None:
        self._timeout = timeout
        self._is_kept = is_kept
        self._process: subprocess.Popen[bytes] | None = None
        self._is_stopped = False

    def __call__(self, function: Callable[..., T], *args: object, **kw: object) -> T:
        """Call ``function(*args, **kw)`` in the process; start the process if none runs.

        :raises ProcessLost: when the process dies or takes too long.
        :raises StoreError: when the gateway stops before the function has returned.
        """
        frame = pickle.dumps((function, args, kw))
        if self._process is not None and self._process.poll() is not None:
            self.end()
        if self._is_stopped:
            raise StoreError("the gateway ends")
        if self._process is None:
            self._process = subprocess.Popen(  # noqa: S603  it is our own program
                _COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=_environment()
            )
        if self._is_stopped:
            self._process.kill()
        timer = threading.Timer(self._timeout, self._process.kill)
        timer.daemon = True
        timer.start()
        answer = b""
        try:
            answer = _exchange(self._process, frame)
        finally:
            timer.cancel()
            if not answer or not self._is_kept:
                self.end()
        if self._is_stopped:
            raise StoreError("the gateway ends")
        if not answer:
            raise ProcessLost("the process has ended")
        is_good, value = pickle.loads(answer)  # noqa: S301  by our own code, from our own pipe
        if not is_good:
            raise value
        result: T = value
        return result

    def end(self) -> None:
        """End the process; no call may be in progress."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            # Closing the pipes writes the rest of a call, which fails if the process has died before it read the call.
            with suppress(BrokenPipeError), process:
                pass

    def stopService(self) -> None:
        """Kill the running process; later calls fail."""
        super().stopService()
        self._is_stopped = True
        process = self._process
        if process is not None:
            process.kill()


@contextmanager
def call_meanwhile(timeout: float, function: Callable[..., object], *args: object) -> Iterator[None]:
    """Call a function in a child process while the block of a ``with`` statement runs.

    When the block ends, the process is killed.  The block must not need the result of the function: if the function
    fails, or if the process ends unexpectedly, the gateway only logs a message.

    :param timeout: seconds that the call may take.
    """
    child = ChildProcess(timeout)

    def call() -> None:
        try:
            child(function, *args)
        except StoreError:
            pass  # the block of the ``with`` statement has ended
        except ProcessLost:
            log.warn("a process that helps has ended unexpectedly", event="helper_ended")
        except Exception:  # noqa: BLE001  the block does the work itself
            log.failure("the work of a process that helps has failed", event="helper_failed")

    thread = threading.Thread(target=call)
    thread.start()
    try:
        yield
    finally:
        child.stopService()
        thread.join()


def has_several_processors() -> bool:
    """Return whether the machine has several processors, so that a process can work without delaying this process."""
    return (os.cpu_count() or 1) > 1


def _exchange(process: subprocess.Popen[bytes], frame: bytes) -> bytes:
    """Send a pickled call to a process and return the pickled answer; empty if the process ends before answering."""
    calls, answers = cast("BinaryIO", process.stdin), cast("BinaryIO", process.stdout)
    try:
        calls.write(LENGTH.pack(len(frame)) + frame)
        calls.flush()
    except BrokenPipeError:
        return b""
    head = answers.read(LENGTH.size)
    length = LENGTH.unpack(head)[0] if len(head) == LENGTH.size else 0
    answer = answers.read(length)
    return answer if len(answer) == length else b""


class WorkerProcess(WorkerThread):
    """A service that calls functions in one child process, started on demand and ended after `IDLE_SECONDS`.

    The functions, arguments and results must meet the conditions of `ChildProcess`.  While the service is not running,
    no client is served, and functions are called at once in this process.
    """

    def __init__(self, reactor: Any) -> None:
        super().__init__(reactor, "process")
        self._child = ChildProcess(CALL_TIMEOUT_SECONDS, is_kept=True)
        self._idle_timer: IDelayedCall | None = None

    def __call__(self, function: Callable[P, T], *args: P.args, **kw: P.kwargs) -> Deferred[T]:
        """Call ``function(*args, **kw)`` in the child process.

        :returns: a Deferred with the function's result, which fails with `ProcessLost` when the process dies.
        """
        if not self.running:
            return execute(function, *args, **kw)
        self._cancel_idle_timer()
        child: Callable[..., T] = self._child
        return super().__call__(child, function, *args, **kw).addBoth(self._restart_idle_timer)

    def stopService(self) -> Deferred[None]:
        """Abandon the calls in progress, because the services that would store their results stop too."""
        self._cancel_idle_timer()
        self._child.stopService()
        return super().stopService().addCallback(lambda _: self._child.end())

    def _restart_idle_timer(self, result: T) -> T:
        self._cancel_idle_timer()
        if self.running and not self.calls:
            self._idle_timer = self._reactor.callLater(IDLE_SECONDS, super().__call__, self._child.end)
        return result

    def _cancel_idle_timer(self) -> None:
        if self._idle_timer is not None and self._idle_timer.active():
            self._idle_timer.cancel()


class SizeBasedOffload:
    """Calls functions on response bodies: in a process for a large body, on a thread for a small body, or at once.

    :param thread: calls a function with its arguments on a thread.
    :param processes: the processes, of which the process with the fewest calls takes the next large body.
    """

    def __init__(self, thread: Callable[..., Deferred[Any]], processes: Sequence[WorkerProcess]) -> None:
        self._thread = thread
        self._processes = processes

    def __call__(self, function: Callable[..., Any], body: bytes, *args: object) -> Deferred[Any]:
        """Call ``function(body, *args)``.

        :returns: a Deferred with the function's result.
        """
        if len(body) <= AT_ONCE_MAX_OCTETS:
            return execute(function, body, *args)
        if len(body) <= THREAD_MAX_OCTETS:
            return self._thread(function, body, *args)
        return min(self._processes, key=attrgetter("calls"))(function, body, *args)


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
