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
SEARCHES_PER_PHONE = 20
# Of all phones; those that have searched last are kept.  With 500 octets each that is 5 MB.
MAX_SEARCHES = 10_000
# Octets of a message that are kept: the longest search seen from a phone has 2 KiB.
MAX_MESSAGE_BYTES = 2048
# Addresses that were refused for want of a login.
MAX_REFUSED_ADDRESSES = 1000

# A search without its login: what `Search` is made of when somebody looks.
_Record = tuple[str, bytes, int, ResultCode, float, float]

_SUCCESS_CODES = frozenset((ResultCode.SUCCESS, ResultCode.SIZE_LIMIT_EXCEEDED))


@dataclass(frozen=True, slots=True)
class LoggedSearch:
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
    def has_entries(self) -> bool:
        """Whether something was found."""
        return self.entries > 0 and self.code in _SUCCESS_CODES


@dataclass(frozen=True, slots=True)
class SearchUpdate:
    """What is new of a phone.

    :ivar last: its last search.
    :ivar found: a search that found something; None: none did.
    """

    last: LoggedSearch
    last_found: LoggedSearch | None = None


class SearchLog:
    """Keeps them.

    :param now: seconds since the epoch.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._recent: OrderedDict[str, deque[_Record]] = OrderedDict()
        self._count = 0
        self._latest: dict[str, _Record] = {}
        self._latest_found: dict[str, _Record] = {}
        self._refusals: OrderedDict[str, float] = OrderedDict()
        self._listener: Callable[[str], None] = lambda _: None

    def set_listener(self, listener: Callable[[str], None]) -> None:
        """Whom to tell of a phone that has searched: its login."""
        self._listener = listener

    def observe(self, login: str, address: str, message: bytes, entries: int, code: ResultCode, seconds: float) -> None:
        """A search is done (`ldapgw.ldap.session.Observer`); called for each, so it does next to nothing."""
        now = self._now()
        if not login:
            if code is ResultCode.INSUFFICIENT_ACCESS_RIGHTS:
                self._record_refusal(address, now)
            return
        noted = address, message if len(message) <= MAX_MESSAGE_BYTES else b"", entries, code, seconds, now
        ring = self._recent.get(login)
        if ring is None:
            ring = self._recent[login] = deque(maxlen=SEARCHES_PER_PHONE)
        else:
            self._recent.move_to_end(login)
        if len(ring) < SEARCHES_PER_PHONE:
            self._evict()
        ring.append(noted)
        self._latest[login] = noted
        if entries and code in _SUCCESS_CODES:
            self._latest_found[login] = noted
        self._listener(login)

    def searches_of(self, login: str) -> tuple[LoggedSearch, ...]:
        """A phone's last searches, the newest first."""
        return tuple(LoggedSearch(login, *noted) for noted in reversed(self._recent.get(login, ())))

    def last_refusal(self, address: str) -> float | None:
        """When somebody at an address was refused a search last for want of a login; None: not that we know.

        To read the root DSE nobody has to log in: health checks do that all day.
        """
        return self._refusals.get(address)

    def forget(self, login: str) -> None:
        """A phone that is gone leaves nothing behind."""
        self._count -= len(self._recent.pop(login, ()))
        self._latest.pop(login, None)
        self._latest_found.pop(login, None)

    def take_updates(self) -> Mapping[str, SearchUpdate]:
        """What has come since the last call, by login."""
        fresh, found = self._latest, self._latest_found
        self._latest, self._latest_found = {}, {}
        return {
            login: SearchUpdate(
                LoggedSearch(login, *noted), LoggedSearch(login, *found[login]) if login in found else None
            )
            for login, noted in fresh.items()
        }

    def _record_refusal(self, address: str, now: float) -> None:
        self._refusals[address] = now
        self._refusals.move_to_end(address)
        if len(self._refusals) > MAX_REFUSED_ADDRESSES:
            self._refusals.popitem(last=False)

    def _evict(self) -> None:
        """For one search more, by the phones that have not searched for longest."""
        self._count += 1
        while self._count > MAX_SEARCHES:
            _, oldest = self._recent.popitem(last=False)
            self._count -= len(oldest)
