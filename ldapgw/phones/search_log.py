# SPDX-License-Identifier: MIT
"""The last searches of each phone, in memory alone and in bounds: what its owner is shown to see why.

The wire tells of every search when it is done.  Only octets are kept then; they are read when somebody looks.  Nothing
of it is written anywhere but for what `ldapgw.phones.activity` takes, which holds no name and no number.

Mutable: `Searches`.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ldapgw.errors import ResultCode

# Of one phone: what somebody who has just tried a few things wants to see.
KEPT = 20
# Of all phones; those that have searched last are kept.  With 500 octets each that is 5 MB.
MOST = 10_000
# Octets of a message that are kept: the longest search seen from a phone has 2 KiB.
LONGEST = 2048
# Addresses that were refused for want of a login.
STRANGERS = 1000

# A search without its login: what `Search` is made of when somebody looks.
_Noted = tuple[str, bytes, int, ResultCode, float, float]

_GOOD = frozenset((ResultCode.SUCCESS, ResultCode.SIZE_LIMIT_EXCEEDED))


@dataclass(frozen=True, slots=True)
class Search:
    """One search.

    :ivar login: the DN that the phone is bound as; empty: nobody.
    :ivar address: where it came from.
    :ivar message: the LDAPMessage; empty where it was too long to be kept.
    :ivar entries: how many were returned.
    :ivar code: how it ended.
    :ivar seconds: how long it took.
    :ivar when: seconds since the epoch.
    """

    login: str = field(repr=False)
    address: str
    message: bytes = field(repr=False)
    entries: int
    code: ResultCode
    seconds: float
    when: float

    @property
    def found(self) -> bool:
        """Whether something was found."""
        return self.entries > 0 and self.code in _GOOD


@dataclass(frozen=True, slots=True)
class Fresh:
    """What is new of a phone.

    :ivar last: its last search.
    :ivar found: a search that found something; None: none did.
    """

    last: Search
    found: Search | None = None


class Searches:
    """Keeps them.

    :param now: seconds since the epoch.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._rings: OrderedDict[str, deque[_Noted]] = OrderedDict()
        self._count = 0
        self._fresh: dict[str, _Noted] = {}
        self._found: dict[str, _Noted] = {}
        self._strangers: OrderedDict[str, float] = OrderedDict()
        self._tell: Callable[[str], None] = lambda _: None

    def tell(self, tell: Callable[[str], None]) -> None:
        """Whom to tell of a phone that has searched: its login."""
        self._tell = tell

    def observe(self, login: str, address: str, message: bytes, entries: int, code: ResultCode, seconds: float) -> None:
        """A search is done (`ldapgw.ldap.session.Observer`); called for each, so it does next to nothing."""
        now = self._now()
        if not login:
            if code is ResultCode.INSUFFICIENT_ACCESS_RIGHTS:
                self._refused(address, now)
            return
        noted = address, message if len(message) <= LONGEST else b"", entries, code, seconds, now
        ring = self._rings.get(login)
        if ring is None:
            ring = self._rings[login] = deque(maxlen=KEPT)
        else:
            self._rings.move_to_end(login)
        if len(ring) < KEPT:
            self._make_room()
        ring.append(noted)
        self._fresh[login] = noted
        if entries and code in _GOOD:
            self._found[login] = noted
        self._tell(login)

    def of(self, login: str) -> tuple[Search, ...]:
        """A phone's last searches, the newest first."""
        return tuple(Search(login, *noted) for noted in reversed(self._rings.get(login, ())))

    def stranger(self, address: str) -> float | None:
        """When somebody at an address was refused a search last for want of a login; None: not that we know.

        To read the root DSE nobody has to log in: health checks do that all day.
        """
        return self._strangers.get(address)

    def forget(self, login: str) -> None:
        """A phone that is gone leaves nothing behind."""
        self._count -= len(self._rings.pop(login, ()))
        self._fresh.pop(login, None)
        self._found.pop(login, None)

    def take_fresh(self) -> Mapping[str, Fresh]:
        """What has come since the last call, by login."""
        fresh, found = self._fresh, self._found
        self._fresh, self._found = {}, {}
        return {
            login: Fresh(Search(login, *noted), Search(login, *found[login]) if login in found else None)
            for login, noted in fresh.items()
        }

    def _refused(self, address: str, now: float) -> None:
        self._strangers[address] = now
        self._strangers.move_to_end(address)
        if len(self._strangers) > STRANGERS:
            self._strangers.popitem(last=False)

    def _make_room(self) -> None:
        """For one search more, by the phones that have not searched for longest."""
        self._count += 1
        while self._count > MOST:
            _, oldest = self._rings.popitem(last=False)
            self._count -= len(oldest)
