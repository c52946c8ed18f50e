# SPDX-License-Identifier: MIT
"""What phones are seen to do: the wire's octets, read when somebody looks, and judged by what is known of the phone.

Writes down that phones have searched, and what was off, for the command line and for after a restart.

A minute's precision and a hint's code; never a filter, a name or a number.  Reading a search takes a while, so it is
done on the store's thread.

Mutable: `SearchNotes`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from sqlalchemy import Connection
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from ldapgw.directory.access import phone_dn
from ldapgw.directory.catalog import PhoneAccess
from ldapgw.directory.dn import Dn
from ldapgw.directory.filter import SearchRequest
from ldapgw.errors import ProtocolViolation, StoreError
from ldapgw.ldap.decoder import decode
from ldapgw.phones.hints import DecodedSearch, PhoneProfile, find_hints
from ldapgw.phones.search_log import LoggedSearch, SearchLog, SearchUpdate
from ldapgw.store import phones
from ldapgw.store.phones import LastSearch, NumberMode, PhoneLogin
from ldapgw.store.worker import Store


class PhoneActivity:
    """Over the searches of all phones.

    :param bases: the search base of each tenant.
    :param now: seconds since the epoch.
    :ivar searches: the wire tells it of each.
    """

    def __init__(self, bases: Mapping[str, str], now: Callable[[], float]) -> None:
        self.search_log = SearchLog(now)
        self._bases = {tenant: (base, Dn.parse(base)) for tenant, base in bases.items()}

    def base_dn(self, tenant: str) -> str:
        """A tenant's search base; empty for one that is gone."""
        return self._bases[tenant][0] if tenant in self._bases else ""

    def bind_dn(self, login: PhoneLogin) -> str:
        """The DN that a phone is bound as; empty for one whose tenant is gone."""
        return str(phone_dn(login.name, self._bases[login.tenant][1])) if login.tenant in self._bases else ""

    def recent_searches(self, login: PhoneLogin) -> tuple[DecodedSearch, ...]:
        """A phone's last searches, the newest first."""
        return tuple(map(decode_search, self.search_log.searches_of(self.bind_dn(login))))

    def summarize(self, login: PhoneLogin, update: SearchUpdate) -> LastSearch:
        """What is remembered of them: nothing of what was searched for."""
        habits = PhoneProfile.for_model(
            self.base_dn(login.tenant), login.model, per_number=login.numbers is NumberMode.ENTRIES
        )
        found = find_hints(decode_search(update.last), habits)
        works = update.last_found is not None and decode_search(update.last_found).has_contacts
        worked_at = update.last_found.when if update.last_found is not None and works else None
        return LastSearch(update.last.when, found[0].value if found else "", worked_at)


def decode_search(search: LoggedSearch) -> DecodedSearch:
    """A search as the wire has read it."""
    try:
        message = decode(search.message)
    except ProtocolViolation:
        return DecodedSearch(search)
    request = message.request if isinstance(message.request, SearchRequest) else None
    return DecodedSearch(search, request, tuple(control.type for control in message.controls))


POLL_SECONDS = 5.0
# A phone searches at every keystroke; a write a minute is enough, and spares the disk.
WRITE_SECONDS = 60.0

Summarize = Callable[[PhoneLogin, SearchUpdate], LastSearch]

log = Logger()


class SearchRecorder(Service):
    """Takes what is fresh every few seconds, and stores it.

    :param clock: its seconds are those since the epoch.
    :param take_fresh: what has come since the last call, by the login's DN.
    :param login_of: the DN that a phone is bound as.
    :param logins: those that are served, by name in lower case.
    :param judge: reads a search; called on the store's thread.
    """

    def __init__(
        self,
        *,
        clock: IReactorTime,
        store: Store,
        take_updates: Callable[[], Mapping[str, SearchUpdate]],
        bind_dn: Callable[[PhoneLogin], str],
        logins: Callable[[], Mapping[str, PhoneAccess]],
        summarize: Summarize,
    ) -> None:
        self._clock = clock
        self._store = store
        self._take_updates = take_updates
        self._bind_dn = bind_dn
        self._logins = logins
        self._summarize = summarize
        self._pending: dict[str, SearchUpdate] = {}
        self._written_at: dict[str, float] = {}
        self._working_logins: set[str] = set()
        self._timer = LoopingCall(self._run_logged, self.write_due)
        self._timer.clock = clock

    def startService(self) -> None:
        """Begin to look."""
        super().startService()
        self._timer.start(POLL_SECONDS)

    def stopService(self) -> Deferred[None]:
        """Write down what there is, and look no more."""
        super().stopService()
        if self._timer.running:
            self._timer.stop()
        return self._run_logged(self.write_all)

    async def write_due(self) -> None:
        """Store what is due: of each phone once a minute; at once after a silence, or when it finds at last."""
        self._collect()
        now = self._clock.seconds()
        due = {
            login: fresh
            for login, fresh in self._pending.items()
            if now - self._written_at.get(login, 0.0) >= WRITE_SECONDS
            or (fresh.last_found and login not in self._working_logins)
        }
        await self._write(due, now)

    async def write_all(self) -> None:
        """Store everything."""
        self._collect()
        await self._write(dict(self._pending), self._clock.seconds())

    def forget(self, login: str) -> None:
        """A phone is gone or has another password: what is not written yet was not done with that."""
        self._pending.pop(login, None)
        self._written_at.pop(login, None)
        self._working_logins.discard(login)

    def _collect(self) -> None:
        for login, fresh in self._take_updates().items():
            before = self._pending.get(login)
            found = fresh.last_found or (before.last_found if before else None)
            self._pending[login] = SearchUpdate(fresh.last, found)

    async def _write(self, due: Mapping[str, SearchUpdate], now: float) -> None:
        """What cannot be stored is kept for the next time."""
        if not due:
            return
        await self._store.run(_write_notes, due, self._bind_dn, self._logins(), self._summarize)
        for login, fresh in due.items():
            if login not in self._pending:  # it was forgotten meanwhile
                continue
            self._written_at[login] = now
            if fresh.last_found:
                self._working_logins.add(login)
            if self._pending.get(login) is fresh:
                del self._pending[login]
        self._written_at = {login: when for login, when in self._written_at.items() if now - when < WRITE_SECONDS}

    def _run_logged(self, work: Callable[[], Coroutine[Any, Any, None]]) -> Deferred[None]:
        """The next turn comes whatever became of this one; that the database cannot be used is said elsewhere."""
        return Deferred.fromCoroutine(work()).addErrback(_log_failure)


def _write_notes(
    connection: Connection,
    due: Mapping[str, SearchUpdate],
    bind_dn: Callable[[PhoneLogin], str],
    logins: Mapping[str, PhoneAccess],
    summarize: Summarize,
) -> None:
    """Write what phones have done with the password that they have now; another may be stored and not served yet."""
    known = ((login, due.get(bind_dn(login)), logins.get(login.name.lower())) for login in phones.read_all(connection))
    phones.store_last_searches(
        connection,
        {
            login.name: summarize(login, fresh)
            for login, fresh, served in known
            if fresh is not None and served is not None and served.password_hash == login.password
        },
    )


def _log_failure(failure: Failure) -> None:
    if not failure.check(StoreError):
        log.failure("noting searches failed", failure)
