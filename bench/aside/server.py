# SPDX-License-Identifier: MIT
"""A reactor that answers somebody and reads pages meanwhile, in one way or another.

It prints its port, then a line when the reading begins, and one with what it has seen of its own turns.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from twisted.internet import reactor as installed  # noqa: TID251 (an entry point)
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.internet.task import LoopingCall, cooperate, deferLater  # noqa: TID251  not of the gateway
from twisted.internet.threads import deferToThread
from twisted.protocols.basic import LineReceiver

from bench.aside.work import Persons, decode, decode_and_read, page, read
from ldapgw.server.processes import WorkerProcess

reactor: Any = installed

# As long as a search by the beginning of a name takes, in steps of the interpreter.
SEARCH_STEPS = 4000
TURN_SECONDS = 0.002
SLICE_SECONDS = 0.004


def sliced(persons: Persons) -> Iterator[None]:
    end = time.perf_counter() + SLICE_SECONDS
    for person in persons:
        read([person])
        if time.perf_counter() > end:
            yield
            end = time.perf_counter() + SLICE_SECONDS


async def at_rest(_body: bytes, pages: int) -> None:
    """Nothing is read, for about as long as it would take."""
    await deferLater(reactor, 0.3 * pages)


async def on_thread(body: bytes, pages: int) -> None:
    for _ in range(pages):
        await deferToThread(decode_and_read, body)


async def on_quick_thread(body: bytes, pages: int) -> None:
    """With a tenth of the usual time before another thread may have the interpreter."""
    sys.setswitchinterval(0.0005)
    await on_thread(body, pages)


async def in_slices(body: bytes, pages: int) -> None:
    """On the reactor's thread, but for the JSON."""
    for _ in range(pages):
        await cooperate(sliced(await deferToThread(decode, body))).whenDone()


async def in_process(body: bytes, pages: int) -> None:
    process = WorkerProcess(reactor)
    process.startService()
    for _ in range(pages):
        await process(decode_and_read, body)
    await process.stopService()


WAYS: Mapping[str, Callable[[bytes, int], Any]] = {
    "nothing is read": at_rest,
    "a thread": on_thread,
    "a thread, switching every 0.5 ms": on_quick_thread,
    "slices of 4 ms on the reactor": in_slices,
    "a process": in_process,
}


class Searched(LineReceiver):
    """Answers each line with itself, after some work."""

    def lineReceived(self, line: bytes) -> None:  # noqa: N802  Twisted's name
        sum(step * step for step in range(SEARCH_STEPS))
        self.sendLine(line)


class Turns:
    """How long the reactor was away, again and again."""

    def __init__(self) -> None:
        self.late: list[float] = []
        self._last = 0.0

    def begin(self) -> None:
        self._last = time.perf_counter()
        LoopingCall(self._tick).start(TURN_SECONDS, now=False)

    def _tick(self) -> None:
        now = time.perf_counter()
        self.late.append(now - self._last - TURN_SECONDS)
        self._last = now


async def serve(way: str, pages: int) -> None:
    body, turns = page(), Turns()
    port = reactor.listenTCP(0, Factory.forProtocol(Searched), interface="127.0.0.1")
    say(str(port.getHost().port))
    await deferLater(reactor, 0.5)
    turns.begin()
    say("begun")
    began, used = time.perf_counter(), time.process_time()
    await WAYS[way](body, pages)
    seen = {
        "seconds": time.perf_counter() - began,
        "used": time.process_time() - used,
        "longest": max(turns.late, default=0.0),
    }
    say(json.dumps(seen))
    await deferLater(reactor, 0.2)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    way, pages = sys.argv[1], int(sys.argv[2])

    def begin() -> None:
        served = Deferred.fromCoroutine(serve(way, pages))
        served.addErrback(lambda failure: failure.printTraceback(sys.stderr)).addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(begin)
    reactor.run()


if __name__ == "__main__":
    main()
