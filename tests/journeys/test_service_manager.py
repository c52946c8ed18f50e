# SPDX-License-Identifier: MIT
"""A gateway tells systemd its states (``sd_notify(3)``): the test is at the other end of its socket.

Only a process has a socket for its service manager and a main process id.
"""

from __future__ import annotations

import signal
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.site.running import PATIENCE, Process, Site

pytestmark = pytest.mark.long

_CREDENTIALS = struct.Struct("3i")


class Systemd:
    """The socket that a service tells its states to.

    :ivar senders: the processes that have told one.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "notify"
        self.senders: set[int] = set()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.settimeout(PATIENCE)
        self.socket.bind(str(self.path))

    def next(self) -> str:
        """The next state, without the time of a reload."""
        state, ancillary, _, _ = self.socket.recvmsg(1024, socket.CMSG_SPACE(_CREDENTIALS.size))
        [(_, _, credentials)] = ancillary
        self.senders.add(_CREDENTIALS.unpack(credentials)[0])
        return state.decode().partition("\nMONOTONIC_USEC=")[0]

    def next_but_life(self) -> str:
        """The next state that is not a sign of life."""
        while (state := self.next()) == "WATCHDOG=1":
            pass
        return state

    @contextmanager
    def service(self, site: Site, *arguments: str, watchdog: str = "") -> Iterator[Process]:
        """A gateway as a service, until the block ends."""
        variables = [f"NOTIFY_SOCKET={self.path}", *([f"WATCHDOG_USEC={watchdog}"] if watchdog else [])]
        gateway = Process(["env", *variables, *site.command("run", *arguments)], site.folder / "log", site.folder)
        try:
            yield gateway
        finally:
            gateway.end()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    systemd = Systemd(tmp_path)
    with systemd.socket:
        yield systemd


def test_it_is_ready_when_it_serves(tmp_path: Path, systemd: Systemd) -> None:
    """Also after a reload, a good one and one that is refused; without a watchdog there are no signs of life."""
    site = Site(tmp_path)
    with systemd.service(site) as gateway:
        assert systemd.next() == "READY=1"
        # Not waited for.
        assert site.is_ready()
        socket.create_connection(("127.0.0.1", site.ldap_port)).close()
        gateway.send(signal.SIGHUP)
        assert [systemd.next(), systemd.next()] == ["RELOADING=1", "READY=1"]
        assert site.is_ready()
        site.file.write_text("nonsense")
        gateway.send(signal.SIGHUP)
        assert [systemd.next(), systemd.next()] == ["RELOADING=1", "READY=1"]
        assert gateway.end() == 0
        assert systemd.next() == "STOPPING=1"
    assert systemd.senders == {gateway.pid}
    assert "Traceback" not in gateway.said


def test_it_shows_that_it_is_alive(tmp_path: Path, systemd: Systemd) -> None:
    """While it serves; a reload may take longer, and is not taken for a gateway that hangs."""
    site = Site(tmp_path)
    with systemd.service(site, watchdog="600000") as gateway:
        ready = ["READY=1", "WATCHDOG_USEC=600000"]
        alive = ["WATCHDOG=1"] * 3
        assert [systemd.next() for _ in range(5)] == ready + alive
        gateway.send(signal.SIGHUP)
        told = [systemd.next_but_life() for _ in range(4)]
        assert told == ["RELOADING=1", "WATCHDOG_USEC=3600000000", *ready]
        assert [systemd.next() for _ in range(3)] == alive
        # As systemd does with one that shows none.
        gateway.end(signal.SIGABRT)
    assert "Fatal Python error: Aborted" in gateway.said
    assert "foreground.py" in gateway.said
