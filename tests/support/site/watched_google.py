# SPDX-License-Identifier: MIT
"""A sandbox Google that takes its time, and that watches who calls: ``python -m tests.support.site.watched_google``.

Each gateway has a port of its own for the People API, which tells who has called.  ``GET /watched`` returns the calls
and the accounts of which two calls ran at once.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import asdict, dataclass, field
from random import Random
from typing import Any
from urllib.parse import parse_qs

from twisted.internet import reactor as imported  # noqa: TID251  an entry point
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from ldapgw.google.sandbox.app import sandbox
from ldapgw.google.sandbox.fields import load_people
from ldapgw.google.sandbox.people import account_of
from ldapgw.google.sandbox.reply import ApiRequest
from ldapgw.google.sandbox.tenant import demo_world
from ldapgw.google.sandbox.world import World

SHORTEST, LONGEST = 0.05, 0.4  # seconds that a call takes

reactor: Any = imported


@dataclass
class Call:
    """A call of the People API.

    :ivar gateway: counted from 1.
    :ivar begun: when it came, in seconds since the epoch.
    :ivar ended: when it was answered or the gateway hung up; None: it runs.
    """

    number: int
    gateway: int
    account: str
    path: str
    begun: float
    ended: float | None = None
    is_answered: bool = False


@dataclass
class Watch:
    """The knowledge of all calls.

    :ivar at_once: the numbers of two calls of one account that ran at once.
    """

    calls: list[Call] = field(default_factory=list)
    running: dict[int, Call] = field(default_factory=dict)
    at_once: list[tuple[int, int]] = field(default_factory=list)

    def begin(self, gateway: int, account: str, path: str) -> Call:
        call = Call(len(self.calls), gateway, account, path, time.time())  # noqa: TID251  an entry point
        self.calls.append(call)
        self.at_once += [(other.number, call.number) for other in self.running.values() if other.account == account]
        self.running[call.number] = call
        return call

    def end(self, call: Call, *, is_answered: bool) -> None:
        if self.running.pop(call.number, None) is not None:
            call.ended, call.is_answered = time.time(), is_answered  # noqa: TID251  likewise


class WatchedGoogle(Resource):
    """The sandbox behind a watch."""

    isLeaf = True  # noqa: N815  Twisted's name

    def __init__(self, world: World, gateways: dict[int, int], random: Random) -> None:
        super().__init__()
        self._world = world
        self._sandbox = sandbox(world)
        self._gateways = gateways
        self._random = random
        self._watch = Watch()

    def render(self, request: Request) -> Any:
        path = request.path.decode()
        if path == "/watched":
            return self._watched(request)
        if not path.startswith("/v1/"):
            return self._sandbox.render(request)
        bearer = ApiRequest(path, {}, {}, request.getHeader("authorization") or "")
        call = self._watch.begin(self._gateways[request.getHost().port], account_of(self._world, bearer), path)
        waiting = reactor.callLater(self._random.uniform(SHORTEST, LONGEST), self._answer, request, call)

        def hung_up(_failure: object) -> None:
            if waiting.active():
                waiting.cancel()
            self._watch.end(call, is_answered=False)

        request.notifyFinish().addErrback(hung_up)
        return NOT_DONE_YET

    def _answer(self, request: Request, call: Call) -> None:
        self._watch.end(call, is_answered=True)
        answer = self._sandbox.render(request)
        if answer is not NOT_DONE_YET:
            request.write(answer)
            request.finish()

    def _watched(self, request: Request) -> bytes:
        [since] = parse_qs(request.uri.decode().partition("?")[2]).get("since", ["0"])
        calls = [asdict(call) for call in self._watch.calls[int(since) :]]
        return json.dumps({"calls": calls, "at_once": self._watch.at_once}).encode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--gateway", type=int, action="append", required=True)
    options = parser.parse_args()
    world = demo_world(now=reactor.seconds, random=os.urandom, people=load_people(options.people))
    world.issuer = f"http://127.0.0.1:{options.port}"
    google = WatchedGoogle(world, {port: number for number, port in enumerate(options.gateway, 1)}, Random(7))
    for port in (options.port, *options.gateway):
        reactor.listenTCP(port, Site(google), interface="127.0.0.1", backlog=200)
    reactor.run()


if __name__ == "__main__":
    main()
