# SPDX-License-Identifier: MIT
"""ldapgw in a process that notes how long each turn of its reactor takes: FILE, and ldapgw's own arguments.

A turn is the work between two waits for events: nobody else is served meanwhile.  The file gets each turn of more than
a millisecond as three doubles, which are the values of `Turn`.
"""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path
from time import monotonic
from typing import Any, BinaryIO, NamedTuple

from twisted.internet import reactor  # noqa: TID251  an entry point

from ldapgw.cli import main

_LEAST = 0.001
_TURN = struct.Struct("ddd")


class Turn(NamedTuple):
    """One turn of the reactor; all values are in seconds.

    :ivar begun: of the monotonic clock.
    :ivar queued: the part of `taken` in which the thread had no processor, because the machine had other work.
    """

    begun: float
    taken: float
    queued: float


class Meter:
    """Stands in front of the reactor's poller.

    Mutable: the beginning of the present turn.
    """

    def __init__(self, poller: Any, file: BinaryIO) -> None:
        self._poller = poller
        self._file = file
        self._statistics = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
        self._begun, self._queued = monotonic(), self._in_line()

    def poll(self, *how: Any) -> Any:
        """Wait for events, and return them."""
        taken = monotonic() - self._begun
        if taken > _LEAST:
            self._file.write(_TURN.pack(self._begun, taken, self._in_line() - self._queued))
        happened = self._poller.poll(*how)
        self._begun, self._queued = monotonic(), self._in_line()
        return happened

    def __getattr__(self, name: str) -> Any:
        return getattr(self._poller, name)

    def _in_line(self) -> float:
        """Return the seconds in which this thread was ready to run, but did not run."""
        return int(os.pread(self._statistics, 99, 0).split()[1]) / 1e9


def longest(file: Path, start: float, end: float) -> Turn:
    """Return the longest turn between two moments of the monotonic clock; a turn of 0 seconds if no turn was long."""
    data = file.read_bytes()
    turns = (Turn(*one) for one in _TURN.iter_unpack(data[: len(data) // _TURN.size * _TURN.size]))
    during = (turn for turn in turns if turn.begun < end and turn.begun + turn.taken > start)
    return max(during, key=lambda turn: turn.taken, default=Turn(start, 0.0, 0.0))


def install(file: str) -> None:
    """Meter the reactor from now on, into a file."""
    reactor._poller = Meter(reactor._poller, Path(file).open("wb", buffering=0))  # noqa: SIM115  for good


if __name__ == "__main__":
    install(sys.argv.pop(1))
    main()
