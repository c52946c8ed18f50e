# SPDX-License-Identifier: MIT
"""A phone that goes on searching, and how long that takes it, until something has happened."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench.asking import NUMBERS, SUBTREE, equality, one_of, prefix, reverse
from bench.directory.servers import BASE
from bench.load import percentile
from bench.people import Person
from bench.phone import Phone, Target
from tests.support import pdu

# Seconds between two searches: a person types no faster, and the phone is not to compete with the gateway.
_PAUSE = 0.004
_REQUESTS = 300
# One search in so many asks whether it has happened.
_ASKS_EVERY = 10


@dataclass(frozen=True)
class Sign:
    """By what is seen that a sync is in effect: two people, and what is to be found of both.

    :ivar given: their given name; empty: any.
    """

    first: Person
    last: Person
    given: str = ""

    def request(self) -> bytes:
        """The search."""
        numbers = [one.phones[0][1] for one in (self.first, self.last)]
        either = one_of(*(equality(name, number) for name in NUMBERS for number in numbers))
        return pdu.message(2, pdu.search(BASE, SUBTREE, either, ("givenName", "uid")))

    def seen(self, answers: Sequence[pdu.Response]) -> int:
        """How many of the two."""
        uids = {self.first.uid.encode(), self.last.uid.encode()}
        found = [dict(answer.attributes) for answer in answers if answer.code is None]
        return sum(
            one["uid"][0] in uids and self.given in ("", one.get("givenName", (b"",))[0].decode()) for one in found
        )


@dataclass
class Watch:
    """What the phone has seen.

    :ivar begun: and `ended`: of the monotonic clock, seconds.
    :ivar waits: milliseconds of each search.
    :ivar halves: how often one of a sign's two people was seen and the other was not.
    """

    begun: float
    ended: float = 0.0
    waits: list[float] = field(default_factory=list)
    halves: int = 0

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.begun

    def milliseconds(self, part: float) -> float:
        """Which so many per cent of the searches did not outlast."""
        return percentile(sorted(self.waits), part)


class Watcher:
    """A phone, and the words that it searches for.

    :param people: whom it looks for, by name and by number.
    """

    def __init__(self, target: Target, people: Sequence[Person]) -> None:
        self._target = target
        asked = [*prefix(BASE, people).requests, *reverse(BASE, people).requests]
        self._requests = random.Random(1).sample(asked, _REQUESTS)

    def quiet(self, seconds: float) -> Watch:
        """While nothing happens."""
        until = time.monotonic() + seconds
        return self._watch(None, lambda: time.monotonic() >= until)

    def until(self, sign: Sign, start: Callable[[], object], patience: float) -> Watch:
        """From when something is started until its sign is seen.

        :raises TimeoutError: when it is not, within so many seconds.
        """
        late = time.monotonic() + patience
        start()
        watch = self._watch(sign, lambda: time.monotonic() >= late)
        if watch.ended >= late:
            raise TimeoutError(f"not in effect after {patience:g} s")
        return watch

    def until_done(self, work: Callable[[], object], after: float) -> Watch:
        """While another thread works, and some seconds longer."""
        thread = threading.Thread(target=work)
        thread.start()
        ends: list[float] = []

        def is_over() -> bool:
            if not thread.is_alive() and not ends:
                ends.append(time.monotonic() + after)
            return bool(ends) and time.monotonic() >= ends[0]

        return self._watch(None, is_over)

    def _watch(self, sign: Sign | None, enough: Callable[[], bool]) -> Watch:
        watch = Watch(time.monotonic())
        with Phone(self._target) as phone:
            phone.bind()
            at = 0
            while not enough():
                at += 1
                asks = sign is not None and at % _ASKS_EVERY == 0
                begun = time.monotonic()
                answers = phone.ask(sign.request() if sign and asks else self._requests[at % _REQUESTS])
                watch.waits.append((time.monotonic() - begun) * 1000)
                if sign and asks:
                    seen = sign.seen(answers)
                    watch.halves += seen == 1
                    if seen == 2:
                        break
                time.sleep(_PAUSE)
        watch.ended = time.monotonic()
        return watch
