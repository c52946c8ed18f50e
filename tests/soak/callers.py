# SPDX-License-Identifier: MIT
"""Phones that bind and search without a pause, each in a thread of its own, and what went wrong with them.

Mutable: each `Caller`, and the `Callers`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic

from tests.support import pdu
from tests.support.site.line import Line
from tests.support.site.running import PATIENCE

# Seconds between two searches of a caller, so that a machine of two processors has time for the gateway too.
PAUSE = 0.01


@dataclass(frozen=True)
class Question:
    """A search and what it has to find.

    :ivar code: the search's result code.
    :ivar found: the names that it finds, in order.
    """

    request: bytes
    code: int
    found: tuple[str, ...]


@dataclass(frozen=True)
class Failure:
    """A bind or search that was not answered as it should be.

    :ivar is_first: on a connection that had answered nothing; a phone asks once more on a connection that was older.
    """

    caller: str
    began: float
    ended: float
    is_first: bool
    reason: str


class Caller(threading.Thread):
    """Connects, binds, asks, and ends the connection, again and again.

    :param connect: opens a connection.
    :param searches: on one connection.
    :param may_ask: cleared where all callers have to rest.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[], Line],
        login: tuple[str, str],
        questions: Sequence[Question],
        searches: int,
        may_ask: threading.Event,
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._connect = connect
        self._login = login
        self._questions = questions
        self._searches = searches
        self._may_ask = may_ask
        self._over = threading.Event()
        self.resting = threading.Event()
        self.binds = 0
        self.asked = 0
        self.slowest = 0.0
        self.failures: list[Failure] = []

    def run(self) -> None:
        while not self._over.is_set():
            if not self._may_ask.is_set():
                self.resting.set()
                self._may_ask.wait(PATIENCE)
                continue
            self.resting.clear()
            self._call()

    def end(self) -> None:
        self._over.set()
        self._may_ask.set()
        self.join(PATIENCE)

    def _call(self) -> None:
        """One connection, from its beginning to its end."""
        began, answered = monotonic(), 0
        try:
            with self._connect() as line:
                name, password = self._login
                [bound] = line.ask(pdu.bind(name, password.encode()))
                assert bound.code == 0, bound
                self.binds += 1
                while answered < self._searches and self._may_ask.is_set() and not self._over.is_set():
                    self._ask(line)
                    answered += 1
                    self.slowest = max(self.slowest, monotonic() - began)
                    self._over.wait(PAUSE)
                    began = monotonic()
                line.send(pdu.message(1_000_000, pdu.UNBIND))
        except (OSError, AssertionError) as error:
            reason = f"{type(error).__name__}: {error}"
            self.failures.append(Failure(self.name, began, monotonic(), not answered, reason))
            self._over.wait(PAUSE)

    def _ask(self, line: Line) -> None:
        question = self._questions[self.asked % len(self._questions)]
        *entries, done = line.ask(question.request)
        found = tuple(dict(entry.attributes)["cn"][0].decode() for entry in entries)
        assert (done.code, found) == (question.code, question.found), (done, found)
        self.asked += 1


class Callers:
    """All of them, who start, rest and end together."""

    def __init__(
        self, ways: dict[str, tuple[Callable[[], Line], int]], login: tuple[str, str], questions: Sequence[Question]
    ) -> None:
        self._may_ask = threading.Event()
        self.all = [
            Caller(name, connect, login, questions, searches, self._may_ask)
            for name, (connect, searches) in ways.items()
        ]

    def start(self) -> None:
        self._may_ask.set()
        for caller in self.all:
            caller.start()

    def rest(self) -> None:
        """Until nobody has a connection."""
        self._may_ask.clear()
        for caller in self.all:
            assert caller.resting.wait(PATIENCE), f"{caller.name} does not come to rest"

    def go_on(self) -> None:
        for caller in self.all:
            caller.resting.clear()
        self._may_ask.set()

    def end(self) -> None:
        for caller in self.all:
            caller.end()

    @property
    def asked(self) -> int:
        return sum(caller.asked for caller in self.all)

    @property
    def failures(self) -> list[Failure]:
        return [failure for caller in self.all for failure in caller.failures]
