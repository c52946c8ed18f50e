# SPDX-License-Identifier: MIT
"""Hostile and malformed messages: each ends acceptably, quickly, and without a word in the log.

The corpus says what is acceptable; where it has a strict reading of RFC 4511 4.1.1, that counts.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from twisted.logger import LogLevel, globalLogPublisher

from ldapgw.errors import ResultCode
from tests.ldap import pdu
from tests.ldap.world import LOCAL_NET, Client, LiveClock, make_factory, turn

CORPUS = json.loads((Path(__file__).parents[1] / "data" / "ldap_malformed.json").read_text())

# Where we differ from the corpus on purpose.
ON_PURPOSE = {
    "bind-v2": {"error:success"},  # LDAPv2 is spoken here: old phones send it
}


def _name(constant: str) -> str:
    first, *rest = constant.split("_")
    return first.lower() + "".join("DN" if word == "DN" else word.title() for word in rest)


NAMES = {code: "error:" + _name(code.name) for code in ResultCode}


def spent(do, *arguments) -> float:
    """Seconds of work."""
    begun = time.process_time()
    do(*arguments)
    return time.process_time() - begun


def outcome(client: Client, found: list[pdu.Response]) -> set[str]:
    """What happened, in the corpus's words."""
    tokens = set()
    for one in found:
        if one.name == "1.3.6.1.4.1.1466.20036":
            assert (one.message_id, one.kind) == (0, 0x78)
            tokens.add("notice")
        elif one.code is not None:
            tokens.add(NAMES[ResultCode(one.code)])
    return tokens or {"close" if client.closed else "ignore"}


@pytest.mark.parametrize("case", CORPUS["cases"], ids=[case["id"] for case in CORPUS["cases"]])
def test_a_hostile_message_ends_acceptably(case):
    """Meanwhile others are served, and afterwards nothing is left."""
    clock, logged = LiveClock(), []
    factory = make_factory(clock=clock)
    client, other = Client(factory, LOCAL_NET + "7"), Client(factory)
    globalLogPublisher.addObserver(logged.append)
    octets = bytes.fromhex(case["hex"])
    longest = spent(client.protocol.dataReceived, octets)
    for _ in range(200):
        longest = max(longest, spent(turn, clock))
    clock.rightNow += 1.0  # a wrong password is answered by then
    turn(clock)
    found = client.received()
    assert longest < 0.1
    globalLogPublisher.removeObserver(logged.append)
    assert [one.kind for one in other.ask(pdu.search("", 0))] == [0x64, 0x65]

    seen = outcome(client, found)
    assert seen <= ON_PURPOSE.get(case["id"], set(case.get("strict") or case["acceptable"]))
    assert [event for event in logged if event["log_level"] > LogLevel.info] == []
    if "notice" in seen:
        assert client.closed
    if seen == {"ignore"}:
        incomplete = client.protocol._framer.partial
        clock.pump([1] * 60)
        assert client.closed == incomplete
