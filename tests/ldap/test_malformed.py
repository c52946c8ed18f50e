# SPDX-License-Identifier: MIT
"""Hostile and malformed messages: each ends acceptably, quickly, and without a word in the log.

Where the corpus has a strict reading of RFC 4511 4.1.1 beside the merely acceptable one, the strict one counts.
"""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from ldapgw.errors import ResultCode
from tests.support import pdu
from tests.support.phonebook.talk import NOTICE
from tests.support.phonebook.wire import LOCAL_NET, Client, LiveClock, make_factory, turn

# Seconds of the server's work until somebody else is answered.
PATIENCE = 0.1

# We differ from the corpus here on purpose.
_ON_PURPOSE = {
    "bind-v2": {"error:success"},  # LDAPv2 is spoken here: old phones send it
}


@dataclass(frozen=True)
class Case:
    """A hostile message.

    :ivar acceptable: the tokens that its ending may have.
    """

    name: str
    octets: bytes
    acceptable: frozenset[str]


def _name(constant: str) -> str:
    first, *rest = constant.split("_")
    return first.lower() + "".join("DN" if word == "DN" else word.title() for word in rest)


_TOKENS = {code: "error:" + _name(code.name) for code in ResultCode}


def tokens(found: Iterable[pdu.Response], *, closed: bool) -> set[str]:
    """Return the replies in the corpus's words."""
    seen = set()
    for one in found:
        if one.name == NOTICE:
            assert (one.message_id, one.kind) == (0, 0x78)
            seen.add("notice")
        elif one.code is not None:
            seen.add(_TOKENS[ResultCode(one.code)])
    return seen or {"close" if closed else "ignore"}


CASES = [
    Case(
        one["id"],
        bytes.fromhex(one["hex"]),
        frozenset(_ON_PURPOSE.get(one["id"]) or one.get("strict") or one["acceptable"]),
    )
    for one in json.loads((Path(__file__).parents[1] / "data" / "ldap_malformed.json").read_text())["cases"]
]


def spent(do, *arguments) -> float:
    """Seconds of work, without the garbage collector, whose time depends on the tests before."""
    gc.disable()
    try:
        begun = time.process_time()
        do(*arguments)
        return time.process_time() - begun
    finally:
        gc.enable()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_hostile_message_ends_acceptably(case, trouble):
    """Meanwhile others are served, and afterwards nothing is left."""
    clock = LiveClock()
    factory = make_factory(clock=clock)
    client, other = Client(factory, LOCAL_NET + "7"), Client(factory)
    longest = spent(client.deliver, case.octets)
    for _ in range(200):
        longest = max(longest, spent(turn, clock))
    clock.rightNow += 1.0  # a wrong password is answered by then
    turn(clock)
    found = client.received()
    assert longest < PATIENCE
    other.deliver(pdu.message(1, pdu.search("", 0)))
    for _ in range(5):  # the first search of a process may take more than a slice
        turn(clock)
    assert [one.kind for one in other.received()] == [0x64, 0x65]

    seen = tokens(found, closed=client.closed)
    assert seen <= case.acceptable
    assert client.closed or "notice" not in seen
    assert trouble == []
    if seen == {"ignore"}:
        incomplete = client.protocol._framer.partial
        clock.pump([1] * 60)
        assert client.closed == incomplete
