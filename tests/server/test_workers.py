# SPDX-License-Identifier: MIT
"""Work runs on a separate thread or in real processes, and the tests also end these processes.

Only real processes can be killed, hang and outlive their caller.
"""

from __future__ import annotations

import gc
import io
import os
import pickle
import signal
import struct
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor  # noqa: TID251 (tests are an entry point)
from twisted.internet.defer import CancelledError, Deferred, gatherResults, succeed
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from ldapgw.contact import Source
from ldapgw.errors import BadResponse, ProcessLost, StoreError
from ldapgw.google.listing_page import decode_page
from ldapgw.server import workers
from ldapgw.server.child_program import serve_calls
from ldapgw.server.workers import (
    AT_ONCE_MAX_OCTETS,
    BUILD_TIMEOUT_SECONDS,
    THREAD_MAX_OCTETS,
    ChildProcess,
    SizeBasedOffload,
    WorkerProcess,
    WorkerThread,
    call_meanwhile,
)
from ldapgw.sync.fetched_page import encode_page
from tests.support.descriptors import find_readable
from tests.support.results import result_of
from tests.support.site.running import wait_until


@pytest_twisted.ensureDeferred
async def test_where_work_is_done() -> None:
    """A stopped worker uses the caller's thread. A started worker always uses the same other thread."""
    off = WorkerThread(reactor, "test")
    ours = threading.get_ident()
    assert await off(threading.get_ident) == ours
    off.startService()
    theirs = await off(threading.get_ident)
    assert theirs != ours
    assert await off(threading.get_ident) == theirs
    off.stopService()
    assert await off(threading.get_ident) == ours


@pytest_twisted.ensureDeferred
async def test_calls_that_wait_are_counted() -> None:
    """The running call does not count as waiting.

    Waits are counted at the end of a call, also of a failed call, but not for cancelled calls.
    """
    off = WorkerThread(reactor, "test")
    off.startService()
    go_on = threading.Event()
    try:
        wait: Callable[[], bool] = lambda: go_on.wait(30)  # noqa: E731
        *calls, cancelled = [off(wait) for _ in range(4)]
        cancelled.cancel()
        with pytest.raises(CancelledError):
            await cancelled
        assert (off.waiting, sum(off.waits.counts)) == (2, 0)
        go_on.set()
        assert [await call for call in calls] == [True] * 3
        with pytest.raises(ZeroDivisionError):
            await off(divmod, 1, 0)
        assert (off.waiting, sum(off.waits.counts)) == (0, 4)
    finally:
        go_on.set()
        await off.stopService()


@asynccontextmanager
async def started() -> AsyncIterator[WorkerProcess]:
    process = WorkerProcess(reactor)
    process.startService()
    try:
        yield process
    finally:
        pid = await process(os.getpid)
        await process.stopService()
        await gone(pid)


async def gone(pid: int) -> None:
    """Wait until a child process has ended and has been reaped."""
    with suppress(ProcessLookupError):
        while True:
            os.kill(pid, 0)
            await deferLater(reactor, 0.01)


@pytest.mark.parametrize("worker", [WorkerThread(reactor, "test"), WorkerProcess(None)], ids=["thread", "process"])
def test_until_it_is_started_it_calls_at_once(worker: WorkerThread | WorkerProcess) -> None:
    """The caller's thread does the work before the start, and the caller gets the exception."""
    assert result_of(worker(divmod, 7, 2)) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        result_of(worker(divmod, 7, 0))


@pytest_twisted.ensureDeferred
async def test_another_process_does_the_work_in_order() -> None:
    """A single process takes many calls, also large ones, and each caller gets its own answer."""
    async with started() as process:
        large = os.urandom(3 << 20)
        found = await gatherResults([process(bytes.__add__, large, b"."), process(os.getpid), process(os.getpid)])
    assert found[0] == large + b"."
    assert found[1] == found[2] != os.getpid()


@pytest_twisted.ensureDeferred
async def test_calls_are_not_interrupted_by_garbage_collection() -> None:
    """The collector is off during calls, and lasting objects such as modules are frozen."""
    async with started() as process:
        assert not await process(gc.isenabled)
        assert await process(gc.get_freeze_count) > 5_000


@pytest_twisted.ensureDeferred
async def test_what_is_raised_there_is_raised_here() -> None:
    """The caller gets the gateway's exception with its type."""
    async with started() as process:
        with pytest.raises(BadResponse, match="no page"):
            await process(fails)
        assert await process(len, "abc") == 3


def fails() -> None:
    sys.stdout.write("this goes to the log, not between the answers\n")
    raise BadResponse("no page")


@pytest_twisted.ensureDeferred
async def test_signals_for_all_leave_it_to_us() -> None:
    """Ctrl-C and systemd signal every process, and the worker ignores the signals."""
    async with started() as process:
        pid = await process(os.getpid)
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(pid, number)
        assert await process(os.getpid) == pid


@pytest_twisted.ensureDeferred
async def test_a_process_that_dies_is_replaced() -> None:
    """The waiting caller gets an error, and the next call gets a new process."""
    async with started() as process:
        with pytest.raises(ProcessLost):
            await process(os.kill, await process(os.getpid), signal.SIGKILL)
        assert await process(len, "abc") == 3


@pytest_twisted.ensureDeferred
async def test_a_process_that_died_between_two_calls_is_replaced() -> None:
    """No caller gets an error."""
    async with started() as process:
        pid = await process(os.getpid)
        os.kill(pid, signal.SIGKILL)
        await deferToThread(os.waitid, os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert await process(len, "abc") == 3


@pytest_twisted.ensureDeferred
async def test_a_call_without_end_is_ended() -> None:
    """The test shortens the timeout."""
    async with started() as process:
        await process(len, "")
        process._child._timeout, usual = 0.05, process._child._timeout
        with pytest.raises(ProcessLost):
            await process(os.read, 0, 1)
        process._child._timeout = usual
        assert await process(len, "abc") == 3


@pytest_twisted.ensureDeferred
async def test_stopping_abandons_what_is_under_way() -> None:
    """Running and queued calls fail at once, and the process ends."""
    process = WorkerProcess(reactor)
    process.startService()
    pid = await process(os.getpid)
    waiting, queued = process(os.read, 0, 1), process(os.getpid)
    stopped = process.stopService()
    for abandoned in (waiting, queued):
        with pytest.raises(StoreError):
            await abandoned
    await stopped
    await gone(pid)


@pytest_twisted.ensureDeferred
async def test_who_does_not_wait_any_more_does_not_disturb() -> None:
    """The answer of a cancelled call is dropped."""
    async with started() as process:
        await process(len, "")
        given_up: Deferred[Any] = process(len, "abc")
        following = process(len, "abcd")
        given_up.cancel()
        with pytest.raises(CancelledError):
            await given_up
        assert await following == 4


@pytest_twisted.ensureDeferred
async def test_an_idle_process_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most gateways need the memory of the process only once a week."""
    monkeypatch.setattr(workers, "IDLE_SECONDS", 0.05)
    async with started() as process:
        pid = await process(os.getpid)
        await gone(pid)
        assert await process(os.getpid) != pid


@pytest_twisted.ensureDeferred
async def test_a_process_loads_only_what_its_calls_need() -> None:
    """A process that decodes a page of Google loads neither the database nor the client of Google."""
    reader = partial(encode_page, source=Source.CONTACTS, region="DE", labels=None)
    body = b'{"connections": [], "nextPageToken": "2"}'
    async with started() as process:
        _, next_page_token = await process(decode_page, body, "connections", "totalItems", reader)
        loaded = await process(eval, "{'phonenumbers', 'sqlalchemy', 'twisted'} & {*__import__('sys').modules}")
    assert (next_page_token, loaded) == ("2", {"phonenumbers"})


def test_it_ends_with_its_pipe() -> None:
    """The process answers the complete calls, and then ends."""
    frames = [pickle.dumps((len, ("abc",), {})), pickle.dumps((fails, (), {}))]
    calls = b"".join(struct.pack(">I", len(frame)) + frame for frame in frames)
    answers = io.BytesIO()
    serve_calls(io.BytesIO(calls + b"\x00\x00"), answers)
    answers.seek(0)
    found = [pickle.loads(answers.read(*struct.unpack(">I", answers.read(4)))) for _ in frames]
    assert found[0] == (True, 3)
    assert (found[1][0], type(found[1][1])) == (False, BadResponse)
    assert answers.read() == b""


@pytest_twisted.ensureDeferred
async def test_small_bodies_need_no_process() -> None:
    """A delta of some persons is read on a thread, a page without persons at once, and large pages by two processes."""
    asked: list[int] = []
    async with started() as one, started() as other:
        aside = SizeBasedOffload(lambda *_: succeed(asked.append(0)), (one, other))
        assert [await aside(len, b"x" * size) for size in (0, AT_ONCE_MAX_OCTETS)] == [0, AT_ONCE_MAX_OCTETS]
        assert asked == []
        for size in (AT_ONCE_MAX_OCTETS + 1, THREAD_MAX_OCTETS):
            await aside(len, b"x" * size)
        assert asked == [0, 0]
        pages = [aside(_process_of, b"x" * (THREAD_MAX_OCTETS + 1)) for _ in range(4)]
        assert (one.calls, other.calls) == (2, 2)
        assert len({await page for page in pages}) == 2


def _process_of(_: bytes) -> int:
    return os.getpid()


def test_a_process_for_one_call() -> None:
    """The caller waits for the result or the error."""
    apart = ChildProcess(BUILD_TIMEOUT_SECONDS)
    assert apart(os.getppid) == os.getpid()
    with pytest.raises(ZeroDivisionError):
        apart(divmod, 1, 0)


@pytest.mark.parametrize(("seconds", "call"), [(60.0, (os._exit, 3)), (60.0, (os._exit, 0)), (0.05, (signal.pause,))])
def test_a_process_for_one_call_is_lost(seconds: float, call: tuple[Any, ...]) -> None:
    """The process dies, or does not end before the timeout; the caller gets an error."""
    with pytest.raises(ProcessLost):
        ChildProcess(seconds)(*call)


@pytest_twisted.ensureDeferred
async def test_stopping_ends_the_process_for_one_call() -> None:
    """The running call and later calls fail."""
    apart = ChildProcess(BUILD_TIMEOUT_SECONDS)
    waiting = deferToThread(apart, signal.pause)
    while apart._process is None:
        await deferLater(reactor, 0.01)
    apart.stopService()
    with pytest.raises(StoreError):
        await waiting
    with pytest.raises(StoreError):
        apart(signal.pause)


def test_a_process_helps_while_a_block_runs(tmp_path: Path, caplog_twisted: list[str]) -> None:
    """The process works beside the block, and ends with the block without having finished."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    held = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    with call_meanwhile(BUILD_TIMEOUT_SECONDS, hold, str(fifo)):
        assert find_readable([held], 60) == [held]
        assert os.read(held, 9) == b"x"
    assert find_readable([held], 60) == [held]
    assert (os.read(held, 9), caplog_twisted) == (b"", [])
    os.close(held)


@pytest.mark.parametrize(
    ("function", "args", "said"),
    [
        (os._exit, (3,), "a process that helps has ended unexpectedly"),
        (divmod, (1, 0), "the work of a process that helps has failed"),
    ],
    ids=["dies", "fails"],
)
def test_a_helping_process_that_fails_disturbs_no_block(
    function: Callable[..., object], args: tuple[int, ...], said: str, caplog_twisted: list[str]
) -> None:
    """The failure is logged, because the block takes longer without help."""
    with call_meanwhile(BUILD_TIMEOUT_SECONDS, function, *args):
        wait_until(lambda: bool(caplog_twisted), "the failure is logged", 60)
    assert [line.splitlines()[0] for line in caplog_twisted] == [said]


@pytest.mark.parametrize("kind", ["ChildProcess(60.0)", "WorkerProcess(reactor)"])
def test_a_killed_caller_ends_the_process(kind: str, tmp_path: Path) -> None:
    """The process would otherwise work on for minutes, in memory that the next gateway needs."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    held = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    with Popen([sys.executable, "-c", CALLER.format(kind=kind), fifo]) as caller:
        try:
            assert find_readable([held], 60) == [held]
            assert os.read(held, 9) == b"x"
        finally:
            caller.kill()
    # The process is the only one that has the other end.
    assert find_readable([held], 60) == [held]
    assert os.read(held, 9) == b""
    os.close(held)


CALLER = """
import sys
from twisted.internet import reactor
from ldapgw.server.workers import ChildProcess, WorkerProcess
from tests.server.test_workers import hold
process = {kind}
process.startService()
process(hold, sys.argv[1])
reactor.run()
"""


def hold(fifo: str) -> None:
    """Report the begin of the work, and never return."""
    with Path(fifo).open("wb", buffering=0) as file:
        signal.alarm(120)  # the alarm ends the process if the test does not
        file.write(b"x")
        signal.pause()


def test_an_interrupted_caller_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C during a start kills the process."""
    seen: list[Popen[bytes]] = []

    def interrupted(process: Popen[bytes], *_: Any) -> None:
        seen.append(process)
        raise KeyboardInterrupt

    monkeypatch.setattr(workers, "_exchange", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ChildProcess(BUILD_TIMEOUT_SECONDS)(signal.pause)
    assert seen[0].wait() == -signal.SIGKILL
