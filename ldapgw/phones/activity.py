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
from ldapgw.phones.hints import Habits, Seen, hints
from ldapgw.phones.search_log import Fresh, Search, Searches
from ldapgw.store import phones
from ldapgw.store.phones import Numbers, PhoneLogin, SearchNote
from ldapgw.store.worker import Store


class PhoneWatch:
    """Over the searches of all phones.

    :param bases: the search base of each tenant.
    :param now: seconds since the epoch.
    :ivar searches: the wire tells it of each.
    """

    def __init__(self, bases: Mapping[str, str], now: Callable[[], float]) -> None:
        self.searches = Searches(now)
        self._bases = {tenant: (base, Dn.parse(base)) for tenant, base in bases.items()}

    def base_dn(self, tenant: str) -> str:
        """A tenant's search base; empty for one that is gone."""
        return self._bases[tenant][0] if tenant in self._bases else ""

    def bind_dn(self, login: PhoneLogin) -> str:
        """The DN that a phone is bound as; empty for one whose tenant is gone."""
        return str(phone_dn(login.name, self._bases[login.tenant][1])) if login.tenant in self._bases else ""

    def seen(self, login: PhoneLogin) -> tuple[Seen, ...]:
        """A phone's last searches, the newest first."""
        return tuple(map(read, self.searches.of(self.bind_dn(login))))

    def judge(self, login: PhoneLogin, fresh: Fresh) -> SearchNote:
        """What is remembered of them: nothing of what was searched for."""
        habits = Habits.of(self.base_dn(login.tenant), login.model, per_number=login.numbers is Numbers.ENTRIES)
        found = hints(read(fresh.last), habits)
        works = fresh.found is not None and read(fresh.found).works
        worked_at = fresh.found.when if fresh.found is not None and works else None
        return SearchNote(fresh.last.when, found[0].value if found else "", worked_at)


def read(search: Search) -> Seen:
    """A search as the wire has read it."""
    try:
        message = decode(search.message)
    except ProtocolViolation:
        return Seen(search)
    request = message.request if isinstance(message.request, SearchRequest) else None
    return Seen(search, request, tuple(control.type for control in message.controls))


LOOK_SECONDS = 5.0
# A phone searches at every keystroke; a write a minute is enough, and spares the disk.
NOTE_SECONDS = 60.0

Judge = Callable[[PhoneLogin, Fresh], SearchNote]

log = Logger()


class SearchNotes(Service):
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
        take_fresh: Callable[[], Mapping[str, Fresh]],
        login_of: Callable[[PhoneLogin], str],
        logins: Callable[[], Mapping[str, PhoneAccess]],
        judge: Judge,
    ) -> None:
        self._clock = clock
        self._store = store
        self._take_fresh = take_fresh
        self._login_of = login_of
        self._logins = logins
        self._judge = judge
        self._pending: dict[str, Fresh] = {}
        self._noted: dict[str, float] = {}
        self._working: set[str] = set()
        self._timer = LoopingCall(self._quietly, self.note)
        self._timer.clock = clock

    def startService(self) -> None:
        """Begin to look."""
        super().startService()
        self._timer.start(LOOK_SECONDS)

    def stopService(self) -> Deferred[None]:
        """Write down what there is, and look no more."""
        super().stopService()
        if self._timer.running:
            self._timer.stop()
        return self._quietly(self.note_all)

    async def note(self) -> None:
        """Store what is due: of each phone once a minute; at once after a silence, or when it finds at last."""
        self._take()
        now = self._clock.seconds()
        due = {
            login: fresh
            for login, fresh in self._pending.items()
            if now - self._noted.get(login, 0.0) >= NOTE_SECONDS or (fresh.found and login not in self._working)
        }
        await self._write(due, now)

    async def note_all(self) -> None:
        """Store everything."""
        self._take()
        await self._write(dict(self._pending), self._clock.seconds())

    def forget(self, login: str) -> None:
        """A phone is gone or has another password: what is not written yet was not done with that."""
        self._pending.pop(login, None)
        self._noted.pop(login, None)
        self._working.discard(login)

    def _take(self) -> None:
        for login, fresh in self._take_fresh().items():
            before = self._pending.get(login)
            found = fresh.found or (before.found if before else None)
            self._pending[login] = Fresh(fresh.last, found)

    async def _write(self, due: Mapping[str, Fresh], now: float) -> None:
        """What cannot be stored is kept for the next time."""
        if not due:
            return
        await self._store.run(_store, due, self._login_of, self._logins(), self._judge)
        for login, fresh in due.items():
            if login not in self._pending:  # it was forgotten meanwhile
                continue
            self._noted[login] = now
            if fresh.found:
                self._working.add(login)
            if self._pending.get(login) is fresh:
                del self._pending[login]
        self._noted = {login: when for login, when in self._noted.items() if now - when < NOTE_SECONDS}

    def _quietly(self, work: Callable[[], Coroutine[Any, Any, None]]) -> Deferred[None]:
        """The next turn comes whatever became of this one; that the database cannot be used is said elsewhere."""
        return Deferred.fromCoroutine(work()).addErrback(_failed)


def _store(
    connection: Connection,
    due: Mapping[str, Fresh],
    login_of: Callable[[PhoneLogin], str],
    logins: Mapping[str, PhoneAccess],
    judge: Judge,
) -> None:
    """Write what phones have done with the password that they have now; another may be stored and not served yet."""
    known = ((login, due.get(login_of(login)), logins.get(login.name.lower())) for login in phones.read_all(connection))
    phones.searched(
        connection,
        {
            login.name: judge(login, fresh)
            for login, fresh, served in known
            if fresh is not None and served is not None and served.password_hash == login.password
        },
    )


def _failed(failure: Failure) -> None:
    if not failure.check(StoreError):
        log.failure("noting searches failed", failure)
