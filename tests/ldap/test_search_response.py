# SPDX-License-Identifier: MIT
"""The answer to a search, pulled a stride at a time."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from ldapgw.directory.entry import Selection, number_formatter
from ldapgw.directory.filter import Present, Scope, SearchRequest
from ldapgw.directory.search import result_batches
from ldapgw.directory.segment import MAX_PAGE_OCTETS, PAGE_SIZE
from ldapgw.errors import ResultCode
from ldapgw.ldap.limits import GATHERED, JOINED
from ldapgw.ldap.messages import SUCCESS, Result
from ldapgw.ldap.search_response import CHUNK, SLOW_CHUNK, OutputBuffer, SearchResponse
from ldapgw.numbers.phone_number import NumberFormat
from tests.support import pdu
from tests.support.phonebook.wire import BOOK, CONTEXT, VIEWER, contacts, dit_of

WHOLE = Selection.parse(())


def answer(
    count: int,
    *,
    organization: str = "",
    types_only: bool = False,
    size_limit: int = 1000,
    selection: Selection = WHOLE,
    lists: int = 1,
) -> SearchResponse:
    """The answer to a list.

    :param lists: the last of so many lists of the same book: from the second one on, pages are kept.
    """
    entries = [replace(contact, organization=organization) for contact in contacts(count)]
    dit = dit_of(entries)
    sought = SearchRequest(BOOK, Scope.SINGLE_LEVEL, Present("objectClass"))
    for number in range(lists):
        found = result_batches(dit, VIEWER, sought, size_limit)
        made = SearchResponse(5, found, selection, types_only=types_only, time_limit=10.0)
        if number < lists - 1:
            written(made)
    return made


def written(response: SearchResponse) -> tuple[bytes, list[int], Result]:
    """All of an answer, how many entries were added at a time, and how it ended."""
    outbox, sent, ended = OutputBuffer(1 << 30), [0], None
    while ended is None:
        ended = response.write_next(outbox, 0.0)
        sent.append(response.sent)
        outbox.full = False
    return outbox.take(), [after - before for before, after in pairwise(sent) if after > before], ended


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


def test_a_page_that_is_too_much_waits():
    """Waiting octets are written first, and then the page alone."""
    pulled, outbox = answer(PAGE_SIZE, organization="x" * 20, lists=2), OutputBuffer()
    before = bytes(JOINED - 1)
    outbox.add(before)
    assert pulled.write_next(outbox, 0.0) is None
    assert (outbox.full, outbox.take()) == (True, before)
    pulled.write_next(outbox, 0.0)
    assert JOINED < outbox.size <= MAX_PAGE_OCTETS < JOINED + outbox.size
    assert len(pdu.responses(outbox.take())) == PAGE_SIZE


@pytest.mark.parametrize(
    ("count", "organization", "added"),
    [
        (2 * PAGE_SIZE, "x", [PAGE_SIZE, PAGE_SIZE]),
        (PAGE_SIZE + 7, "x", [PAGE_SIZE, 7]),
        (PAGE_SIZE, "x" * (MAX_PAGE_OCTETS // PAGE_SIZE), None),
    ],
    ids=["pages", "a page and more", "entries that are too large for a page"],
)
def test_a_list_is_encoded_a_chunk_at_a_time_and_then_kept_in_pages(count, organization, added):
    """The clock is looked at in between; the octets are the same."""
    first, again = (written(answer(count, organization=organization, lists=lists)) for lists in (1, 2))
    assert max(first[1]) == CHUNK
    assert again == (first[0], added or first[1], SUCCESS)
    assert [one.message_id for one in pdu.responses(first[0])] == [5] * count


def test_a_list_that_was_given_up_leaves_no_part_of_a_page():
    """The next one is whole."""
    gone, outbox = answer(PAGE_SIZE), OutputBuffer()
    gone.write_next(outbox, 0.0)
    assert len({one.dn for one in pdu.responses(written(answer(PAGE_SIZE, lists=2))[0])}) == PAGE_SIZE


@pytest.mark.parametrize(
    "selection",
    [
        Selection.parse(("cn", "jpegPhoto")),
        Selection.parse(("telephoneNumber",), number_formatter(NumberFormat.INTERNATIONAL, CONTEXT)),
    ],
)
def test_entries_that_take_long_come_a_few_at_a_time(selection):
    """And the clock is looked at in between; none is left out, and no page is kept."""
    octets, counts, ended = written(answer(2 * PAGE_SIZE, selection=selection, lists=2))
    assert (ended, max(counts)) == (SUCCESS, SLOW_CHUNK)
    assert len({one.dn for one in pdu.responses(octets)}) == 2 * PAGE_SIZE


def test_large_entries_come_fewer_at_a_time():
    """Joined entries stay within the transport's bounds."""
    pulled, outbox = answer(CHUNK, organization="x" * 8000), OutputBuffer()
    assert pulled.write_next(outbox, 0.0) is None
    assert JOINED <= outbox.size <= JOINED + 20_000 < MAX_PAGE_OCTETS


@pytest.mark.parametrize(("now", "expected"), [(19.9, SUCCESS), (20.0, Result(ResultCode.TIME_LIMIT_EXCEEDED))])
def test_the_time_limit_counts_from_the_first_pull(now, expected):
    """Entries found before the limit have been given."""
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
    octets, _, ended = written(answer(10, size_limit=3))
    assert (len(pdu.responses(octets)), ended.code) == (3, ResultCode.SIZE_LIMIT_EXCEEDED)


def test_types_only():
    """Names of attributes without their values."""
    octets, _, ended = written(answer(1, types_only=True))
    [entry] = pdu.responses(octets)
    assert ({values for _, values in entry.attributes}, ended) == ({()}, SUCCESS)


def test_the_buffer_joins_what_was_added():
    buffer = OutputBuffer()
    buffer.add(b"ab")
    buffer.add(b"c")
    assert (buffer.size, buffer.take()) == (3, b"abc")
    assert (buffer.size, buffer.take()) == (0, b"")


def test_the_buffer_gives_pages_as_they_are():
    """It is full when one more page of their size would be too much, and takes a page alone however large it is."""
    buffer = OutputBuffer(7)
    added = [(buffer.add_page(page), buffer.full) for page in (b"abc", b"de", b"fgh")]
    assert added == [(True, False), (True, False), (False, True)]
    assert buffer.take_pieces() == [b"abc", b"de"]
    assert (buffer.full, buffer.size, buffer.take_pieces()) == (False, 0, [])
    assert [(buffer.add_page(page), buffer.full) for page in (b"fgh", b"ijk")] == [(True, False), (True, True)]
    large = OutputBuffer(2)
    assert (large.add_page(b"abc"), large.full, large.take()) == (True, True, b"abc")
