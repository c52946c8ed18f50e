# SPDX-License-Identifier: MIT
"""The environment names the socket and the watchdog of systemd."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path

import pytest

from ldapgw.server.foreground import ServiceManager


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({}, ServiceManager()),
        ({"NOTIFY_SOCKET": "/run/notify"}, ServiceManager("/run/notify")),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "1500000", "WATCHDOG_PID": "7"}, ServiceManager("/n", 1.5)),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "1500000"}, ServiceManager("/n", 1.5)),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "1500000", "WATCHDOG_PID": "8"}, ServiceManager("/n")),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "0"}, ServiceManager("/n")),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "often"}, ServiceManager("/n")),
    ],
    ids=["none", "unwatched", "watched", "anybody", "another", "zero", "nonsense"],
)
def test_the_environment_names_it(environment: Mapping[str, str], found: ServiceManager) -> None:
    """A watchdog of another process does not count, as in ``sd_watchdog_enabled(3)``."""
    assert ServiceManager.of(environment, 7) == found


@pytest.mark.parametrize("prefix", ["", "@"], ids=["path", "abstract"])
def test_it_is_told(tmp_path: Path, prefix: str) -> None:
    """Each state is a datagram."""
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(path if not prefix else "\0" + path)
        manager = ServiceManager(prefix + path, 1.5)
        manager.ready()
        manager.alive()
        manager.reloading(12.5)
        manager.executing()
        manager.stopping()
        told = [receiver.recv(1024).decode() for _ in range(6)]
    assert told == [
        "READY=1",
        "WATCHDOG_USEC=1500000",
        "WATCHDOG=1",
        "RELOADING=1\nMONOTONIC_USEC=12500000",
        "WATCHDOG_USEC=3600000000",
        "STOPPING=1",
    ]


def test_nobody_listens(tmp_path: Path) -> None:
    """The gateway goes on without a listener."""
    ServiceManager(str(tmp_path / "none"), 1.5).ready()
    ServiceManager().ready()
