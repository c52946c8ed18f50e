# SPDX-License-Identifier: MIT
"""The summaries of phones' logged searches: one summary for each phone, with the hints that apply, in the database.

The command line shows the summaries, and the summaries survive a restart.  A summary holds times, exact to a minute or
so, and a hint's code, but never a filter, a name or a number.  When a search ends, the LDAP server logs only the octets
of the search.  The octets are decoded when a page shows the search, or when a summary is due.  Decoding takes a while,
so the store's thread makes the summaries.

The gateway's own tests of phones (`OwnTests`) are not logged.

Mutable: `SearchRecorder` and `OwnTests`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from sqlalchemy import Connection
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ldapgw.directory.catalog import PhoneAccess
from ldapgw.directory.dn import Dn
from ldapgw.directory.filter import SearchRequest
from ldapgw.directory.naming_context import phone_dn, phone_name
from ldapgw.errors import ProtocolViolation
from ldapgw.ldap.decoder import decode
from ldapgw.phones.hints import DecodedSearch, PhoneProfile, find_hints
from ldapgw.phones.logged_search import LoggedSearch, SearchUpdate
from ldapgw.phones.search_log import SearchLog
from ldapgw.store import phones
from ldapgw.store.periodic import PeriodicService
from ldapgw.store.phones import LastSearch, PhoneLogin
from ldapgw.store.worker import Store

# The recorder takes new searches from the log at intervals of this many seconds.
POLL_SECONDS = 5.0
# The minimum number of seconds between two writes for one phone.  A phone searches at every keystroke, so more
# writes would only burden the disk.
WRITE_SECONDS = 60.0

log = Logger()


class OwnTests:
    """The connection tests that the gateway makes now; such a test must not count as use by the phone.

    A test is recognized by two values together: its login, and the address from which the gateway connects.
    """

    def __init__(self) -> None:
        self._running: Counter[tuple[str, str]] = Counter()

    @contextmanager
    def running(self, bind_dn: str) -> Iterator[Callable[[str], None]]:
        """Count a test of a phone as running until the end of the ``with`` block.

        :returns: the function to call with the address from which the test has connected.
        """
        keys: list[tuple[str, str]] = []

        def connected(address: str) -> None:
            keys.append((bind_dn.lower(), address))
            self._running[keys[-1]] += 1

        try:
            yield connected
        finally:
            self._running.subtract(keys)
            self._running = +self._running

    def include(self, login: str, address: str) -> bool:
        """Return whether a login, or a search with this login, is part of a test.

        :param login: the bind DN.
        :param address: the client's address, normalized.
        """
        return bool(self._running) and (login.lower(), address) in self._running


class PhoneActivity:
    """The searches of all phones.

    :param bases: the search base of each tenant; the keys are the tenants' names.
    :param now: returns the seconds since the epoch.
    :param on_search, is_own_test: as in `SearchLog`.
    :ivar search_log: the log to which the LDAP server reports each search.
    """

    def __init__(
        self,
        bases: Mapping[str, str],
        now: Callable[[], float],
        on_search: Callable[[str], None] = lambda _: None,
        is_own_test: Callable[[str, str], bool] = lambda _login, _address: False,
    ) -> None:
        self.search_log = SearchLog(now, on_search, is_own_test)
        self._bases = {tenant: (base, Dn.parse(base)) for tenant, base in bases.items()}

    def base_dn(self, tenant: str) -> str:
        """Return a tenant's search base; empty for a deleted tenant."""
        return self._bases[tenant][0] if tenant in self._bases else ""

    def bind_dn(self, login: PhoneLogin) -> str:
        """Return the DN that a phone binds as; empty if the phone's tenant is deleted."""
        return str(phone_dn(login.name, self._bases[login.tenant][1])) if login.tenant in self._bases else ""

    def logged_searches(self, login: PhoneLogin) -> tuple[LoggedSearch, ...]:
        """Return a phone's last searches as they were logged, the newest first."""
        return self.search_log.searches_of(self.bind_dn(login))

    def summarize(self, login: PhoneLogin, update: SearchUpdate) -> LastSearch:
        """Return the summary to store, which does not hold the searches' texts."""
        profile = PhoneProfile.for_login(self.base_dn(login.tenant), login)
        hints = find_hints(decode_search(update.last), profile)
        has_worked = update.last_found is not None and decode_search(update.last_found).has_contacts
        worked_at = update.last_found.when if update.last_found is not None and has_worked else None
        return LastSearch(update.last.when, hints[0].value if hints else "", worked_at)


def decode_search(search: LoggedSearch) -> DecodedSearch:
    """Decode a logged search; the result has no request if the message cannot be read as a search."""
    try:
        message = decode(search.message)
    except ProtocolViolation:
        return DecodedSearch(search)
    request = message.request if isinstance(message.request, SearchRequest) else None
    return DecodedSearch(search, request, tuple(control.type for control in message.controls))


class SearchRecorder(PeriodicService):
    """The service that takes new searches every `POLL_SECONDS` and stores a summary per phone.

    :param clock: ``seconds()`` returns the seconds since the epoch.
    :param logins: returns the logins of the published directory, by name in lower case.
    """

    def __init__(
        self,
        *,
        clock: IReactorTime,
        store: Store,
        activity: PhoneActivity,
        logins: Callable[[], Mapping[str, PhoneAccess]],
    ) -> None:
        self._clock = clock
        self._store = store
        self._activity = activity
        self._logins = logins
        self._pending: dict[str, SearchUpdate] = {}
        self._written_at: dict[str, float] = {}
        self._working_logins: set[str] = set()
        super().__init__(clock, POLL_SECONDS, self.write_due, _report, waits=True, last=self.write_all)

    async def write_due(self) -> None:
        """Store the updates that are due.

        An update is due `WRITE_SECONDS` after the last write for the phone, or immediately after the phone's first
        successful search since the gateway's start.
        """
        self._collect()
        now = self._clock.seconds()
        due = {
            login: update
            for login, update in self._pending.items()
            if now - self._written_at.get(login, 0.0) >= WRITE_SECONDS
            or (update.last_found and login not in self._working_logins)
        }
        await self._write(due, now)

    async def write_all(self) -> None:
        self._collect()
        await self._write(dict(self._pending), self._clock.seconds())

    def forget(self, login: str) -> None:
        """Drop the pending update of a phone that is deleted or has another owner."""
        self._pending.pop(login, None)
        self._written_at.pop(login, None)
        self._working_logins.discard(login)

    def _collect(self) -> None:
        for login, update in self._activity.search_log.take_updates().items():
            previous = self._pending.get(login)
            last_found = update.last_found or (previous.last_found if previous else None)
            self._pending[login] = SearchUpdate(update.last, last_found)

    async def _write(self, due: Mapping[str, SearchUpdate], now: float) -> None:
        """Store updates; after a failure the updates stay pending for the next run."""
        if not due:
            return
        await self._store.run(_write_summaries, due, self._logins(), self._activity)
        for login, update in due.items():
            if login not in self._pending:  # `forget` was called during the write
                continue
            self._written_at[login] = now
            if update.last_found:
                self._working_logins.add(login)
            del self._pending[login]
        self._written_at = {login: when for login, when in self._written_at.items() if now - when < WRITE_SECONDS}


def _write_summaries(
    connection: Connection, due: Mapping[str, SearchUpdate], logins: Mapping[str, PhoneAccess], activity: PhoneActivity
) -> None:
    """Store the summaries of phones.

    A phone is left out if its new password is stored, but not in the directory yet, because its searches were made with
    the old password.
    """
    updates = {phone_name(login).lower(): update for login, update in due.items()}
    served = {login.name: login for name in updates if (login := logins.get(name))}
    phones.store_last_searches(
        connection,
        {
            login.name: activity.summarize(login, updates[login.name.lower()])
            for login in phones.read_by_names(connection, served.keys())
            if served[login.name].password_hash == login.password
        },
    )


def _report(failure: Failure) -> None:
    log.failure("storing the times and hints of searches failed", failure, event="search_notes_failed")
