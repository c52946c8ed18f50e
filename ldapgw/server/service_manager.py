# SPDX-License-Identifier: MIT
"""Tells systemd when the gateway is ready, reloads or stops, and that it is alive (the protocol of ``sd_notify(3)``).

Only the main process of the service tells anything, so that the unit needs no ``NotifyAccess=``.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from twisted.logger import Logger

log = Logger()

# systemd waits so long for a sign of life while the process executes itself anew and loads the contacts.
RELOAD_SECONDS: Final = 3600

_MICROSECONDS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class ServiceManager:
    """The service manager that has started this process; without an address, nobody is told anything.

    :ivar address: the path of a Unix datagram socket; ``@`` in front: an abstract one.
    :ivar watchdog_seconds: the process is killed after so many seconds without a sign of life; None: never.
    """

    address: str = ""
    watchdog_seconds: float | None = None

    @classmethod
    def of(cls, environment: Mapping[str, str], pid: int) -> ServiceManager:
        """The service manager that the environment names to the process `pid`."""
        microseconds = environment.get("WATCHDOG_USEC", "")
        is_watched = microseconds.isdecimal() and environment.get("WATCHDOG_PID", str(pid)) == str(pid)
        seconds = int(microseconds) / _MICROSECONDS if is_watched else 0
        return cls(environment.get("NOTIFY_SOCKET", ""), seconds or None)

    def ready(self) -> None:
        """The gateway serves, after a start or a reload."""
        self._send("READY=1")
        if self.watchdog_seconds is not None:
            self._send(f"WATCHDOG_USEC={int(self.watchdog_seconds * _MICROSECONDS)}")

    def reloading(self, seconds: float) -> None:
        """The configuration is read again; `ready` follows.

        :param seconds: of the monotonic clock.
        """
        self._send(f"RELOADING=1\nMONOTONIC_USEC={int(seconds * _MICROSECONDS)}")

    def executing(self) -> None:
        """The process is about to execute its program anew; `ready` follows, and may take minutes."""
        if self.watchdog_seconds is not None:
            self._send(f"WATCHDOG_USEC={RELOAD_SECONDS * _MICROSECONDS}")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def alive(self) -> None:
        """A sign of life; due at least every `watchdog_seconds`."""
        self._send("WATCHDOG=1", socket.MSG_DONTWAIT)

    def _send(self, state: str, flags: int = 0) -> None:
        if not self.address:
            return
        address = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.sendto(state.encode(), flags, address)
        except OSError as error:
            log.warn(
                "NOTIFY_SOCKET: {state} cannot be sent: {reason}",
                event="service_manager_unreachable",
                state=state,
                reason=error.strerror,
            )
