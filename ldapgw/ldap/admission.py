# SPDX-License-Identifier: MIT
"""Who is connected, and whether there is room for one more: in all, and from each network.

Wrong passwords get slower and slower: per network that they come from, and per login that they are tried on.

Only the answer to a wrong one is held back, so neither a colleague behind the same address nor the phone whose login is
being tried notices anything.  The table is bounded: what was quiet longest is forgotten first.

When a connection has to be done with what it is at.

No timer for each: one sweep a second compares `Deadlines.due` of all with the clock, so 10,000 idle connections cost a
loop over floats.

Where a client comes from, in one spelling.

A listener on both IP versions sees IPv4 clients as ``::ffff:192.0.2.1``; and one IPv6 host has a whole /64 to itself,
so what is counted per address is counted per /64.

What clients do wrong, counted, so that none of them fills the log.

Of one kind and one origin there is one line a minute, with how many there were.  The table is bounded: when it is full,
whoever comes new is counted together with all others.  No clock here; the time is passed in.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from ipaddress import IPv6Address, IPv6Network
from math import inf
from typing import Final, Generic, TypeVar

_C = TypeVar("_C")


class ConnectionLimits(Generic[_C]):
    """The connections there are.

    :param most: in all.
    :param most_per_network: from one network.
    """

    __slots__ = ("_max", "_max_per_network", "_networks", "_of_network")

    def __init__(self, most: int, most_per_network: int) -> None:
        self._max = most
        self._max_per_network = most_per_network
        self._networks: dict[_C, str] = {}
        self._of_network: Counter[str] = Counter()

    def __len__(self) -> int:
        """How many there are."""
        return len(self._networks)

    def __iter__(self) -> Iterator[_C]:
        """All that there are now; they may go meanwhile."""
        return iter(tuple(self._networks))

    def has_room(self, network: str) -> bool:
        """Whether one more may come from there."""
        return len(self._networks) < self._max and self._of_network[network] < self._max_per_network

    def add(self, connection: _C, network: str) -> None:
        """One more."""
        self._networks[connection] = network
        self._of_network[network] += 1

    def remove(self, connection: _C) -> None:
        """One less."""
        self.release(self._networks.pop(connection))

    def delay_close(self, network: str) -> None:
        """Count a connection that is gone for a while yet, until `leave`."""
        self._of_network[network] += 1

    def release(self, network: str) -> None:
        """Count one less from there."""
        self._of_network[network] -= 1
        if not self._of_network[network]:
            del self._of_network[network]


# Seconds: the first wrong password is a slip of the finger, the tenth is not.
FIRST_DELAY: Final = 0.25
MAX_DELAY: Final = 8.0
# Seconds without a wrong one, after which the past is forgotten.
FORGET_SECONDS: Final = 600.0
MAX_TRACKED_LOGINS: Final = 20_000


class BindBackoff:
    """Counts wrong passwords by network and by login; no clock, the time is passed in."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        # Logins by their hash: what somebody types where a name belongs may be a password.
        self._counts: OrderedDict[str | int, tuple[int, float]] = OrderedDict()

    def delay(self, network: str, login: str, now: float) -> float:
        """Count one wrong password.

        :param login: the name that was tried, in whichever spelling.
        :returns: for how many seconds to hold the answer back.
        """
        count = max(self._count(network, now), self._count(hash(_bare(login)), now))
        return min(FIRST_DELAY * 2.0 ** min(count - 1, 10), MAX_DELAY)

    def _count(self, key: str | int, now: float) -> int:
        count, last = self._counts.pop(key, (0, now))
        count = count + 1 if now - last < FORGET_SECONDS else 1
        self._counts[key] = (count, now)
        if len(self._counts) > MAX_TRACKED_LOGINS:
            self._counts.popitem(last=False)
        return count


def _bare(login: str) -> str:
    """The value of the first RDN, or the bare name: both spellings of a login are one."""
    attribute, equals, rest = login.lower().partition("=")
    return (rest.partition(",")[0] if equals else attribute).strip()


class Overdue(Enum):
    """What to do with a connection that is late."""

    CLOSE = auto()
    ABORT = auto()


class Wait(Enum):
    """What is waited for, by the name of its moment in `Deadlines`."""

    IDLE = "idle"
    MESSAGE = "message"
    WRITE = "write"
    HANDSHAKE = "handshake"
    CLOSING = "closing"


class Deadlines:
    """The moments, in the clock's seconds, at which patience ends; infinite: nothing is waited for.

    :ivar idle: for the next request.
    :ivar message: for the rest of a message that has begun.
    :ivar write: for the client to take what we wrote.
    :ivar handshake: for TLS to be ready.
    :ivar closing: for the connection to be gone.
    :ivar due: none of them is earlier.  It may be too early, never too late: moments are put off without touching it.
    """

    __slots__ = ("closing", "due", "handshake", "idle", "message", "write")

    def __init__(self) -> None:
        self.idle = self.message = self.write = self.handshake = self.closing = self.due = inf

    def set(self, wait: Wait, moment: float) -> None:
        """Wait for something until that moment."""
        setattr(self, wait.value, moment)
        self.due = min(self.due, moment)

    def overdue(self, now: float) -> Overdue | None:
        """Whether patience has ended, and how: a client that takes nothing cannot be told goodbye."""
        cut = min(self.write, self.handshake, self.closing)
        close = min(self.idle, self.message)
        self.due = min(cut, close)
        if now >= cut:
            return Overdue.ABORT
        return Overdue.CLOSE if now >= close else None


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


# Seconds between two lines about the same.
LOG_INTERVAL: Final = 60.0
# Origins that are told apart.  An attacker with an IPv6 network has 65,536 of them.
MAX_TRACKED_ORIGINS: Final = 200
OTHERS: Final = "others"


@dataclass(frozen=True, slots=True)
class LogLine:
    """What is worth a line now.

    :ivar kind: what was done.
    :ivar origin: from where: a network, or a place in our code.
    :ivar count: how often since the last line.
    :ivar detail: a fixed phrase about the last time, never what was sent; may be empty.
    """

    kind: str
    origin: str
    count: int
    detail: str


class LogThrottle:
    """Counts by kind and origin."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        # When it was told last, how many came since, and the last one's detail.
        self._counts: dict[tuple[str, str], tuple[float, int, str]] = {}

    def add(self, kind: str, origin: str, now: float, detail: str = "") -> LogLine | None:
        """Count one more; what to tell of it now: the first at once, the others later."""
        if (kind, origin) not in self._counts and len(self._counts) >= MAX_TRACKED_ORIGINS:
            origin = OTHERS
        told, count, _ = self._counts.get((kind, origin), (now - LOG_INTERVAL, 0, ""))
        if now - told < LOG_INTERVAL:
            self._counts[kind, origin] = (told, count + 1, detail)
            return None
        self._counts[kind, origin] = (now, 0, detail)
        return LogLine(kind, origin, count + 1, detail)

    def due(self, now: float, pause: float = LOG_INTERVAL) -> Iterator[LogLine]:
        """What has come since its last line, where that was long ago; what was quiet since is forgotten.

        :param pause: how long ago that is, in seconds; 0: all that is left to tell.
        """
        for (kind, origin), (told, count, detail) in list(self._counts.items()):
            if now - told < pause:
                continue
            if count:
                self._counts[kind, origin] = (now, 0, detail)
                yield LogLine(kind, origin, count, detail)
            else:
                del self._counts[kind, origin]
