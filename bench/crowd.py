# SPDX-License-Identifier: MIT
"""What many connections of one login ask, each as soon as it has its answer, and what another login notices of it.

The load is the engine of `bench.load`, on a thread of the lowest priority: what is measured is how the server
shares its time, and not how the machine does.
"""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from bench.asking import MOST_ENTRIES, NUMBERS, SUBTREE, Asked, contained, equality, initial, one_of
from bench.load import Load
from bench.phone import Target, measure_once
from bench.process import Server
from ldapgw.ber import ENUMERATED, SEQUENCE, integer, octets, tlv
from ldapgw.directory.filter import Extensible, Or
from tests.support import pdu
from tests.support.filter_text import encode

# Requests that differ, of each kind.
_REQUESTS = 200
_SORT, _LIST_VIEW = "1.2.840.113556.1.4.473", "2.16.840.1.113730.3.4.9"
_PAGES, _SYNC = "1.2.840.113556.1.4.319", "1.3.6.1.4.1.4203.1.9.1.1"


@dataclass(frozen=True)
class Kind:
    """What a crowd asks.

    :ivar requests: by the base; each has a messageID of one octet.
    :ivar fresh: a connection and a bind for each search.
    :ivar is_replica: the login is a replica's.
    """

    requests: Callable[[str], Iterator[bytes]]
    fresh: bool = False
    is_replica: bool = False


@dataclass(frozen=True)
class Noticed:
    """What the other login noticed: the times of the slowest hundredth of its searches, in milliseconds, by round.

    :ivar alone: while nobody else asked.
    :ivar beside: while the crowd did.
    """

    alone: tuple[float, ...]
    beside: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """How many times as long searches took beside the crowd: the median of the rounds."""
        return statistics.median(beside / alone for alone, beside in zip(self.alone, self.beside, strict=True))


def beside_crowd(
    engine: Load, name: str, server: Server, other: Target, count: int, seconds: float, rounds: int
) -> Noticed:
    """Measure another login alone and beside a crowd, in turn.

    :param server: as the crowd signs in there.
    :param seconds: for each time; a crowd has as long before it is measured.
    :param rounds: how often each is measured.
    """
    alone, beside = [], []
    for _ in range(rounds):
        alone.append(measure_once(other, seconds).p99)
        crowd = threading.Thread(target=_ask, args=(engine, name, server, count, 3 * seconds), daemon=True)
        crowd.start()
        time.sleep(seconds)
        beside.append(measure_once(other, seconds).p99)
        crowd.join()
    return Noticed(tuple(alone), tuple(beside))


def _ask(engine: Load, name: str, server: Server, count: int, seconds: float) -> None:
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
    kind = KINDS[name]
    engine.round(server, Asked(tuple(kind.requests(server.target.base)), fresh=kind.fresh), seconds, count)


def _search(
    base: str, filter_: bytes, *controls: bytes, attributes: tuple[str, ...] = ("cn",), size: int = MOST_ENTRIES
) -> bytes:
    request = pdu.search(base, SUBTREE, filter_, attributes, size=size)
    return pdu.message(1, request, pdu.controls(*controls) if controls else b"")


def _names(base: str) -> Iterator[bytes]:
    for number in range(_REQUESTS):
        terms = (initial(name, f"{number:03}") for name in ("cn", "sn"))
        yield _search(base, one_of(*terms, initial("telephoneNumber", f"+49301{number:03}")))


def _callers(base: str) -> Iterator[bytes]:
    for number in range(_REQUESTS):
        yield _search(base, one_of(*(equality(name, f"+49301{number:06}") for name in NUMBERS)))


def _parts(base: str) -> Iterator[bytes]:
    for number in range(_REQUESTS):
        yield _search(base, contained("cn", f"{number:03}"))


def _in_the_dn(base: str) -> Iterator[bytes]:
    for number in range(_REQUESTS):
        terms = (Extensible(None, "o", f"x{number}y{at}".encode(), dn_attributes=True) for at in range(180))
        yield _search(base, encode(Or(tuple(terms))))


def _words(base: str) -> Iterator[bytes]:
    for number in range(_REQUESTS):
        yield _search(base, one_of(*(contained("cn", f"nobody{number}x{at}") for at in range(140))))


def _numbers(base: str) -> Iterator[bytes]:
    for number in range(_REQUESTS):
        yield _search(base, one_of(*(equality("telephoneNumber", f"0301{number:03}{at:04}") for at in range(45))))


def _everybody(base: str) -> Iterator[bytes]:
    yield _search(base, pdu.PRESENT, size=0)


def _everybody_otherwise(base: str) -> Iterator[bytes]:
    for number in range(_REQUESTS):  # so that nothing is encoded already
        yield _search(base, pdu.PRESENT, attributes=(f"x{number}", "cn", "sn", "telephoneNumber"), size=0)


def _sorted(base: str) -> Iterator[bytes]:
    yield _search(base, pdu.PRESENT, _sort("sn", "cn", "telephoneNumber"), size=0)


def _list_views(base: str) -> Iterator[bytes]:
    for number in range(_REQUESTS):
        window = integer(0) + integer(10) + tlv(0xA0, integer(1 + 40 * number) + integer(10_000))
        view = pdu.control(_LIST_VIEW, value=tlv(SEQUENCE, window))
        yield _search(base, pdu.PRESENT, _sort("sn"), view, size=0)


def _pages(base: str) -> Iterator[bytes]:
    page = pdu.control(_PAGES, value=tlv(SEQUENCE, integer(1000) + octets(b"")))
    yield _search(base, pdu.PRESENT, page, size=0)


def _copies(base: str) -> Iterator[bytes]:
    refresh = pdu.control(_SYNC, critical=True, value=tlv(SEQUENCE, integer(1, ENUMERATED)))
    yield _search(base, pdu.PRESENT, refresh, attributes=("*", "+"), size=0)


def _sort(*names: str) -> bytes:
    return pdu.control(_SORT, value=tlv(SEQUENCE, b"".join(tlv(SEQUENCE, octets(name.encode())) for name in names)))


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "names": Kind(_names),
        "callers": Kind(_callers),
        "parts of names": Kind(_parts),
        ":dn: terms": Kind(_in_the_dn),
        "140 words": Kind(_words),
        "45 numbers": Kind(_numbers),
        "everybody": Kind(_everybody),
        "other attributes": Kind(_everybody_otherwise),
        "a sorted list": Kind(_sorted),
        "list views": Kind(_list_views),
        "pages": Kind(_pages),
        "whole copies": Kind(_copies, is_replica=True),
        "new connections": Kind(_names, fresh=True),
    }
)
