# SPDX-License-Identifier: MIT
"""Whose request it is, for the log: the peer, or what a trusted proxy says (``X-Forwarded-For``)."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable


def client_address(peer: str, forwarded_for: Iterable[str], trusts: Callable[[str], bool]) -> str:
    """The nearest address that is not a trusted proxy's.

    Each proxy appends whom it got the request from, so the list is read from its end, as far as the next one is
    trusted.  Whatever an untrusted client wrote stands before that and is not read.

    :param peer: the address at the other end of the connection; empty for a Unix socket.
    :param forwarded_for: the headers, each a comma-separated list.
    :param trusts: whether an address is a trusted proxy's.
    """
    found = peer
    hops = [hop.strip() for header in forwarded_for for hop in header.split(",")]
    while hops and trusts(found):
        try:
            found = str(ipaddress.ip_address(hops.pop().strip("[]")))
        except ValueError:
            break
    return found
