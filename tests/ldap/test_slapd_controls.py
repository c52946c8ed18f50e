# SPDX-License-Identifier: MIT
"""Sorted answers and views of a list, beside those of slapd's overlay sssvlv: the same entries in the same order."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from ldapgw.ber import ENUMERATED, SEQUENCE, BerReader, boolean, integer, octets, tlv
from tests.support import pdu, slapd
from tests.support.filter_text import encode, read_filter
from tests.support.phonebook.awkward import BASE, ldif
from tests.support.slapd import DIT, Gateway

pytestmark = pytest.mark.skipif(
    slapd.PROGRAM is None and "CI" not in os.environ, reason="needs slapd: sudo apt-get install slapd"
)

SORT, SORTED = "1.2.840.113556.1.4.473", "1.2.840.113556.1.4.474"
VIEW, VIEWED = "2.16.840.1.113730.3.4.9", "2.16.840.1.113730.3.4.10"
RULE = "caseIgnoreOrderingMatch"
SEARCH = pdu.search(BASE, 2, encode(read_filter("(objectClass=inetOrgPerson)")), ("uid",))

Key = tuple[str, str, bool]


@pytest.fixture(name="server", scope="module")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[slapd.Slapd]:
    with slapd.running(tmp_path_factory.mktemp("slapd"), BASE, ldif(DIT)) as server:
        yield server


def sort(*keys: Key) -> bytes:
    """RFC 2891 1.1; each key an attribute, a rule or "", and whether it is turned round."""
    parts = (
        octets(name.encode()) + (octets(rule.encode(), 0x80) if rule else b"") + (boolean(True, 0x81) if back else b"")
        for name, rule, back in keys
    )
    return pdu.control(SORT, critical=True, value=tlv(SEQUENCE, b"".join(tlv(SEQUENCE, part) for part in parts)))


def view(before: int, after: int, offset: int, count: int) -> bytes:
    """By position; draft-ietf-ldapext-ldapv3-vlv-09 6.1."""
    target = tlv(0xA0, integer(offset) + integer(count))
    return pdu.control(VIEW, critical=True, value=tlv(SEQUENCE, integer(before) + integer(after) + target))


def both(server: slapd.Slapd, *controls: bytes) -> tuple[list[pdu.Response], list[pdu.Response]]:
    """Our answer and theirs; on a connection of its own, because slapd keeps one sorted list for each."""
    with server.connection() as connection:
        return Gateway().ask(SEARCH, pdu.controls(*controls)), connection.ask(SEARCH, pdu.controls(*controls))


def uids(answers: list[pdu.Response]) -> list[bytes]:
    return [dict(answer.attributes)["uid"][0] for answer in answers[:-1]]


def place(answers: list[pdu.Response]) -> tuple[int, int, int]:
    """Position, count and result of a view; the context is each server's own."""
    content = BerReader.over(dict(answers[-1].controls)[VIEWED]).enter(SEQUENCE, "response")
    return content.integer("position"), content.integer("count"), content.integer("result", ENUMERATED)


@pytest.mark.parametrize(
    "keys",
    [
        [("uid", RULE, False)],
        [("uid", RULE, True)],
        [("createTimestamp", "", False), ("uid", RULE, False)],
        [("createTimestamp", "", True), ("uid", RULE, False)],
        [("c", RULE, False), ("uid", RULE, True)],
        [("c", RULE, True), ("uid", RULE, False)],
        [("title", RULE, False), ("c", RULE, True), ("uid", RULE, False)],
    ],
    ids=["uid", "uid back", "time", "time back", "c", "c back", "three"],
)
def test_sorted_as_slapd_sorts(server: slapd.Slapd, keys: list[Key]) -> None:
    """Values that are not there come last, turned round first; later keys settle what earlier ones leave open."""
    found, expected = both(server, sort(*keys))
    assert (found[-1].code, dict(found[-1].controls)) == (expected[-1].code, dict(expected[-1].controls))
    assert uids(found) == uids(expected)
    assert len(found) > 80


@pytest.mark.parametrize(
    "asked",
    [(2, 3, 10, 0), (0, 0, 1, 0), (5, 5, 1, 0), (2, 3, 50, 100), (2, 3, 500, 500), (0, 100, 1, 0), (100, 0, 86, 0)],
    ids=str,
)
def test_viewed_as_slapd_views(server: slapd.Slapd, asked: tuple[int, int, int, int]) -> None:
    """The window, where it stands, and how long the list is."""
    found, expected = both(server, sort(("uid", RULE, False)), view(*asked))
    assert (found[-1].code, uids(found), place(found)) == (expected[-1].code, uids(expected), place(expected))


def test_a_view_needs_an_order(server: slapd.Slapd) -> None:
    """The operation fails at both, as the draft says for a control that is critical."""
    found, expected = both(server, view(1, 1, 1, 0))
    assert (found[-1].code, expected[-1].code) == (76, 76)
