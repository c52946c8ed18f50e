# SPDX-License-Identifier: MIT
"""The answer to a search, pulled a stride at a time."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from ldapgw.contact import Sharing
from ldapgw.directory.access import number_formatter
from ldapgw.directory.book import build_book
from ldapgw.directory.dit import Directory, Dit
from ldapgw.directory.entry import Selection
from ldapgw.directory.filter import Present, Scope, SearchRequest
from ldapgw.directory.search import result_batches
from ldapgw.directory.segment import MAX_PAGE_OCTETS, PAGE_SIZE
from ldapgw.errors import ResultCode
from ldapgw.ldap.encoder import features
from ldapgw.ldap.limits import GATHERED, JOINED
from ldapgw.ldap.messages import SUCCESS, Result
from ldapgw.ldap.search_response import CHUNK, SLOW_CHUNK, OutputBuffer, SearchResponse
from ldapgw.numbers.phone_number import NumberFormat
from tests.support import pdu
from tests.support.phonebook.wire import BOOK, CONTEXT, VIEWER, contacts

WHOLE = Selection.parse(())


def answer(
    count: int,
    *,
    organization: str = "",
    types_only: bool = False,
    size_limit: int = 1000,
    selection: Selection = WHOLE,
) -> SearchResponse:
    entries = [replace(contact, organization=organization) for contact in contacts(count)]
    book = build_book(CONTEXT, "alice", "alice@acme.example", Sharing.PRIVATE, entries, {}, per_number=False)
    sought = SearchRequest(BOOK, Scope.SINGLE_LEVEL, Present("objectClass"))
    found = result_batches(Dit((Directory(CONTEXT, (book,)),), features(tls=False)), VIEWER, sought, size_limit)
    return SearchResponse(5, found, selection, types_only=types_only, time_limit=10.0)


@pytest.mark.parametrize("most", [MAX_PAGE_OCTETS, GATHERED])
def test_as_much_as_is_written_at_a_time(most):
    """No more is made than that; the end is known when there is no more."""
    pulled, outbox = answer(1000), OutputBuffer(most)
    found, sizes = [], []
    ended = None
    while ended is None:
        ended = pulled.write_next(outbox, 0.0)
        assert outbox.size == len(b"".join(outbox.pieces)) <= most
        if outbox.full or ended:
            sizes.append(outbox.size)
            found += pdu.responses(outbox.take())
    assert len(sizes) > 1
    assert ended is SUCCESS
    assert [one.message_id for one in found] == [5] * 1000
    assert len({one.dn for one in found}) == 1000


def test_a_block_that_is_too_much_waits():
    """What there is is written first, and then the block alone."""
    pulled, outbox = answer(PAGE_SIZE, organization="x" * 20), OutputBuffer()
    before = bytes(JOINED - 1)
    outbox.add(before)
    assert pulled.write_next(outbox, 0.0) is None
    assert (outbox.full, outbox.take()) == (True, before)
    pulled.write_next(outbox, 0.0)
    assert JOINED < outbox.size <= MAX_PAGE_OCTETS < JOINED + outbox.size
    assert len(pdu.responses(outbox.take())) == PAGE_SIZE


def test_a_block_is_the_last_before_the_clock_is_looked_at():
    """It may be made only now, and a time limit may be over."""
    pulled, outbox = answer(3 * PAGE_SIZE), OutputBuffer(1 << 30)
    for count in range(1, 4):
        assert pulled.write_next(outbox, 0.0) is None
        assert (len(outbox.pieces), pulled.sent, outbox.full) == (count, count * PAGE_SIZE, False)
    assert pulled.write_next(outbox, 0.0) is SUCCESS


@pytest.mark.parametrize(
    "selection",
    [
        Selection.parse(("cn", "jpegPhoto")),
        Selection.parse(("telephoneNumber",), number_formatter(NumberFormat.INTERNATIONAL, CONTEXT)),
    ],
)
def test_entries_that_take_long_come_a_few_at_a_time(selection):
    """And the clock is looked at in between; none is left out."""
    pulled, outbox = answer(2 * PAGE_SIZE, selection=selection), OutputBuffer(1 << 30)
    sent, ended = [0], None
    while ended is None:
        ended = pulled.write_next(outbox, 0.0)
        sent.append(pulled.sent)
        outbox.full = False
    assert ended is SUCCESS
    assert max(after - before for before, after in pairwise(sent)) == SLOW_CHUNK
    assert len({one.dn for one in pdu.responses(outbox.take())}) == 2 * PAGE_SIZE


def test_large_entries_come_fewer_at_a_time():
    """What is joined stays within what a transport wants."""
    pulled, outbox = answer(CHUNK, organization="x" * 8000), OutputBuffer()
    assert pulled.write_next(outbox, 0.0) is None
    assert JOINED <= outbox.size <= JOINED + 20_000 < MAX_PAGE_OCTETS


@pytest.mark.parametrize(("now", "expected"), [(19.9, SUCCESS), (20.0, Result(ResultCode.TIME_LIMIT_EXCEEDED))])
def test_the_time_limit_counts_from_the_first_pull(now, expected):
    """What was found before it is over has been given."""
    pulled, outbox = answer(500), OutputBuffer()
    assert pulled.write_next(outbox, 10.0) is None
    before = len(pdu.responses(outbox.take()))
    ended = pulled.write_next(outbox, now)
    while ended is None:
        outbox.take()
        ended = pulled.write_next(outbox, now)
    assert ended == expected
    assert before > 0


def test_the_size_limit_ends_it_with_what_was_found():
    """Entries first, then code 4."""
    pulled, outbox = answer(10, size_limit=3), OutputBuffer()
    assert pulled.write_next(outbox, 0.0).code is ResultCode.SIZE_LIMIT_EXCEEDED
    assert len(pdu.responses(outbox.take())) == 3


def test_types_only():
    """Names of attributes without their values."""
    pulled, outbox = answer(1, types_only=True), OutputBuffer()
    assert pulled.write_next(outbox, 0.0) is SUCCESS
    [entry] = pdu.responses(outbox.take())
    assert {values for _, values in entry.attributes} == {()}
