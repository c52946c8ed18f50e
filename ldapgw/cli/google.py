# SPDX-License-Identifier: MIT
"""Calls Google from a command: starts the reactor, and stops it when the call has ended."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from ldapgw.server.config import Config

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from ldapgw.server.google import GoogleClients

T = TypeVar("T")


def google_clients(config: Config) -> GoogleClients:
    """Return the clients of the configured endpoints of Google or of a sandbox.

    :raises UserError: when ``[google] ca_file`` cannot be used.
    """
    from ldapgw.server.google import GoogleClients

    reactor = get_reactor()
    return GoogleClients(config.google, reactor, reactor)


def get_reactor() -> Any:
    """Import Twisted's reactor and return it.

    The reactor is not imported before, because the import is slow and most commands do not need the reactor.
    """
    from twisted.internet import reactor  # noqa: TID251  an entry point

    return reactor


def run_in_reactor(work: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
    """Run the reactor until a coroutine is done; a process can do this only once.

    :param work: makes the coroutine from the reactor.
    :raises KeyboardInterrupt: after Ctrl-C; exceptions of the coroutine are raised too.
    """
    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure

    reactor = get_reactor()
    outcome: list[T | Failure] = []

    def end(result: T | Failure) -> None:
        # After Ctrl-C, the coroutine fails only because its connection was closed, so its error is ignored.
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
