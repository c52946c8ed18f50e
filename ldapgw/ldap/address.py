# SPDX-License-Identifier: MIT
"""Where a client comes from, in one spelling.

A listener on both IP versions sees IPv4 clients as ``::ffff:192.0.2.1``; and one IPv6 host has a whole /64 to itself,
so what is counted per address is counted per /64.
"""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

# A client on a UNIX socket is on this machine.
LOCAL = "127.0.0.1"


def normalized(host: str) -> str:
    """The address as text, without zone; an IPv4 address in its own form."""
    if ":" not in host:
        return host
    address = IPv6Address(host.partition("%")[0])
    return str(address.ipv4_mapped or address)


def network(address: str) -> str:
    """What a normalized address is counted under."""
    return str(IPv6Network((address, 64), strict=False)) if ":" in address else address
