# SPDX-License-Identifier: MIT
"""Looking whether the configured ports can be had, by taking them for a moment."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Iterator
from contextlib import ExitStack

from ldapgw.cli.finding import CheckResult, CheckStatus
from ldapgw.server.listener import ListenAddress


def check_ports(endpoints: Iterable[tuple[str, str]], gateway: int | None) -> Iterator[CheckResult]:
    """All ports, held together until the last is tried, so that two of ours on one port show too.

    :param endpoints: each setting's name with an endpoint of it.
    :param gateway: the process id of our own gateway, if it is running; it may hold them.
    """
    with ExitStack() as held:
        for setting, endpoint in endpoints:
            item = f'{setting} "{endpoint}"'
            listening = ListenAddress.parse(endpoint)
            if listening is None:
                yield CheckResult(CheckStatus.OK, item, "not tried: not a TCP port")
                continue
            try:
                held.enter_context(_bound(listening))
            except OSError as error:
                yield _refused(item, listening, error, gateway)
            else:
                yield CheckResult(CheckStatus.OK, item, f"{listening} is free")


def _bound(listening: ListenAddress) -> socket.socket:
    """A socket that listens as Twisted's will."""
    found = socket.socket(socket.AF_INET6 if listening.ipv6 else socket.AF_INET, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((listening.interface, listening.port))
        # With SO_REUSEADDR two sockets can be bound to one port; only one of them can listen.
        found.listen(1)
    except OSError:
        found.close()
        raise
    return found


def _refused(item: str, listening: ListenAddress, error: OSError, gateway: int | None) -> CheckResult:
    if error.errno == errno.EADDRINUSE:
        if gateway is not None:
            return CheckResult(
                CheckStatus.OK, item, f"{listening} is in use, by the running gateway (process {gateway})"
            )
        return CheckResult(CheckStatus.FAILED, item, f"{listening} is in use by another program")
    if error.errno in (errno.EACCES, errno.EPERM):
        told = f"{listening} needs the capability CAP_NET_BIND_SERVICE (see etc/ldapgw.service)"
        return CheckResult(CheckStatus.FAILED, item, told)
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return CheckResult(CheckStatus.FAILED, item, f"{listening.interface} is no address of this machine")
    return CheckResult(CheckStatus.FAILED, item, f"{listening}: {error.strerror}")
