# SPDX-License-Identifier: MIT
"""Worker processes for calculations that would hold the interpreter lock while phones wait (docs/decisions/0048).

Parsing one page of a thousand persons takes a third of a second.  `WorkerProcess` keeps one process for such calls,
which runs one call after another and exits after some idle time.  `OneShotProcess` runs each call in a new process.

A process reads calls from one pipe and writes answers to another.  The process ends with the gateway: after the current
call when the pipe of calls ends, and at once when nobody reads the pipe of answers any more.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import struct
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO, ParamSpec, TypeVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred, execute
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from ldapgw.errors import ProcessLost, StoreError

P = ParamSpec("P")
T = TypeVar("T")

# A page takes less than a second on the slowest machine; a call that exceeds this time is stuck.
CALL_TIMEOUT_SECONDS = 60.0
# A book of a million contacts takes three minutes.
ONE_SHOT_TIMEOUT_SECONDS = 3600.0
# An idle process holds 40 MiB, and most accounts need the process once a week.
IDLE_SECONDS = 30.0
# On a machine with one processor, answering phones has priority over the worker process.
NICENESS = 10
# About ten persons, which a thread parses in two milliseconds.
THREAD_MAX_OCTETS = 16 << 10

_LENGTH = struct.Struct(">I")

_COMMAND = (sys.executable, "-P", "-m", __name__)


class WorkerProcess(Service):
    """A service that calls functions in one child process, started on demand and ended after `IDLE_SECONDS`.

    Functions must be defined at module level; arguments and results must be picklable.  While the service is not
    running, functions are called at once in this process: no client is served then.

    :param reactor: spawns the process and schedules timeouts.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._worker: _ChildProcess | None = None
        self._idle_timer: IDelayedCall | None = None

    def __call__(self, function: Callable[P, T], *args: P.args, **kw: P.kwargs) -> Deferred[T]:
        """Call ``function(*args, **kw)`` in the child process.

        :returns: a Deferred with the function's result; it fails with `ProcessLost` when the process dies.
        """
        if not self.running:
            return execute(function, *args, **kw)
        if self._worker is None or self._worker.has_exited:
            self._worker = _ChildProcess(self._reactor)
        self._cancel_idle_timer()
        return self._worker.call(pickle.dumps((function, args, kw))).addBoth(self._restart_idle_timer)

    def stopService(self) -> None:
        """Abandon the calls in progress: their results would have been stored by services that stop too."""
        super().stopService()
        self._cancel_idle_timer()
        if self._worker is not None:
            self._worker.kill()

    def _restart_idle_timer(self, result: T) -> T:
        self._cancel_idle_timer()
        if self.running and self._worker is not None and not self._worker.is_busy:
            self._idle_timer = self._reactor.callLater(IDLE_SECONDS, self._worker.kill)
        return result

    def _cancel_idle_timer(self) -> None:
        if self._idle_timer is not None and self._idle_timer.active():
            self._idle_timer.cancel()


class SizeBasedOffload:
    """Calls a function on a response body: on a thread for a small body, in a process for a large one.

    :param thread: calls a function with its arguments on a thread.
    :param process: calls a function with its arguments in a process.
    """

    def __init__(self, thread: Callable[..., Deferred[Any]], process: Callable[..., Deferred[Any]]) -> None:
        self._thread = thread
        self._process = process

    def __call__(self, function: Callable[..., Any], body: bytes, *args: object) -> Deferred[Any]:
        """Call ``function(body, *args)``.

        :returns: a Deferred with the function's result.
        """
        return (self._thread if len(body) <= THREAD_MAX_OCTETS else self._process)(function, body, *args)


@dataclass(slots=True)
class _Call:
    """A call in the queue of a child process."""

    frame: bytes
    result: Deferred[Any] = field(default_factory=Deferred)


class _ChildProcess(ProcessProtocol):
    """A running child process and its queue of calls, of which the first has been sent to the process."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._calls: deque[_Call] = deque()
        self._received = bytearray()
        self._timeout: IDelayedCall | None = None
        self.has_exited = False
        self._process: Any = reactor.spawnProcess(
            self, _COMMAND[0], _COMMAND, _environment(), childFDs={0: "w", 1: "r", 2: 2}
        )

    @property
    def is_busy(self) -> bool:
        return bool(self._calls)

    def call(self, frame: bytes) -> Deferred[Any]:
        """Queue a pickled call; calls run in order."""
        call = _Call(frame)
        self._calls.append(call)
        if len(self._calls) == 1:
            self._send_next_call()
        return call.result

    def kill(self) -> None:
        self._fail_pending_calls()
        try:
            self._process.signalProcess("KILL")
        except ProcessExitedAlready:
            return

    def outReceived(self, data: bytes) -> None:
        self._received += data
        if len(self._received) < _LENGTH.size:
            return
        (length,) = _LENGTH.unpack_from(self._received)
        if len(self._received) < _LENGTH.size + length:
            return
        answer = bytes(self._received[_LENGTH.size :])
        self._received.clear()
        call = self._calls.popleft()
        if self._timeout is not None:
            self._timeout.cancel()
        self._send_next_call()
        is_good, value = pickle.loads(answer)  # noqa: S301  by our own code, from our own pipe
        if is_good:
            call.result.callback(value)
        else:
            call.result.errback(Failure(value))

    def processEnded(self, _reason: Failure) -> None:
        self._fail_pending_calls()

    def _send_next_call(self) -> None:
        if self._calls:
            frame = self._calls[0].frame
            self._timeout = self._reactor.callLater(CALL_TIMEOUT_SECONDS, self.kill)
            self._process.writeToChild(0, _LENGTH.pack(len(frame)))
            self._process.writeToChild(0, frame)

    def _fail_pending_calls(self) -> None:
        self.has_exited = True
        if self._timeout is not None and self._timeout.active():
            self._timeout.cancel()
        calls, self._calls = self._calls, deque()
        for call in calls:
            call.result.errback(ProcessLost("the process that reads pages has ended"))


class OneShotProcess(Service):
    """Calls each function in a new process and blocks until it has ended; to be called on a thread.

    The memory that a call needs is returned to the system when its process ends.  Functions, arguments and results have
    to meet the same conditions as those of `WorkerProcess`.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._is_stopped = False

    def __call__(self, function: Callable[..., T], *args: object) -> T:
        """Call ``function(*args)`` in a new process and wait for the result.

        :raises ProcessLost: when the process dies, or exceeds `ONE_SHOT_TIMEOUT_SECONDS`.
        :raises StoreError: when the gateway stops meanwhile.
        """
        frame = pickle.dumps((function, args, {}))
        with subprocess.Popen(  # noqa: S603  it is our own program
            _COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=_environment()
        ) as process:
            self._process = process
            try:
                if self._is_stopped:
                    process.kill()
                answer, _ = process.communicate(_LENGTH.pack(len(frame)) + frame, ONE_SHOT_TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                raise ProcessLost("the process does not end") from None
            except BaseException:
                process.kill()
                raise
        self._process = None
        if self._is_stopped:
            raise StoreError("the gateway ends")
        if process.returncode or len(answer) < _LENGTH.size:
            raise ProcessLost("the process has ended")
        is_good, value = pickle.loads(answer[_LENGTH.size :])  # noqa: S301  by our own code, from our own pipe
        if not is_good:
            raise value
        result: T = value
        return result

    def stopService(self) -> None:
        """Kill the running process; later calls fail."""
        super().stopService()
        self._is_stopped = True
        process = self._process
        if process is not None:
            process.kill()


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def serve_calls(calls: BinaryIO, answers: BinaryIO) -> None:
    """Run the child process's loop: read a call, write its answer, until the stream of calls ends."""
    while len(head := calls.read(_LENGTH.size)) == _LENGTH.size:
        answer = _call_and_pickle(calls.read(_LENGTH.unpack(head)[0]))
        answers.write(_LENGTH.pack(len(answer)) + answer)
        answers.flush()


def _call_and_pickle(frame: bytes) -> bytes:
    try:
        function, args, kw = pickle.loads(frame)  # noqa: S301  by our own code, from our own pipe
        return pickle.dumps((True, function(*args, **kw)))
    except Exception as error:  # noqa: BLE001  passed on to the caller
        return pickle.dumps((False, error))


def _exit_when_unread(answers: int) -> None:
    """Exit when the gateway is gone: a gateway that was killed (kill -9) cannot end its processes.

    :param answers: the descriptor of the pipe of answers.
    """
    pipe = select.poll()
    # No event is asked for: poll always reports that the other end of the pipe is closed.
    pipe.register(answers, 0)
    pipe.poll()
    os._exit(1)


def main() -> None:
    """Entry point of the child process."""
    # Ctrl-C and systemd's SIGTERM go to all processes of the gateway; a child process ends when its pipe does.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    os.nice(NICENESS)
    answers = os.fdopen(os.dup(1), "wb")
    threading.Thread(target=_exit_when_unread, args=(os.dup(1),), daemon=True).start()
    os.dup2(2, 1)  # printed text must not mix with the answers
    serve_calls(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
