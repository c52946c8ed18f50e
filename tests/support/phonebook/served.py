# SPDX-License-Identifier: MIT
"""The wire in a process of its own, on loopback, with the directory of `wire` behind it.

Run as a module it listens, prints its ports, and serves until its standard input ends.  On standard error is
only what an operator would be warned of, and tracebacks.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from twisted.internet import reactor  # noqa: TID251  tests are an entry point
from twisted.internet.protocol import Protocol
from twisted.internet.stdio import StandardIO
from twisted.logger import (
    FilteringLogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogBeginner,
    textFileLogObserver,
)

from ldapgw.ldap.session import DirectoryPort
from tests.support.checkout import ROOT
from tests.support.phonebook import awkward
from tests.support.phonebook.listening import context_of
from tests.support.phonebook.wire import LOCAL_NET, make_dit, make_factory, make_gate


@dataclass
class Served:
    """A server's process.

    :ivar port: where it listens on 127.0.0.1.
    :ivar tls_port: where TLS begins at once; 0: nowhere.
    :ivar log: the file that its standard error goes to.
    """

    port: int
    tls_port: int
    pid: int
    log: Path

    @property
    def worked(self) -> float:
        """Seconds that its main thread has worked so far."""
        return int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[0]) / 1e9

    @property
    def said(self) -> str:
        return self.log.read_text()


@contextmanager
def serving(folder: Path, *, tls: bool = False, world: str = "small") -> Iterator[Served]:
    """A server, until the block ends; its log stays in the folder, where `certified` has to have been for TLS.

    :param world: "small", or "awkward" for the contacts of `awkward`; this one needs TLS.
    """
    log = folder / "log"
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            [sys.executable, "-m", __name__, *([str(folder), world] if tls else [])],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
        ) as process,
    ):
        assert process.stdout
        line = process.stdout.readline()
        assert line, log.read_text()
        plain, secure = map(int, line.split())
        yield Served(plain, secure, process.pid, log)
    assert process.returncode == 0, log.read_text()


class _End(Protocol):
    """Ends us when whoever started us has closed our input."""

    def connectionLost(self, reason: Any = None) -> None:
        reactor.stop()


def main(folder: str | None = None, world: str = "small") -> None:
    """Serve; with TLS if there is a folder with a certificate."""
    warnings = FilteringLogObserver(textFileLogObserver(sys.stderr), [LogLevelFilterPredicate(LogLevel.warn)])
    globalLogBeginner.beginLoggingTo([warnings], redirectStandardIO=False)
    tls = context_of(Path(folder)) if folder else None
    factory = make_factory(
        awkward.gate() if world == "awkward" else _small_gate(tls=tls is not None),
        reactor,
        tls=tls,
        max_connections=5000,
        max_connections_per_address=5000,
    )
    ports = [
        reactor.listenTCP(0, listening, interface="127.0.0.1", backlog=1000).getHost().port if listening else 0
        for listening in (factory, factory.over_tls() if tls else None)
    ]
    sys.stdout.write("{} {}\n".format(*ports))
    sys.stdout.flush()
    StandardIO(_End())
    reactor.run()


def _small_gate(*, tls: bool) -> DirectoryPort:
    gate = make_gate(make_dit(tls=tls))
    return replace(gate, anonymous=lambda _address: gate.anonymous(LOCAL_NET))


if __name__ == "__main__":
    main(*sys.argv[1:])
