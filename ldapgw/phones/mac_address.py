# SPDX-License-Identifier: MIT
"""MAC addresses of phones, as people write and read them; the gateway stores 12 hexadecimal digits in lower case."""

from __future__ import annotations

import re

_MAC = re.compile(r"[0-9a-f]{12}")
_SEPARATORS = re.compile(r"[\s:.\-]")


def read_mac(text: str) -> str:
    """Read a MAC address: ``00:15:65:AA:BB:CC``, ``0015.65aa.bbcc`` and the like; an empty text stays empty.

    :raises ValueError: if the text is no MAC address.
    """
    mac = _SEPARATORS.sub("", text).lower()
    if mac and not _MAC.fullmatch(mac):
        raise ValueError("not a MAC address")
    return mac


def show_mac(mac: str) -> str:
    """Return a stored MAC address as people read it, ``00:15:65:aa:bb:cc``; an empty text stays empty."""
    return ":".join(mac[start : start + 2] for start in range(0, len(mac), 2))
