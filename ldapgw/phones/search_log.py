# SPDX-License-Identifier: MIT
"""The last searches of each phone, kept in memory so that a phone's owner can see what went wrong.

The LDAP server reports every search as soon as it has answered the search.  The log keeps the octets of the search's
message.  These octets are decoded only when a page shows the search.  The gateway stores only summaries of the log
(`ldapgw.phones.activity`), which hold no name and no number.  Several gateways on one database also send each other new
searches, in encrypted messages that are stored nowhere (`ldapgw.peers.bulletin`).

Mutable: `SearchLog`.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Final

from ldapgw.errors import ResultCode
from ldapgw.ldap.messages import FinishedSearch
from ldapgw.phones.logged_search import SUCCESS_CODES, LoggedSearch, NewSearches, SearchUpdate

# The maximum number of searches of each phone, enough for somebody who has just tried a few things.
SEARCHES_PER_PHONE: Final = 20
# The maximum number of searches of all phones together.  If there are more searches, the log drops the phones whose
# last search is the oldest.  With 500 octets for each search, the log takes 5 MB.
MAX_SEARCHES = 10_000
# The maximum number of octets of a message that is kept.  The longest search that a phone is known to send has 2 KiB.
MAX_MESSAGE_BYTES: Final = 2048
# The maximum number of remembered addresses from which a search without a login was refused.
MAX_REFUSED_ADDRESSES = 1000

# The fields of a `LoggedSearch` without `login`, and whether this gateway has answered the search.  The log makes a
# `LoggedSearch` only when a page asks for the search.
_Record = tuple[str, bytes, int, ResultCode, float, float, bool]


class SearchLog:
    """The last searches of all phones.

    :param now: returns the seconds since the epoch.
    :param on_search: called with the login after each search of a phone.
    :param is_own_test: returns for a login and an address whether a search is part of the gateway's own test of a
        phone (`ldapgw.phones.activity.OwnTests`); such a search is not logged.
    """

    def __init__(
        self,
        now: Callable[[], float],
        on_search: Callable[[str], None] = lambda _: None,
        is_own_test: Callable[[str, str], bool] = lambda _login, _address: False,
    ) -> None:
        self._now = now
        self._is_own_test = is_own_test
        self._on_search = on_search
        self._recent: OrderedDict[str, deque[_Record]] = OrderedDict()
        self._count = 0
        self._latest: dict[str, _Record] = {}
        self._latest_found: dict[str, _Record] = {}
        self._refusals: OrderedDict[str, float] = OrderedDict()
        # Since the last call of `take_unsent`: the number of searches of each login, and the time of the last refusal
        # for each address.
        self._untold: dict[str, int] = {}
        self._new_refusals: dict[str, float] = {}

    def observe(self, search: FinishedSearch) -> None:
        """Log a search.

        The method does very little, because each search calls the method.
        """
        login, address = search.login, search.address
        if self._is_own_test(login, address):
            return
        now = self._now()
        if not login:
            if search.code is ResultCode.INSUFFICIENT_ACCESS_RIGHTS:
                self._record_refusal(address, now)
            return
        kept = search.message if len(search.message) <= MAX_MESSAGE_BYTES else b""
        self._log(login, (address, kept, search.entries, search.code, search.seconds, now, True))

    def _log(self, login: str, record: _Record) -> None:
        _, _, entries, code, _, _, is_own = record
        records = self._recent.get(login)
        if records is None:
            records = self._recent[login] = deque(maxlen=SEARCHES_PER_PHONE)
        else:
            self._recent.move_to_end(login)
        if len(records) < SEARCHES_PER_PHONE:
            self._evict()
        if is_own:
            records.append(record)
            self._untold[login] = self._untold.get(login, 0) + 1
            self._latest[login] = record
            if entries and code in SUCCESS_CODES:
                self._latest_found[login] = record
        else:
            _insert(records, record)
        self._on_search(login)

    def searches_of(self, login: str) -> tuple[LoggedSearch, ...]:
        """Return a phone's last searches, the newest first."""
        return tuple(_logged(login, record) for record in reversed(self._recent.get(login, ())))

    def last_refusal(self, address: str) -> float | None:
        """Return the time at which an address was last refused a search without a login; None if unknown.

        The time is in seconds since the epoch.  Health checks are never refused, because they read only the root DSE,
        for which no login is needed.
        """
        return self._refusals.get(address)

    def forget(self, login: str) -> None:
        """Drop all searches of a phone that is deleted or has another owner."""
        self._count -= len(self._recent.pop(login, ()))
        self._latest.pop(login, None)
        self._latest_found.pop(login, None)
        self._untold.pop(login, None)

    def end(self, login: str, successor: str) -> None:
        """Give the searches of an ended login to its successor; drop the searches if there is no successor.

        :param successor: as in `ldapgw.directory.catalog.EndedLogin`.
        """
        if successor == login:
            return
        records = self._recent.get(login)
        if records is not None and successor and successor not in self._recent:
            self._recent[successor] = records.copy()
            self._count += len(records)
        self.forget(login)

    def take_unsent(self, limit: int = MAX_SEARCHES) -> NewSearches:
        """Return the searches since the previous call, in the order of time, for the log of another gateway.

        :param limit: the maximum number of searches to return.  If there are more searches, the function prefers the
            phones that began to search last since the previous call.
        """
        untold, self._untold = self._untold, {}
        taken: list[list[LoggedSearch]] = []
        for login, count in reversed(untold.items()):
            if limit <= 0:
                break
            own = [_logged(login, record) for record in self._recent.get(login, ()) if record[-1]]
            taken.append(own[-min(count, limit) :])
            limit -= len(taken[-1])
        refusals, self._new_refusals = self._new_refusals, {}
        searches = sorted((search for searches in reversed(taken) for search in searches), key=attrgetter("when"))
        return NewSearches(tuple(searches), refusals)

    def add(self, received: NewSearches) -> None:
        """Log searches that another gateway has answered; the other gateway stores the summaries of these searches."""
        for search in received.searches:
            record = search.address, search.message, search.entries, search.code, search.seconds, search.when, False
            self._log(search.login, record)
        for address, when in received.refusals.items():
            self._record_refusal(address, when, is_elsewhere=True)

    def take_updates(self) -> Mapping[str, SearchUpdate]:
        """Return the updates since the previous call, by login."""
        latest, latest_found = self._latest, self._latest_found
        self._latest, self._latest_found = {}, {}
        return {
            login: SearchUpdate(
                _logged(login, record),
                _logged(login, latest_found[login]) if login in latest_found else None,
            )
            for login, record in latest.items()
        }

    def _record_refusal(self, address: str, now: float, *, is_elsewhere: bool = False) -> None:
        self._refusals[address] = now
        self._refusals.move_to_end(address)
        if not is_elsewhere and len(self._new_refusals) < MAX_REFUSED_ADDRESSES:
            self._new_refusals[address] = now
        if len(self._refusals) > MAX_REFUSED_ADDRESSES:
            self._refusals.popitem(last=False)

    def _evict(self) -> None:
        """Make room for one more search: drop the phones whose last search is the oldest."""
        self._count += 1
        while self._count > MAX_SEARCHES:
            _, oldest = self._recent.popitem(last=False)
            self._count -= len(oldest)


def _logged(login: str, record: _Record) -> LoggedSearch:
    return LoggedSearch(login, *record[:-1])


def _insert(records: deque[_Record], record: _Record) -> None:
    """Insert a search of another gateway in the order of time, perhaps before searches of this gateway."""
    later: list[_Record] = []
    while records and records[-1][-2] > record[-2]:
        later.append(records.pop())
    records.append(record)
    records.extend(reversed(later))
