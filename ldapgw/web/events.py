# SPDX-License-Identifier: MIT
"""Server-sent events (HTML Standard 9.2) that tell an open page that its content has changed.

An event carries no content.  The page then fetches itself with the person's session and shows the changes.  If a
browser or a proxy lets no events through, the page fetches itself every few seconds.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ldapgw.store.periodic import PeriodicService
from ldapgw.web import error_pages
from ldapgw.web.dependencies import person_topic
from ldapgw.web.error_pages import PageError
from ldapgw.web.http import HttpResponse, WriteBody
from ldapgw.web.layout import Layout, RequiredRole, Route, Visit, get

log = Logger()

# Proxies close a connection that is silent for a minute.
KEEPALIVE_SECONDS = 25.0
# A stream ends after this time; the browser reconnects, and the session is checked anew.
MAX_STREAM_SECONDS = 600.0
MIN_EVENT_INTERVAL_SECONDS = 1.0
# Each browser window has a stream, and each stream costs the gateway a file descriptor.  A further stream of a person
# ends the person's oldest stream, whose window connects again after a minute.
MAX_STREAMS_PER_PERSON = 10
MAX_STREAMS = 500
_GIVE_WAY = b"retry: 60000\n\n"


class EventStreams:
    """The event streams of all open pages.

    Mutable: the open streams of each person, the oldest first.

    :param topic_providers: return further topics (`ChangeNotifier`) that the visitor's open pages subscribe to.
    """

    def __init__(self, layout: Layout, topic_providers: Sequence[Callable[[Visit], Awaitable[Iterable[str]]]]) -> None:
        self._layout = layout
        self._topic_providers = topic_providers
        self._open: dict[tuple[str, str], list[_Stream]] = {}

    def routes(self) -> tuple[Route, ...]:
        return (get("/<tenant>/events", self.events, RequiredRole.SIGNED_IN),)

    async def events(self, visit: Visit) -> HttpResponse:
        """``/{tenant}/events``: send an event whenever something on the visitor's pages has changed."""
        if sum(map(len, self._open.values())) >= MAX_STREAMS:
            raise PageError(error_pages.PAGES.too_many, visit.tenant, headers=(("Retry-After", "30"),))
        topics = {person_topic(visit.tenant.name, visit.visitor.person.sub)}
        for topic_provider in self._topic_providers:
            topics |= set(await topic_provider(visit))
        # Without this header, nginx would hold events back until they fill a buffer.
        headers = (("X-Accel-Buffering", "no"),)
        return HttpResponse(200, b"", "text/event-stream", headers, partial(self._stream, visit, topics))

    def _stream(self, visit: Visit, topics: set[str], write: WriteBody) -> Deferred[None]:
        """Write events until the browser disconnects, the session ends or `MAX_STREAM_SECONDS` have passed."""
        clock, seconds = self._layout.dependencies.clock, self._layout.dependencies.seconds
        stream = _Stream(clock, seconds, write, partial(self._is_over, visit))
        unsubscribe = self._layout.dependencies.notifier.subscribe(topics, stream.notify)
        # An administrator who signed in by a link has no sub, so the token identifies this administrator.
        person = visit.tenant.name, visit.visitor.person.sub or visit.visitor.token
        if len(self._open.get(person, ())) >= MAX_STREAMS_PER_PERSON:
            self._open[person][0].give_way()
        self._open.setdefault(person, []).append(stream)

        def end(_result: object) -> None:
            unsubscribe()
            self._open[person].remove(stream)
            if not self._open[person]:
                del self._open[person]

        return stream.run().addBoth(end)

    async def _is_over(self, visit: Visit) -> bool:
        """Return whether the session has ended."""
        return await self._layout.session_visitor(visit.visitor.session, visit.tenant, seen=False) is None


class _Stream:
    """An event stream.

    Mutable: the time of the last event, and the scheduled next event.
    """

    def __init__(
        self,
        clock: IReactorTime,
        seconds: Callable[[], float],
        write: WriteBody,
        is_over: Callable[[], Awaitable[bool]],
    ) -> None:
        self._clock = clock
        self._seconds = seconds
        self._write = write
        self._is_over = is_over
        self._scheduled_event: IDelayedCall | None = None
        self._last = 0.0
        self._until = seconds() + MAX_STREAM_SECONDS
        self._ended: Deferred[None] = Deferred()
        self._checks = PeriodicService(clock, KEEPALIVE_SECONDS, self._check, _report, now=False, waits=True)

    def run(self) -> Deferred[None]:
        """Write events until the stream ends; cancel the Deferred when the browser disconnects."""
        self._write(b"retry: 2000\n\n")
        self._checks.startService()
        return self._ended.addBoth(self._end)

    def give_way(self) -> None:
        """End the stream, and have the browser wait before it asks for another stream."""
        self._write(_GIVE_WAY)
        self._ended.callback(None)

    def notify(self) -> None:
        """Schedule an event, unless an event is scheduled already."""
        if self._scheduled_event is None and self._checks.running:
            wait = max(self._last + MIN_EVENT_INTERVAL_SECONDS - self._seconds(), 0.0)
            self._scheduled_event = self._clock.callLater(wait, self._send_event)

    def _send_event(self) -> None:
        self._scheduled_event = None
        self._last = self._seconds()
        self._write(b"data: changed\n\n")

    async def _check(self) -> None:
        """End the stream if its time or the session has ended, or the session cannot be read; else send a comment."""
        over = True
        try:
            over = self._seconds() >= self._until or await self._is_over()
        finally:
            if over and self._checks.running:
                self._ended.callback(None)
        # The stream may have ended while the session was read, and Twisted then refuses to write.
        if not over and self._checks.running:
            self._write(b":\n\n")

    def _end(self, _result: object) -> None:
        self._checks.stopService()
        if self._scheduled_event is not None:
            self._scheduled_event.cancel()
            self._scheduled_event = None


def _report(failure: Failure) -> None:
    log.failure("cannot check whether an event stream has ended", failure, event="event_stream_failed")
