# SPDX-License-Identifier: MIT
"""Limits for clients: connections, deadlines, wrong passwords, searches for unknown numbers, and log lines.

Clients are counted by network (`ldapgw.directory.clients`).  `ConnectionLimits` counts connections, in total and by
network.  `BindBackoff` delays the answers to wrong passwords, by network and by login.  Answers to correct passwords
are not delayed, so a client that guesses does not slow down other clients.  `CallerIdLimits` counts the unknown numbers
that a login searches for in caller-ID books, because a client could copy a whole book by trying all numbers.
`LogThrottle` keeps clients from filling the log: each kind of event from each origin gets one line a minute, with the
number of events.  `Deadlines` has no timers, so that idle connections cost little: one sweep a second compares
`Deadlines.earliest` of all connections with the clock.

Every table is bounded.  This module has no clock: callers pass the time, or a function that tells the time.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from math import inf
from typing import Final, Generic, TypeVar

from ldapgw.directory.access import LeftOut, Viewer
from ldapgw.directory.caller_id import CallerIdBudget
from ldapgw.directory.clients import TokenBuckets, network_of
from ldapgw.directory.dn import Dn, InvalidDn

_C = TypeVar("_C")
_K = TypeVar("_K")
_V = TypeVar("_V")


class ConnectionLimits(Generic[_C]):
    """The open connections, counted in total and by network.

    An iteration uses a copy, so connections may be removed during the iteration.
    """

    __slots__ = ("_counts", "_max_connections", "_max_per_network", "_networks")

    def __init__(self, max_connections: int, max_per_network: int) -> None:
        self._max_connections = max_connections
        self._max_per_network = max_per_network
        self._networks: dict[_C, str] = {}
        self._counts: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._networks)

    def __iter__(self) -> Iterator[_C]:
        return iter(tuple(self._networks))

    def has_room(self, network: str) -> bool:
        """Return whether one more connection from this network is allowed."""
        return len(self._networks) < self._max_connections and self._counts[network] < self._max_per_network

    def add(self, connection: _C, network: str) -> None:
        self._networks[connection] = network
        self._counts[network] += 1

    def remove(self, connection: _C) -> None:
        self.release(self._networks.pop(connection))

    def delay_close(self, network: str) -> None:
        """Count a closed connection of a network as open until `release` is called."""
        self._counts[network] += 1

    def release(self, network: str) -> None:
        """Reduce the count of a network by one connection."""
        self._counts[network] -= 1
        if not self._counts[network]:
            del self._counts[network]


# The least and the greatest delay in seconds.  The first delay is short, because the first wrong password is mostly a
# typing error.
FIRST_DELAY: Final = 0.25
MAX_DELAY: Final = 8.0
# The count of wrong passwords starts again after this many seconds without a wrong password.
FORGET_SECONDS: Final = 600.0
MAX_TRACKED_LOGINS = 20_000


def _put_last(table: OrderedDict[_K, _V], key: _K, value: _V) -> None:
    """Put a value last in a table, and drop the table's first key if the table has more than `MAX_TRACKED_LOGINS`."""
    table.pop(key, None)
    table[key] = value
    if len(table) > MAX_TRACKED_LOGINS:
        table.popitem(last=False)


class BindBackoff:
    """The counts of wrong passwords by network and by login.

    A full table drops the network or login whose last wrong password is the oldest.  For each network and login, at
    most one answer is delayed at a time, so that a client does not keep many connections open by guessing.

    :param hash_login: hashes a login's name; gateways that exchange their counts use the same hash.
    """

    __slots__ = ("_counts", "_hash_login", "_held", "_unsent")

    def __init__(self, hash_login: Callable[[str], int] = hash) -> None:
        self._hash_login = hash_login
        # Logins are stored as hashes, because somebody may type a password into the field for the name.
        self._counts: OrderedDict[str | int, tuple[int, float]] = OrderedDict()
        # The wrong passwords since the last call of `take_unsent`.
        self._unsent: Counter[str | int] = Counter()
        # For each pair of network and login, the time at which a delayed answer is sent.
        self._held: OrderedDict[tuple[str, int], float] = OrderedDict()

    def delay(self, network: str, login: str, now: float) -> float | None:
        """Count a wrong password.

        :param login: the name in the bind request: a DN or a bare name.
        :returns: seconds to delay the answer, or None if another answer to the same network and login is delayed
            already.
        """
        name = self._hash_login(_bare_name(login))
        count = max(self._count(network, now), self._count(name, now))
        for counted in (network, name):
            if counted in self._unsent or len(self._unsent) < MAX_TRACKED_LOGINS:
                self._unsent[counted] += 1
        key = network, name
        if self._held.get(key, now) > now:
            return None
        seconds = min(FIRST_DELAY * 2.0 ** min(count - 1, 10), MAX_DELAY)
        _put_last(self._held, key, now + seconds)
        return seconds

    def take_unsent(self) -> Mapping[str | int, int]:
        """Return the wrong passwords since the last call, counted for each network and for each hash of a login."""
        unsent, self._unsent = self._unsent, Counter()
        return unsent

    def add(self, received: Mapping[str | int, int], now: float) -> None:
        """Count the wrong passwords that other gateways on the same database have refused."""
        for key, more in received.items():
            self._count(key, now, more)

    def _count(self, key: str | int, now: float, more: int = 1) -> int:
        count, last = self._counts.get(key, (0, now))
        count = count + more if now - last < FORGET_SECONDS else more
        _put_last(self._counts, key, (count, now))
        return count


def _bare_name(login: str) -> str:
    """Return the name in a login (a DN or a bare name) in lower case; all spellings of a login count together."""
    if "=" not in login:
        return login.strip().lower()
    try:
        rdns = Dn.parse(login).rdns
    except InvalidDn:
        return ""
    return rdns[0][0][1].strip().lower() if rdns else ""


# The size of a token bucket, and the number of tokens that a bucket gains in a second.  A client pays a token for each
# unknown number.
UNKNOWN_NUMBERS: Final = 300.0
UNKNOWN_NUMBERS_PER_SECOND: Final = 1.0
# The time, in seconds, for which the administrator sees that a login asked for too many unknown numbers.
SHOW_LEFT_OUT_SECONDS: Final = 86_400.0
MAX_SHOWN_LEFT_OUT: Final = 100


class CallerIdLimits:
    """The limit on the unknown numbers that a login may search for in caller-ID books, with token buckets.

    An *unknown number* is a number that no contact has.  A phone that rings searches for only one number.  Each login
    has a token bucket; clients that are not bound share the bucket of their network.  A client with too few tokens is
    *left out*: the gateway answers the client's searches without the caller-ID books.

    :param seconds: tells the time.
    :param on_left_out: called with the viewer and the address for each search that is answered without the caller-ID
        books.
    """

    __slots__ = ("_buckets", "_left_out", "_new_left_out", "_on_left_out", "_seconds", "_unsent")

    def __init__(self, seconds: Callable[[], float], on_left_out: Callable[[Viewer, str], None]) -> None:
        self._seconds = seconds
        self._on_left_out = on_left_out
        # The name of a bucket is a login or a network.
        self._buckets = TokenBuckets(UNKNOWN_NUMBERS, 1 / UNKNOWN_NUMBERS_PER_SECOND, seconds)
        self._left_out: dict[str, LeftOut] = {}
        # The number of unknown numbers since the last `take_unsent`, by login or network.
        self._unsent: Counter[str] = Counter()
        # The clients whose searches this gateway has answered without the caller-ID books since the last
        # `take_left_out`.
        self._new_left_out: dict[str, LeftOut] = {}

    def budget(self, viewer: Viewer, address: str) -> ClientBudget:
        """Return the budget of a client (`ldapgw.directory.caller_id.CallerIdBudget`)."""
        return ClientBudget(self, viewer, address)

    def left_out(self, tenant: str) -> tuple[LeftOut, ...]:
        """Return a tenant's clients whose searches lacked caller-ID books in the last day, the latest client first."""
        since = self._seconds() - SHOW_LEFT_OUT_SECONDS
        return tuple(
            client for client in reversed(self._left_out.values()) if client.last > since and tenant in client.tenants
        )

    def take_left_out(self) -> tuple[LeftOut, ...]:
        """Return the clients whose searches this gateway has answered without the caller-ID books since the last call.

        Each client has the number of these searches.
        """
        new, self._new_left_out = self._new_left_out, {}
        return tuple(new.values())

    def add_left_out(self, clients: Iterable[LeftOut]) -> None:
        """Add clients whose searches other gateways have answered without the caller-ID books.

        Web pages show these clients too.
        """
        for client in clients:
            _count_client(self._left_out, client)

    def take_unsent(self) -> Mapping[str, int]:
        """Return the unknown numbers since the last call, counted for each login or network."""
        unsent, self._unsent = self._unsent, Counter()
        return unsent

    def add(self, received: Mapping[str, int]) -> None:
        """Count the unknown numbers that clients have searched for at other gateways on the same database."""
        for key, count in received.items():
            self._buckets.add(key, -count)

    def take(self, viewer: Viewer, address: str, count: int, *, is_trial: bool = False) -> bool:
        """Take a client's tokens for numbers that may be unknown, and return whether the client has enough tokens.

        If the client has too few tokens, no token is taken.

        :param count: the number of telephone numbers.
        :param is_trial: see `ldapgw.directory.caller_id.CallerIdBudget.take`.
        """
        key = viewer.login or network_of(address)
        if self._buckets.take(key, count):
            if not is_trial:
                self._note(key, viewer, address, self._seconds())
            return False
        self._queue(key, count)
        return True

    def give_back(self, viewer: Viewer, address: str, count: int) -> None:
        """Undo `take` for numbers that turned out to be numbers of contacts."""
        key = viewer.login or network_of(address)
        self._buckets.add(key, count)
        self._queue(key, -count)

    def _queue(self, key: str, count: int) -> None:
        if key in self._unsent or len(self._unsent) < MAX_TRACKED_LOGINS:
            self._unsent[key] += count

    def _note(self, key: str, viewer: Viewer, address: str, now: float) -> None:
        tenants = tuple(access.tenant for access in viewer.access)
        client = LeftOut(viewer.login, tenants, address, 1, now)
        _count_client(self._left_out, client)
        if key in self._new_left_out or len(self._new_left_out) < MAX_SHOWN_LEFT_OUT:
            _count_client(self._new_left_out, client)
        self._on_left_out(viewer, address)


def _count_client(clients: dict[str, LeftOut], client: LeftOut) -> None:
    """Put a client last in a table, and add the client's new searches to the count in the table.

    The count starts again if a day or more has passed since the client's last search that is counted in the table.
    """
    key = client.login or network_of(client.address)
    before = clients.pop(key, None)
    count = before.count if before and client.last - before.last < SHOW_LEFT_OUT_SECONDS else 0
    clients[key] = replace(client, count=count + client.count)
    if len(clients) > MAX_SHOWN_LEFT_OUT:
        del clients[next(iter(clients))]


class ClientBudget:
    """The budget that `CallerIdLimits` gives one client for unknown numbers."""

    __slots__ = ("_address", "_limits", "_viewer")

    def __init__(self, limits: CallerIdLimits, viewer: Viewer, address: str) -> None:
        self._limits = limits
        self._viewer = viewer
        self._address = address

    def take(self, count: int, *, is_trial: bool = False) -> bool:
        return self._limits.take(self._viewer, self._address, count, is_trial=is_trial)

    def give_back(self, count: int) -> None:
        self._limits.give_back(self._viewer, self._address, count)


class SearchBudget:
    """A client's budget for unknown numbers, and what one search has taken from the budget.

    Mutable: the attributes.

    :param is_trial: whether a refusal is not counted, because the caller then repeats the search.
    :ivar count: the numbers that were taken and not given back.
    :ivar has_taken: whether numbers were taken, also if they were given back.
    :ivar is_refused: whether the budget was too small for one of the searched books.
    """

    __slots__ = ("_budget", "_is_trial", "count", "has_taken", "is_refused")

    def __init__(self, budget: CallerIdBudget, *, is_trial: bool = False) -> None:
        self._budget = budget
        self._is_trial = is_trial
        self.count = 0
        self.has_taken = self.is_refused = False

    def take(self, count: int, *, is_trial: bool = False) -> bool:
        if not self._budget.take(count, is_trial=is_trial or self._is_trial):
            self.is_refused = True
            return False
        self.has_taken = True
        self.count += count
        return True

    def give_back(self, count: int) -> None:
        self.count -= count
        self._budget.give_back(count)


class ExpiryAction(Enum):
    """The ways to end a connection that has missed a deadline."""

    CLOSE = auto()
    ABORT = auto()


class Timeout(Enum):
    """The kinds of deadline; each value is the name of an attribute of `Deadlines`."""

    IDLE = "idle"
    MESSAGE = "message"
    WRITE = "write"
    HANDSHAKE = "handshake"
    CLOSING = "closing"


class Deadlines:
    """The deadlines of one connection, in the clock's seconds; infinity stands for no deadline.

    :ivar idle: deadline for the next request.
    :ivar message: deadline for the rest of a message whose beginning was received.
    :ivar write: deadline for the client to read the output.
    :ivar handshake: deadline for the TLS handshake.
    :ivar closing: deadline for the connection to end after `close`.
    :ivar earliest: a lower bound of all deadlines.  A deadline that is put off does not change `earliest`, so
        `earliest` may be too early, but never too late.
    """

    __slots__ = ("closing", "earliest", "handshake", "idle", "message", "write")

    def __init__(self) -> None:
        self.idle = self.message = self.write = self.handshake = self.closing = self.earliest = inf

    def set(self, timeout: Timeout, deadline: float) -> None:
        setattr(self, timeout.value, deadline)
        self.earliest = min(self.earliest, deadline)

    def expiry_action(self, now: float) -> ExpiryAction | None:
        """Return the way to end the connection if a deadline has passed, or None if no deadline has passed.

        The connection of a client that does not read is aborted, because the client would not read a last message.
        """
        abort = min(self.write, self.handshake, self.closing)
        close = min(self.idle, self.message)
        self.earliest = min(abort, close)
        if now >= abort:
            return ExpiryAction.ABORT
        return ExpiryAction.CLOSE if now >= close else None


# The time, in seconds, between two log lines of the same kind and origin.
LOG_INTERVAL: Final = 60.0
# The maximum number of pairs of kind and origin that are counted separately.  An attacker with an IPv6 /48 network has
# 65,536 origins (/64 networks).
MAX_TRACKED_ORIGINS: Final = 200
OTHERS: Final = "others"


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line to log now.

    :ivar origin: the client's network, or the position in our code for an internal error.
    :ivar count: events since the last line.
    :ivar detail: a phrase about the last event, without secrets that a client may have sent; may be empty.
    :ivar address: the client of the last event; may be empty.
    :ivar connection: the number of the connection of the last event, or 0 if the event had no connection.
    :ivar tenant: the tenant of the last event; empty if unknown.
    :ivar account: the id of the account of the last event, or None if unknown.
    """

    kind: str
    origin: str
    count: int
    detail: str
    address: str = ""
    connection: int = 0
    tenant: str = ""
    account: int | None = None

    @property
    def client(self) -> str:
        """Return the client's network for the log.

        An IPv6 network is written in brackets behind the address of the last event.
        """
        return f"{self.address} ({self.origin})" if self.address and "/" in self.origin else self.origin


class LogThrottle:
    """The counts of events by kind and origin; once the table is full, new origins are counted together."""

    __slots__ = ("_events",)

    def __init__(self) -> None:
        # For each kind and origin: the time at which a line was last logged, and a line that counts the events since
        # this time.
        self._events: dict[tuple[str, str], tuple[float, LogLine]] = {}

    def add(
        self,
        kind: str,
        origin: str,
        now: float,
        detail: str = "",
        events: int = 1,
        address: str = "",
        connection: int = 0,
        tenant: str = "",
        account: int | None = None,
    ) -> LogLine | None:
        """Count events.

        :returns: the line to log at once, or None if the last line was logged less than `LOG_INTERVAL` ago.
        """
        if (kind, origin) not in self._events and len(self._events) >= MAX_TRACKED_ORIGINS:
            origin = OTHERS
        last_logged, before = self._events.get((kind, origin), (now - LOG_INTERVAL, None))
        count = events if before is None else before.count + events
        line = LogLine(kind, origin, count, detail, address, connection, tenant, account)
        if 0 <= now - last_logged < LOG_INTERVAL:
            self._events[kind, origin] = (last_logged, line)
            return None
        self._events[kind, origin] = (now, replace(line, count=0))
        return line

    def due(self, now: float, interval: float = LOG_INTERVAL) -> Iterator[LogLine]:
        """Yield the lines that are due, and forget origins that had no event since the last line.

        :param interval: seconds that must have passed since the last line.  A gateway that stops passes 0, so that all
            lines are yielded.
        """
        for key, (last_logged, line) in list(self._events.items()):
            if 0 <= now - last_logged < interval:
                continue
            if line.count:
                self._events[key] = (now, replace(line, count=0))
                yield line
            else:
                del self._events[key]
