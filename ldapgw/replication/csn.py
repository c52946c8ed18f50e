# SPDX-License-Identifier: MIT
"""Change sequence numbers: the order of a directory's changes, as OpenLDAP writes it in entryCSN and in cookies.

``20261125013000.123456Z#0123ab#001#cdef45`` is a time in microseconds, a count, the id of the server that made the
change, and a number of the change.  Time alone orders our changes.  Count and number together hold 48 bits that say
which content there was after the change.  All gateways of a site have one server id, because a replica may take its
next changes from another gateway.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final, NamedTuple, Self

# The server id.  OpenLDAP has 1 to 4095 for servers that write; 0 is a server without an id.
SERVER_ID: Final = 1

_PATTERN = re.compile(r"([0-9]{14})\.([0-9]{6})Z#([0-9a-f]{6})#([0-9a-f]{3})#([0-9a-f]{6})", re.ASCII)
_MICROSECONDS: Final = 1_000_000


class Csn(NamedTuple):
    """A change sequence number of our server id.

    :ivar microseconds: since the epoch.
    :ivar state: 48 bits.
    """

    microseconds: int
    state: int

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read a number; None: it is malformed, or of another server id."""
        matched = _PATTERN.fullmatch(text)
        if matched is None or int(matched[4], 16) != SERVER_ID:
            return None
        try:
            moment = datetime.strptime(matched[1], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        except ValueError:
            return None
        microseconds = int(moment.timestamp()) * _MICROSECONDS + int(matched[2])
        return cls(microseconds, int(matched[3], 16) << 24 | int(matched[5], 16))

    def __str__(self) -> str:
        moment = datetime.fromtimestamp(self.microseconds // _MICROSECONDS, UTC)
        fraction = self.microseconds % _MICROSECONDS
        high, low = self.state >> 24, self.state & 0xFFFFFF
        return f"{moment:%Y%m%d%H%M%S}.{fraction:06}Z#{high:06x}#{SERVER_ID:03x}#{low:06x}"
