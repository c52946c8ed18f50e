# SPDX-License-Identifier: MIT
"""The load on servers, and the figures of a round: searches and entries a second, and how long searches took.

The load is a closed loop: each connection has one open search.  The engine is ``load.c``, compiled at each start.
"""

from __future__ import annotations

import ctypes
import subprocess
import time
from array import array
from dataclasses import dataclass
from math import nan
from pathlib import Path

from bench.asking import Asked
from bench.report import percentile
from bench.servers import LIMIT, Server

CONNECTIONS = 8
WARMUP = 0.3
# Seconds that searches of a whole book have beyond the end of a round.
GRACE = 30.0
# No round has more searches.
_MOST = 2_000_000
_ENGINE = Path(__file__).with_name("load.c")


@dataclass(frozen=True)
class Round:
    """The figures of one round.

    :ivar p50: milliseconds, like `p99` and `longest`; nan where no search has ended.
    :ivar found: entries of an average search.
    :ivar worked: microseconds of processor time that the server took for a search.
    """

    searches_s: float
    entries_s: float
    p50: float
    p99: float
    longest: float
    found: float
    worked: float
    searches: int
    errors: int
    last_code: int

    def __str__(self) -> str:
        errors = f", {self.errors} errors" if self.errors else ""
        rates = f"{self.searches_s:,.0f}/s, {self.entries_s:,.0f} entries/s, p50 {self.p50:.2f}, p99 {self.p99:.2f} ms"
        return f"{rates}, a search {self.worked:,.0f} µs{errors}"


class _Load(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_uint32) for name in ("port", "connections", "fresh", "same_id")),
        *((name, ctypes.c_uint64) for name in ("warmup", "span", "patience", "least")),
        *((name, ctypes.c_char_p) for name in ("requests", "bind")),
        ("offsets", ctypes.c_void_p),
        *((name, ctypes.c_uint32) for name in ("count", "bind_length")),
        ("latencies", ctypes.c_void_p),
        ("capacity", ctypes.c_uint64),
    )


class _Report(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_uint64)
        for name in ("searches", "entries", "found", "bytes", "errors", "last_code", "timed", "elapsed")
    )


class Load:
    """The engine of the load.

    :param folder: the folder in which the engine is compiled.
    """

    def __init__(self, folder: Path) -> None:
        library = folder / "load.so"
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, _ENGINE], check=True)
        self._run = ctypes.CDLL(str(library)).run
        self._latencies = array("Q", bytes(8 * _MOST))

    def round(self, server: Server, asked: Asked, seconds: float, connections: int = CONNECTIONS) -> Round:
        """Put the load of so many connections on a server for so many seconds.

        :raises KeyboardInterrupt: if a signal has come.
        """
        offsets = array("I", [0])
        for request in asked.requests:
            offsets.append(offsets[-1] + len(request))
        bind = server.target.bind()
        load = _Load(
            port=server.target.port,
            connections=connections,
            fresh=asked.fresh,
            same_id=server.name == LIMIT,
            warmup=0 if asked.whole else int(WARMUP * 1e9),
            span=int(seconds * 1e9),
            patience=int(GRACE * 1e9),
            least=connections if asked.whole else 1,
            requests=b"".join(asked.requests),
            bind=bind,
            offsets=offsets.buffer_info()[0],
            count=len(asked.requests),
            bind_length=len(bind),
            latencies=self._latencies.buffer_info()[0],
            capacity=_MOST,
        )
        report = _Report()
        begun, before = time.monotonic(), server.worked
        if self._run(ctypes.byref(load), ctypes.byref(report)):
            raise KeyboardInterrupt
        # The time includes the warm-up, so the server's part of the time is compared, not its time for each search.
        share = (server.worked - before) / (time.monotonic() - begun)
        seconds, latencies = report.elapsed / 1e9, sorted(self._latencies[: report.timed])
        rate = report.searches / seconds
        return Round(
            searches_s=rate,
            entries_s=report.entries / seconds,
            p50=percentile(latencies, 50) / 1e6,
            p99=percentile(latencies, 99) / 1e6,
            longest=percentile(latencies, 100) / 1e6,
            found=report.found / report.searches if report.searches else nan,
            worked=share * 1e6 / rate if rate else nan,
            searches=report.searches,
            errors=report.errors,
            last_code=report.last_code,
        )
