# SPDX-License-Identifier: MIT
"""Speaking to Google from a command: the reactor runs for as long as that takes, and no longer."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ldapgw.google.endpoints import Endpoints
from ldapgw.google.oauth import OAuth
from ldapgw.server.config import Config

T = TypeVar("T")


def endpoints(config: Config) -> Endpoints:
    """Where Google is, or its stand-in."""
    return Endpoints(**{field: getattr(config.google, field) for field in config.google.__struct_fields__})


def oauth(config: Config, reactor: Any) -> OAuth:
    """:param reactor: provides what the HTTP client needs of one."""
    from ldapgw.google.http import http_client

    return OAuth(http_client(reactor), endpoints(config), reactor)


def get_reactor() -> Any:
    """Twisted's; imported when it is needed, which takes its time."""
    from twisted.internet import reactor  # noqa: TID251  an entry point

    return reactor


def run_in_reactor(work: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
    """Run the reactor until some work is done, once in a process.

    :param work: is given the reactor; what it raises is raised here, `KeyboardInterrupt` after Ctrl-C.
    """
    reactor = get_reactor()
    outcome: list[T | Failure] = []

    def end(result: T | Failure) -> None:
        # After Ctrl-C the connection is closed, and the work fails for that alone.
        if reactor.running:
            outcome.append(result)
            reactor.stop()

    reactor.callWhenRunning(lambda: Deferred.fromCoroutine(work(reactor)).addBoth(end))
    reactor.run()
    if not outcome:
        raise KeyboardInterrupt
    if isinstance(outcome[0], Failure):
        outcome[0].raiseException()
    return outcome[0]
