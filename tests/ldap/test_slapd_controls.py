# SPDX-License-Identifier: MIT
"""Sorted answers and views of a list, beside those of slapd's overlay sssvlv: the same entries in the same order."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from ldapgw.ber import ENUMERATED, SEQUENCE, BerReader
from tests.support import asks, pdu, slapd
from tests.support.filter_text import encode, read_filter
from tests.support.pdu import uids
from tests.support.phonebook.awkward import BASE, ldif
from tests.support.slapd import DIT, Gateway

pytestmark = pytest.mark.skipif(
    slapd.PROGRAM is None and "CI" not in os.environ, reason="needs slapd: sudo apt-get install slapd"
)

SEARCH = pdu.search(BASE, 2, encode(read_filter("(objectClass=inetOrgPerson)")), ("uid",))


@pytest.fixture(name="server", scope="module")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[slapd.Slapd]:
    with slapd.running(tmp_path_factory.mktemp("slapd"), BASE, ldif(DIT)) as server:
        yield server


def both(server: slapd.Slapd, *controls: bytes) -> tuple[list[pdu.Response], list[pdu.Response]]:
    """Our answer and theirs; on a connection of its own, because slapd keeps one sorted list for each."""
    with server.connection() as connection:
        return Gateway().ask(SEARCH, pdu.controls(*controls)), connection.ask(SEARCH, pdu.controls(*controls))


RULE = ":caseIgnoreOrderingMatch"


@pytest.mark.parametrize(
    "keys",
    [
        [f"uid{RULE}"],
        [f"-uid{RULE}"],
        ["createTimestamp", f"uid{RULE}"],
        ["-createTimestamp", f"uid{RULE}"],
        [f"c{RULE}", f"-uid{RULE}"],
        [f"-c{RULE}", f"uid{RULE}"],
        [f"title{RULE}", f"-c{RULE}", f"uid{RULE}"],
    ],
    ids=" ".join,
)
def test_sorted_as_slapd_sorts(server: slapd.Slapd, keys: list[str]) -> None:
    """Values that are not there come last, turned round first; later keys settle what earlier ones leave open."""
    found, expected = both(server, asks.sort(*keys, critical=True))
    assert (found[-1].code, dict(found[-1].controls)) == (expected[-1].code, dict(expected[-1].controls))
    assert uids(found[:-1]) == uids(expected[:-1])
    assert len(found) > 80


def place(done: pdu.Response) -> tuple[int, int, int]:
    """Return position, count and result of a view, without the context, which is each server's own."""
    content = BerReader.over(dict(done.controls)[asks.VIEWED]).enter(SEQUENCE, "response")
    return content.integer("position"), content.integer("count"), content.integer("result", ENUMERATED)


@pytest.mark.parametrize(
    "asked",
    [(2, 3, 10, 0), (0, 0, 1, 0), (5, 5, 1, 0), (2, 3, 50, 100), (2, 3, 500, 500), (0, 100, 1, 0), (100, 0, 86, 0)],
    ids=str,
)
def test_viewed_as_slapd_views(server: slapd.Slapd, asked: tuple[int, int, int, int]) -> None:
    """The window, where it stands, and how long the list is."""
    before, after, *target = asked
    view = asks.view(before, after, tuple(target), critical=True)
    found, expected = (
        (one[-1].code, uids(one[:-1]), place(one[-1]))
        for one in both(server, asks.sort(f"uid{RULE}", critical=True), view)
    )
    assert found == expected


def test_a_view_needs_an_order(server: slapd.Slapd) -> None:
    """The operation fails at both, as the draft says for a control that is critical."""
    assert [answers[-1].code for answers in both(server, asks.view(1, 1, (1, 0), critical=True))] == [76, 76]
