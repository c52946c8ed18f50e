# SPDX-License-Identifier: MIT
"""What the gateways on one database tell each other within about a second: data that they have only in memory.

Any page so shows what phones and syncs did at any gateway, and limits on guessing hold for all gateways together.  Each
gateway writes one encrypted row a second at most, if there is something to tell and somebody to hear it, and reads
those of the others; neither binds nor searches wait for that.  What could not be told, because the database was away,
is lost (docs/decisions/0097).

Mutable: `GatewayExchange`, `LeftOutClients`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec
from sqlalchemy import Connection
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, DeferredLock
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from ldapgw.directory.access import LeftOut
from ldapgw.errors import StoreError, UnfitKey
from ldapgw.ldap.server import Guesses, LdapFactory
from ldapgw.phones.logged_search import SearchNews
from ldapgw.phones.refused_logins import RefusalNews, RefusedLogins
from ldapgw.phones.search_log import SearchLog
from ldapgw.store import gateways
from ldapgw.store.account_status import ProgressBoard, SyncProgress
from ldapgw.store.gateways import StoredNews
from ldapgw.store.secrets import SecretBox
from ldapgw.web.one_time_passwords import OneTimeChange, OneTimeSecrets

EXCHANGE_SECONDS: Final = 1.0
# Of a second: the last searches of an office of thousands of phones, and the most guesses of an attack.
MAX_SEARCHES: Final = 200
MAX_GUESSES: Final = 1000

log = Logger()


@dataclass(frozen=True, slots=True, repr=False)
class GatewayNews:
    """What one gateway tells the others; each field has a default, for gateways of another version.

    :ivar passwords: wrong passwords, by network and by hash of the login.
    :ivar numbers: unknown numbers, by login or network.
    :ivar progress: see `ProgressBoard.take_changes`.
    :ivar left_out: all clients of the last day that asked for too many unknown numbers, if there are new ones.
    """

    passwords: tuple[tuple[str | int, int], ...] = ()
    numbers: tuple[tuple[str, int], ...] = ()
    searches: SearchNews = field(default_factory=SearchNews)
    refused: RefusalNews = field(default_factory=RefusalNews)
    progress: tuple[tuple[int, SyncProgress | None], ...] = ()
    one_time: tuple[OneTimeChange, ...] = ()
    left_out: tuple[LeftOut, ...] | None = None


class LeftOutClients:
    """The clients that asked caller-ID books for too many unknown numbers within a day, here and at other gateways.

    Mutable: what other gateways have told.

    :param here: returns those clients of this gateway, of all tenants.
    """

    def __init__(self, here: Callable[[], tuple[LeftOut, ...]]) -> None:
        self.here = here
        self._elsewhere: tuple[LeftOut, ...] = ()

    def of(self, tenant: str) -> tuple[LeftOut, ...]:
        """Return each client of a tenant once, with the sum of what all gateways count; the last client first."""
        found: dict[tuple[str, str], LeftOut] = {}
        for one in (*self.here(), *self._elsewhere):
            key = one.login, "" if one.login else one.address
            other = found.get(key)
            latest = one if other is None or one.last >= other.last else other
            found[key] = latest if other is None else replace(latest, count=one.count + other.count)
        return tuple(sorted((one for one in found.values() if tenant in one.tenants), key=lambda one: -one.last))

    def set_elsewhere(self, left_out: Iterable[LeftOut]) -> None:
        """Take over what other gateways have told, in place of what they told before."""
        self._elsewhere = tuple(left_out)


class GatewayExchange(Service):
    """The service that tells other gateways what is new here, and takes over what they tell.

    Implements `ldapgw.web.dependencies.OtherGateways`.

    :param run_beside: calls a function with a connection and arguments in a transaction, on a thread of the database.
    :param gateway_id: of this gateway.
    :param on_change: called when another gateway has begun or ended.
    """

    def __init__(
        self,
        *,
        clock: IReactorTime,
        run_beside: Callable[..., Deferred[Any]],
        gateway_id: str,
        secret_box: SecretBox,
        ldap: LdapFactory,
        left_out: LeftOutClients,
        search_log: SearchLog,
        refused_logins: RefusedLogins,
        progress: ProgressBoard,
        one_time: OneTimeSecrets,
        on_change: Callable[[], object],
    ) -> None:
        self._clock = clock
        self._run_beside = run_beside
        self._gateway_id = gateway_id
        self._secret_box = secret_box
        self._ldap = ldap
        self._clients_left_out = left_out
        self._search_log = search_log
        self._refused_logins = refused_logins
        self._progress = progress
        self._one_time = one_time
        self._on_change = on_change
        self._others: frozenset[str] = frozenset()
        self._number = 0
        self._heard: dict[str, int] = {}
        self._told_left_out: tuple[LeftOut, ...] = ()
        # Of each other gateway.
        self._syncing: dict[str, set[int]] = {}
        self._left_out: dict[str, tuple[LeftOut, ...]] = {}
        self._lock = DeferredLock()
        self._timer = LoopingCall(self._exchange_if_idle)
        self._timer.clock = clock

    def startService(self) -> None:
        super().startService()
        self._timer.start(EXCHANGE_SECONDS)

    def stopService(self) -> Deferred[None]:
        """Wait for an exchange that has begun."""
        super().stopService()
        if self._timer.running:
            self._timer.stop()
        return self._lock.run(lambda: None)

    def set_others(self, others: frozenset[str]) -> None:
        """Exchange news with other gateways that live; forget what those that ended were doing.

        :param others: their ids.
        """
        if others == self._others:
            return
        if others - self._others:
            # A new one is told all.
            self._told_left_out = ()
            self._progress.mark_all_changed()
        for ended in self._others - others:
            self._heard.pop(ended, None)
            for account_id in self._syncing.pop(ended, ()):
                self._progress.update_elsewhere(account_id, None)
            self._left_out.pop(ended, None)
        self._clients_left_out.set_elsewhere(one for found in self._left_out.values() for one in found)
        self._others = others
        self._on_change()

    async def tell(self) -> None:
        """Tell at once what pages of other gateways may be asked for next."""
        if self._one_time.has_news:
            await self._exchange()
        elif self._lock.locked:  # it may be on its way
            await self._lock.run(lambda: None)

    async def hear(self) -> None:
        """Take over what other gateways have told."""
        if self._others:
            await self._exchange()

    def _exchange_if_idle(self) -> None:
        if self._others:
            if not self._lock.locked:
                self._exchange()
        else:
            self._take(0)  # nobody wants to know

    def _exchange(self) -> Deferred[None]:
        def begin() -> Deferred[None]:
            return Deferred.fromCoroutine(self._exchange_now())

        return self._lock.run(begin).addErrback(_log_failure)

    async def _exchange_now(self) -> None:
        news = self._take(MAX_SEARCHES)
        if news is not None:
            self._number += 1
        heard: Sequence[tuple[StoredNews, GatewayNews | None]] = await self._run_beside(
            _exchange, self._secret_box, self._gateway_id, self._number, news, dict(self._heard)
        )
        for stored, told in heard:
            # One that has begun is told of with the next heartbeat, and what it told is read again.
            if stored.gateway in self._others:
                self._heard[stored.gateway] = stored.number
                if told is not None:
                    self._add(stored.gateway, told)

    def _take(self, most_searches: int) -> GatewayNews | None:
        """What is new since the last call; None: nothing."""
        guesses = self._ldap.take_guesses()
        searches = self._search_log.take_news(most_searches)
        left_out = self._clients_left_out.here()
        news = GatewayNews(
            tuple(_most(guesses.passwords)),
            tuple(_most(guesses.numbers)),
            SearchNews(
                tuple(sorted(searches.searches, key=lambda search: search.when)[-most_searches:]), searches.refusals
            ),
            self._refused_logins.take_news(),
            tuple(self._progress.take_changes().items()),
            self._one_time.take_news(),
            left_out if left_out != self._told_left_out else None,
        )
        self._told_left_out = left_out
        return news if news != GatewayNews() else None

    def _add(self, gateway: str, news: GatewayNews) -> None:
        """Take over what another gateway has told."""
        if news.passwords or news.numbers:
            self._ldap.add_guesses(Guesses(dict(news.passwords), dict(news.numbers)))
        self._search_log.add(news.searches)
        self._refused_logins.add_news(news.refused)
        syncing = self._syncing.setdefault(gateway, set())
        for account_id, progress in news.progress:
            self._progress.update_elsewhere(account_id, progress)
            if progress is None:
                syncing.discard(account_id)
            else:
                syncing.add(account_id)
        self._one_time.add(news.one_time, self._clock.seconds())
        if news.left_out is not None:
            self._left_out[gateway] = news.left_out
            self._clients_left_out.set_elsewhere(one for found in self._left_out.values() for one in found)


def _most(counts: Mapping[Any, int]) -> Sequence[tuple[Any, int]]:
    """The counts, the largest ones first if there are too many."""
    counted = list(counts.items())
    if len(counted) > MAX_GUESSES:
        counted = sorted(counted, key=lambda pair: -pair[1])[:MAX_GUESSES]
    return counted


def _exchange(
    connection: Connection,
    secret_box: SecretBox,
    gateway_id: str,
    number: int,
    news: GatewayNews | None,
    heard: Mapping[str, int],
) -> list[tuple[StoredNews, GatewayNews | None]]:
    """Tell and read; None: news that this gateway cannot read, because another version or another key wrote them."""
    told = None
    if news is not None:
        told = number, secret_box.seal(msgspec.json.encode(news).decode()).decode()
    found = gateways.exchange_news(connection, gateway_id, told, heard)
    return [(stored, _read(stored.body, secret_box)) for stored in found]


def _read(body: str, secret_box: SecretBox) -> GatewayNews | None:
    try:
        return msgspec.json.decode(secret_box.unseal(body.encode()), type=GatewayNews)
    except (UnfitKey, msgspec.DecodeError):
        return None


def _log_failure(failure: Failure) -> None:
    if not failure.check(StoreError, CancelledError):  # the heartbeat fails too, and the store reports its own errors
        log.failure("exchanging data with other gateways failed", failure, event="gateway_exchange_failed")
