# SPDX-License-Identifier: MIT
"""Tells systemd when the gateway is ready, reloads or stops, and that it is alive (the protocol of ``sd_notify(3)``).

Only the main process of the service sends messages, so that the unit needs no ``NotifyAccess=``.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from twisted.logger import Logger

log = Logger()

# Seconds that systemd waits for a sign of life while the process executes itself anew and loads the contacts.
RELOAD_SECONDS: Final = 3600

_MICROSECONDS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class ServiceManager:
    """The service manager that has started this process; if it has no address, no message is sent.

    :ivar address: the path of a Unix datagram socket; with ``@`` in front, an abstract socket.
    :ivar watchdog_seconds: the seconds without a sign of life after which the process is killed, or None for never.
    """

    address: str = ""
    watchdog_seconds: float | None = None

    @classmethod
    def of(cls, environment: Mapping[str, str], pid: int) -> ServiceManager:
        """Return the service manager that the environment of the process `pid` names."""
        microseconds = environment.get("WATCHDOG_USEC", "")
        is_watched = microseconds.isdecimal() and environment.get("WATCHDOG_PID", str(pid)) == str(pid)
        seconds = int(microseconds) / _MICROSECONDS if is_watched else 0
        return cls(environment.get("NOTIFY_SOCKET", ""), seconds or None)

    def ready(self) -> None:
        """Report that the gateway serves, after a start or a reload."""
        self._send("READY=1")
        if self.watchdog_seconds is not None:
            self._send(f"WATCHDOG_USEC={int(self.watchdog_seconds * _MICROSECONDS)}")

    def reloading(self, seconds: float) -> None:
        """Report that the configuration is read again; `ready` follows.

        :param seconds: the time of the monotonic clock, in seconds.
        """
        self._send(f"RELOADING=1\nMONOTONIC_USEC={int(seconds * _MICROSECONDS)}")

    def executing(self) -> None:
        """Extend the watchdog's limit, because the process executes its program anew and `ready` may take minutes."""
        if self.watchdog_seconds is not None:
            self._send(f"WATCHDOG_USEC={RELOAD_SECONDS * _MICROSECONDS}")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Send a sign of life; to be called at least every `watchdog_seconds`."""
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
