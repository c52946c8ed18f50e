# SPDX-License-Identifier: MIT
"""What the processes of one gateway tell each other, four times a second.

The first process syncs, writes the database, and serves the page and LDAP; the others serve LDAP only.  Each of them
tells the first what its phones did (`ProcessNews`); the first tells each of the others what has changed, and what
clients have tried elsewhere (`GroupNews`), so that limits on guessing hold for all together.

Mutable: `GroupLeader` in the first process, `GroupMember` in each of the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall

from ldapgw.directory.access import LeftOut
from ldapgw.directory.catalog import Catalog
from ldapgw.ldap.admission import ConnectionCounts
from ldapgw.ldap.server import Guesses, LdapFactory
from ldapgw.phones.logged_search import SearchNews
from ldapgw.phones.recorder import CapturedMessages, Captures
from ldapgw.phones.refused_logins import RefusedLogins
from ldapgw.phones.search_log import SearchLog
from ldapgw.server.metrics import ProcessFigures
from ldapgw.server.process_link import ProcessLink
from ldapgw.store.recordings import StoredRecording

# Limits count for all processes within a second: news pass two links, and wait for a turn at each.
TELL_SECONDS: Final = 0.25
# At the end the first process waits so long for the others.
LAST_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True, repr=False)
class ProcessNews:
    """What one of the other processes tells the first.

    :ivar seen: see `Catalog.take_seen_phones`.
    :ivar refused: see `RefusedLogins.take_noted`.
    :ivar left_out: all of the last day, if there are new ones.
    :ivar recorded: see `Captures.take`.
    :ivar is_last: whether the process is about to end.
    :ivar converted: see `Catalog.converted_hashes`.
    """

    figures: ProcessFigures
    connections: ConnectionCounts
    seen: Mapping[str, tuple[str, str, float]] = field(default_factory=dict)
    searches: SearchNews = field(default_factory=SearchNews)
    refused: Mapping[tuple[str, str], tuple[float, int]] = field(default_factory=dict)
    guesses: Guesses = field(default_factory=Guesses)
    left_out: tuple[LeftOut, ...] | None = None
    recorded: Mapping[str, CapturedMessages] = field(default_factory=dict)
    is_last: bool = False
    converted: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, repr=False)
class GroupNews:
    """What the first process tells one of the others.

    :ivar has_changed: whether the first process has published something.
    :ivar guesses: what clients have tried at the other processes.
    :ivar connections: of all other processes together.
    :ivar recordings: what to record; see `Captures.follow`.
    """

    has_changed: bool
    guesses: Guesses
    connections: ConnectionCounts
    recordings: Mapping[str, StoredRecording]


class GroupMember(Service):
    """The service of each process but the first.

    :param figures: the figures of this process.
    :param changed: called when the first process has published something.
    """

    def __init__(
        self,
        *,
        clock: IReactorTime,
        make_link: Callable[[Callable[[GroupNews], None]], ProcessLink],
        catalog: Catalog,
        ldap: LdapFactory,
        search_log: SearchLog,
        figures: Callable[[], ProcessFigures],
        refused_logins: RefusedLogins,
        captures: Captures,
        changed: Callable[[], None],
    ) -> None:
        self._link = make_link(self._receive)
        self._catalog = catalog
        self._ldap = ldap
        self._search_log = search_log
        self._figures = figures
        self._refused_logins = refused_logins
        self._captures = captures
        self._changed = changed
        self._left_out: tuple[LeftOut, ...] = ()
        self._unsent: ProcessNews | None = None
        self._timer = LoopingCall(self._tell)
        self._timer.clock = clock

    def startService(self) -> None:
        super().startService()
        self._link.start()
        self._timer.start(TELL_SECONDS)

    def stopService(self) -> None:
        """Tell the first process all that is new."""
        super().stopService()
        if self._timer.running:
            self._timer.stop()
        self._tell(is_last=True)
        self._link.stop()

    def _tell(self, *, is_last: bool = False) -> None:
        if self._unsent is not None:
            # The first process is starting anew; its limits wait, and so does the rest, which these objects keep.
            if not self._link.send(self._unsent):
                return
            self._unsent = None
        left_out = self._ldap.all_left_out()
        self._search_log.take_updates()  # the first process stores them
        news = ProcessNews(
            self._figures(),
            self._ldap.connection_counts(),
            dict(self._catalog.take_seen_phones()),
            self._search_log.take_news(),
            self._refused_logins.take_noted(),
            self._ldap.take_guesses(),
            left_out if left_out != self._left_out else None,
            self._captures.take(),
            is_last,
            dict(self._catalog.converted_hashes()),
        )
        self._left_out = left_out
        if not self._link.send(news):
            self._unsent = news

    def _receive(self, news: GroupNews) -> None:
        self._ldap.add_guesses(news.guesses)
        self._ldap.count_elsewhere(news.connections)
        self._captures.follow(news.recordings)
        if news.has_changed:
            self._changed()


class GroupLeader(Service):
    """The service of the first process; with no other processes it does nothing.

    :param tells_gateways: whether somebody calls `take_guesses`.
    :param figures: the figures of this process.
    :param takes_over: whether the process has taken the place of one that died.  Its figures begin at zero, and so do
        those of the others: Prometheus takes a sum that falls for one that begins at zero.
    """

    def __init__(
        self,
        *,
        clock: IReactorTime,
        make_links: Sequence[Callable[[Callable[[ProcessNews], None]], ProcessLink]],
        catalog: Catalog,
        ldap: LdapFactory,
        search_log: SearchLog,
        refused_logins: RefusedLogins,
        captures: Captures,
        figures: Callable[[], ProcessFigures],
        tells_gateways: bool = False,
        takes_over: bool = False,
    ) -> None:
        self._tells_gateways = tells_gateways
        self._for_gateways = (Counter[str | int](), Counter[str]())
        self._left_out_elsewhere: tuple[LeftOut, ...] = ()
        self._members = [
            _Member(number, make_link, self._receive, counts_anew=takes_over)
            for number, make_link in enumerate(make_links, start=2)
        ]
        self._catalog = catalog
        self._ldap = ldap
        self._search_log = search_log
        self._refused_logins = refused_logins
        self._captures = captures
        self._figures = figures
        self._clock = clock
        self._has_ended: Deferred[None] | None = None
        self._timer = LoopingCall(self._tell)
        self._timer.clock = clock

    def startService(self) -> None:
        super().startService()
        for member in self._members:
            member.has_changed = True  # this process may have taken the place of one that died
            member.link.start()
        if self._members:
            self._timer.start(TELL_SECONDS)

    def stopService(self) -> Deferred[None]:
        """Wait a moment for the last news of the other processes, which end at the same time."""
        super().stopService()
        if self._timer.running:
            self._timer.stop()
        self._has_ended = Deferred()
        timeout = self._clock.callLater(LAST_SECONDS, self._has_ended.callback, None)
        self._end_if_last()
        return self._has_ended.addCallback(lambda _: self._stop_links(timeout))

    def _stop_links(self, timeout: IDelayedCall) -> None:
        if timeout.active():
            timeout.cancel()
        for member in self._members:
            member.link.stop()

    def _end_if_last(self) -> None:
        if self._has_ended is not None and not self._has_ended.called and all(one.is_over for one in self._members):
            self._has_ended.callback(None)

    def changed(self) -> None:
        """Have the other processes read what has changed."""
        for member in self._members:
            member.has_changed = True

    def left_out(self, tenant: str) -> tuple[LeftOut, ...]:
        """The clients of a tenant that asked any process or gateway for too many unknown numbers, the last first."""
        found = _merge((*self.left_out_here(), *self._left_out_elsewhere))
        return tuple(one for one in found if tenant in one.tenants)

    def left_out_here(self) -> tuple[LeftOut, ...]:
        """The same of all tenants, at all processes of this gateway."""
        return _merge((*self._ldap.all_left_out(), *(one for member in self._members for one in member.left_out)))

    def set_left_out_elsewhere(self, left_out: Iterable[LeftOut]) -> None:
        """Take over what other gateways have found."""
        self._left_out_elsewhere = tuple(left_out)

    def take_guesses(self) -> Guesses:
        """What clients have tried at any process since the last call, for other gateways."""
        self._spread(self._ldap.take_guesses())
        passwords, numbers = self._for_gateways
        self._for_gateways = (Counter(), Counter())
        return Guesses(passwords, numbers)

    def add_guesses(self, guesses: Guesses) -> None:
        """Have all processes count what clients have tried at other gateways."""
        self._ldap.add_guesses(guesses)
        for member in self._members:
            member.add_guesses(guesses)

    def figures(self) -> Mapping[int, ProcessFigures]:
        """The figures of all processes by number since the start of this one, those that have died included."""
        return {1: self._figures()} | {member.number: member.total() for member in self._members}

    def _receive(self, member: _Member, news: ProcessNews) -> None:
        member.take(news)
        self._catalog.add_seen_phones(news.seen)
        self._catalog.add_converted_hashes(news.converted)
        self._search_log.add(news.searches)
        self._refused_logins.add_noted(news.refused)
        self._ldap.add_guesses(news.guesses)
        self._captures.add(member.number, news.recorded)
        self._end_if_last()
        self._spread(news.guesses, member)

    def _spread(self, guesses: Guesses, told_by: _Member | None = None) -> None:
        """Have the other processes and gateways know what clients have tried at one process."""
        for member in self._members:
            if member is not told_by:
                member.add_guesses(guesses)
        if self._tells_gateways:
            passwords, numbers = self._for_gateways
            passwords.update(guesses.passwords)
            numbers.update(guesses.numbers)

    def _tell(self) -> None:
        own = self._ldap.connection_counts()
        self._spread(self._ldap.take_guesses())
        self._ldap.count_elsewhere(_sum([member.connections for member in self._members]))
        recordings = self._captures.recordings()
        for member in self._members:
            elsewhere = _sum([own, *(other.connections for other in self._members if other is not member)])
            member.tell(elsewhere, recordings)


class _Member:
    """What the first process knows of one of the others.

    :param counts_anew: whether figures that it has at its first news do not count.
    """

    def __init__(
        self,
        number: int,
        make_link: Callable[[Callable[[ProcessNews], None]], ProcessLink],
        receive: Callable[[_Member, ProcessNews], None],
        *,
        counts_anew: bool,
    ) -> None:
        self.number = number
        self.link = make_link(lambda news: receive(self, news))
        self.has_changed = self.is_over = False
        self.connections = ConnectionCounts()
        self.left_out: tuple[LeftOut, ...] = ()
        self._passwords: Counter[str | int] = Counter()
        self._numbers: Counter[str] = Counter()
        self._told: tuple[ConnectionCounts, Mapping[str, StoredRecording]] = (ConnectionCounts(), {})
        self._counts_anew = counts_anew
        self._figures = self._uncounted = self._former = ProcessFigures()

    def take(self, news: ProcessNews) -> None:
        if news.figures.pid != self._figures.pid:
            # The process before has died.  Metrics count on, and the new one has to be told all.
            self._former = self.total()
            self._uncounted = news.figures if self._counts_anew else ProcessFigures()
            self._counts_anew = False
            self._told = (ConnectionCounts(), {})
            self.has_changed = True
        self._figures, self.is_over = news.figures, news.is_last
        self.connections = ConnectionCounts() if news.is_last else news.connections
        if news.left_out is not None:
            self.left_out = news.left_out

    def add_guesses(self, guesses: Guesses) -> None:
        self._passwords.update(guesses.passwords)
        self._numbers.update(guesses.numbers)

    def tell(self, elsewhere: ConnectionCounts, recordings: Mapping[str, StoredRecording]) -> None:
        guesses = Guesses(self._passwords, self._numbers)
        if not (self.has_changed or guesses) and self._told == (elsewhere, recordings):
            return
        if self.link.send(GroupNews(self.has_changed, guesses, elsewhere, recordings)):
            self.has_changed, self._told = False, (elsewhere, recordings)
            self._passwords, self._numbers = Counter(), Counter()

    def total(self) -> ProcessFigures:
        """The figures of the process, and of those before in its place, as far as they count."""
        return self._figures.since(self._uncounted).after(self._former)


def _merge(left_out: Iterable[LeftOut]) -> tuple[LeftOut, ...]:
    """Each client once, with the sum of what several processes count; the last one first."""
    found: dict[tuple[str, str], LeftOut] = {}
    for one in left_out:
        key = one.login, "" if one.login else one.address
        other = found.get(key)
        latest = one if other is None or one.last >= other.last else other
        found[key] = latest if other is None else replace(latest, count=one.count + other.count)
    return tuple(sorted(found.values(), key=lambda one: -one.last))


def _sum(counts: Sequence[ConnectionCounts]) -> ConnectionCounts:
    by_network: Counter[str] = Counter()
    for one in counts:
        by_network.update(one.by_network)
    return ConnectionCounts(sum(one.total for one in counts), dict(by_network))
