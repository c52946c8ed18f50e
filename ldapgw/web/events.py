# SPDX-License-Identifier: MIT
"""Server-sent events (HTML, 9.2): a page that is open learns that there is something new to look at.

An event says nothing but that.  The page then fetches itself, as its person, and shows what has changed; where a
browser or a proxy lets no events through, it fetches itself now and then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall

from ldapgw.web import error_pages
from ldapgw.web.dependencies import WebTenant
from ldapgw.web.error_pages import Ended
from ldapgw.web.http import Answer, Call, Write
from ldapgw.web.layout import Frame, Route, Who, get
from ldapgw.web.live import account_topic, person_topic
from ldapgw.web.sessions import Visitor

# Proxies close what is silent for a minute.
KEEP_ALIVE_SECONDS = 25.0
# A stream ends after a while, and the browser comes back: who it is, is looked at anew.
LONGEST_SECONDS = 600.0
# Between two events.
PAUSE_SECONDS = 1.0
# A window each; and all of the gateway, each of which costs a file descriptor.
MOST_OF_A_SESSION = 10
MOST = 500


class Events:
    """The streams.

    Mutable: how many there are, by session.
    """

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._open: Counter[str] = Counter()

    def routes(self) -> tuple[Route, ...]:
        """The route of the streams."""
        return (get("/<tenant>/events", self.events, Who.SIGNED_IN),)

    async def events(self, call: Call, tenant: WebTenant, visitor: Visitor) -> Answer:
        """``/{tenant}/events``: a line whenever something on one's own pages has changed."""
        if self._open[visitor.token] >= MOST_OF_A_SESSION or self._open.total() >= MOST:
            raise Ended(error_pages.TOO_MANY, tenant, headers=(("Retry-After", "30"),))
        topics = {person_topic(tenant.name, visitor.person.sub)}
        topics |= {account_topic(account.id) for account in visitor.accounts}
        for more in self._frame.topics:
            topics |= set(await more(call, tenant, visitor))
        # nginx would keep events back until they fill a buffer.
        headers = (("X-Accel-Buffering", "no"),)
        return Answer(200, b"", "text/event-stream", headers, partial(self._stream, visitor, tenant, topics))

    def _stream(self, visitor: Visitor, tenant: WebTenant, topics: set[str], write: Write) -> Deferred[None]:
        """Write events until the browser goes away, or the session or its time ends."""
        stream = _Stream(self._frame.gate.clock, write, partial(self._is_over, visitor, tenant))
        end_listening = self._frame.gate.live.listen(topics, stream.wake)
        self._open[visitor.token] += 1

        def end(_result: object) -> None:
            end_listening()
            self._open -= Counter({visitor.token: 1})

        return stream.run().addBoth(end)

    async def _is_over(self, visitor: Visitor, tenant: WebTenant) -> bool:
        """Whether the session has ended meanwhile."""
        return await self._frame.visitor(visitor.session, tenant, seen=False) is None


class _Stream:
    """One stream.

    Mutable: when it last said something, and when it will next.

    :param is_over: whether it has to end.
    """

    def __init__(self, clock: IReactorTime, write: Write, is_over: Callable[[], Awaitable[bool]]) -> None:
        self._clock = clock
        self._write = write
        self._is_over = is_over
        self._soon: IDelayedCall | None = None
        self._last = 0.0
        self._until = clock.seconds() + LONGEST_SECONDS
        self._timer = LoopingCall(lambda: Deferred.fromCoroutine(self._look()))
        self._timer.clock = clock

    def run(self) -> Deferred[None]:
        """Write until it is over; to be cancelled when the browser goes away."""
        self._write(b"retry: 2000\n\n")
        ended: Deferred[Any] = Deferred(lambda _: self._timer.stop())
        self._timer.start(KEEP_ALIVE_SECONDS, now=False).addBoth(ended.callback)
        return ended.addBoth(self._end)

    def wake(self) -> None:
        """Say that something has changed, soon; once for all that changes until then."""
        if self._soon is None and self._timer.running:
            wait = max(self._last + PAUSE_SECONDS - self._clock.seconds(), 0.0)
            self._soon = self._clock.callLater(wait, self._say)

    def _say(self) -> None:
        self._soon = None
        self._last = self._clock.seconds()
        self._write(b"data: changed\n\n")

    async def _look(self) -> None:
        """End it, or keep it alive."""
        over = self._clock.seconds() >= self._until or await self._is_over()
        if over and self._timer.running:
            self._timer.stop()
        elif not over:
            self._write(b":\n\n")

    def _end(self, _result: object) -> None:
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
