# SPDX-License-Identifier: MIT
"""Whole lists in blocks: octet for octet what the entries are one by one.

Phones of a few models, each with its own attributes: their entries are encoded once, and those of rare ones not.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import cycle, islice

import pytest

from ldapgw.ber import integer, tlv
from ldapgw.contact import Sharing
from ldapgw.directory.book import build_book
from ldapgw.directory.entry import PLACEHOLDER_ID, Entry, FixedAttributes, Selection, select
from ldapgw.directory.filter import Present, Scope, SearchRequest
from ldapgw.directory.packed_attributes import NO_ATTRIBUTES, PackedAttributes, encoded_set
from ldapgw.directory.segment import (
    MAX_PAGE_OCTETS,
    NO_PAGE,
    PAGE_SIZE,
    Page,
    ResultBatch,
    Segment,
    _KeptMessages,
    set_message_id,
)
from tests.support.phonebook.trees import cursor_over
from tests.support.phonebook.wire import BOOK, CONTEXT, VIEWER, contacts, make_dit

NAMES = select(("cn", "telephoneNumber"))


def found(count: int) -> tuple[Segment, list[ResultBatch]]:
    request = SearchRequest(BOOK, Scope.SINGLE_LEVEL, Present("objectClass"))
    cursor = cursor_over(make_dit(count), VIEWER, request)
    batches = []
    while not cursor.finished:
        batches += cursor.next(10_000)
    return batches[0].segment, batches


def page_of(segment: Segment, first: int, selection: Selection) -> Page | None:
    """A page, encoded now and kept."""
    documents = range(first, min(first + PAGE_SIZE, len(segment.entries)))
    segment.keep_page(first, selection, segment.encoded(documents, selection))
    return segment.page(first, selection)


@pytest.mark.parametrize("count", [1, PAGE_SIZE - 1, PAGE_SIZE, PAGE_SIZE + 1, 20 * PAGE_SIZE + 7])
def test_a_list_is_pages(count: int) -> None:
    """Octet for octet what the entries are one by one; the last page ends with the list."""
    segment, batches = found(count)
    assert sum(map(len, batches)) == count
    pages = [page_of(segment, first, NAMES) or NO_PAGE for first in range(0, count, PAGE_SIZE)]
    for message_id in (1, 0x30, 0x64, 127):
        joined = b"".join(messages.replace(placeholder, bytes((message_id,))) for messages, placeholder in pages)
        expected = b"".join(tlv(0x30, integer(message_id) + entry.encode(NAMES)) for entry in segment.entries)
        assert joined == expected
        for _ in range(3):
            messages, is_plain = segment.messages(range(count), NAMES)
            assert set_message_id(b"".join(messages), bytes((message_id,)), is_plain=is_plain) == expected


def test_without_an_index_all_documents_are_candidates() -> None:
    """A few containers have none."""
    whole, _ = found(3)
    segment = Segment(whole.entries)
    assert segment.index is None
    assert segment.find_documents("Nwbo", 1) == range(1, 3)


def test_large_entries_are_in_no_page() -> None:
    """A page stays within bounds, so large entries come one by one."""
    people = [replace(person, organization="x" * (MAX_PAGE_OCTETS // PAGE_SIZE)) for person in contacts(PAGE_SIZE)]
    book = build_book(CONTEXT, "alice", "alice@acme.example", Sharing.PRIVATE, people, {}, per_number=False)
    [segment] = book.segments.contacts
    assert page_of(segment, 0, select(("*",))) == NO_PAGE
    assert page_of(segment, 0, NAMES) not in (NO_PAGE, None)


def test_a_length_may_be_the_placeholder() -> None:
    """Only the messageID is replaced, for any lengths of the entry's parts."""
    every = select(("*",))
    for length in range(100, 700):
        values = PackedAttributes(NO_ATTRIBUTES.values + b"\x00" + encoded_set([b"x" * length]))
        entry = Entry(values, FixedAttributes(b"uid=c0"))
        segment = Segment((entry,))
        for _ in range(3):
            [message], is_plain = segment.messages((0,), every)
            whole = tlv(0x30, integer(7) + entry.encode(every))
            assert set_message_id(message, b"\x07", is_plain=is_plain) == whole, length


def test_an_entry_that_holds_the_placeholder_is_not_sent() -> None:
    """No contact has a value as long as that; if one had, its search would fail."""
    values = PackedAttributes(NO_ATTRIBUTES.values + b"\x00" + encoded_set([PLACEHOLDER_ID]))
    with pytest.raises(ValueError, match="octets that stand for the messageID"):
        Segment((Entry(values, FixedAttributes(b"uid=c0")),)).messages((0,), select(("*",)))


def test_few_selections_have_pages() -> None:
    """The one that was kept first goes."""
    segment, _ = found(PAGE_SIZE)
    selections = [NAMES, select(("sn",)), select(("mail",))]
    pages = [page_of(segment, 0, selection) for selection in selections]
    assert [segment.page(0, selection) for selection in selections] == [None, *pages[1:]]


MODELS = [Selection.parse((name,)) for name in ("cn", "sn", "o", "mail", "mobile", "title", "l")]


def asked(encodings: _KeptMessages, models: list[int]) -> list[bool]:
    """Return for each selection True if its entries are encoded."""
    return [encodings.of(MODELS[at]) is not None for at in models]


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_models_that_take_turns_are_kept(count: int) -> None:
    """From the second request of each on."""
    turns = list(islice(cycle(range(count)), 5 * count))
    assert asked(_KeptMessages(9), turns) == [False] * count + [True] * 4 * count


def test_a_fifth_that_takes_turns_does_not_push_the_others_out() -> None:
    """Four are kept, whoever came first."""
    encodings = _KeptMessages(9)
    asked(encodings, [0, 1, 2, 3] * 2)
    kept = [encodings.of(model) for model in MODELS[:4]]
    assert asked(encodings, [4, 0, 1, 2, 3] * 3) == [False, True, True, True, True] * 3
    assert all(encodings.of(model) is one for model, one in zip(MODELS[:4], kept, strict=True))


def test_who_is_not_asked_for_any_more_gives_way() -> None:
    """It is the one that was asked for least lately; what was asked for once does not count."""
    encodings = _KeptMessages(9)
    asked(encodings, [0, 1, 2, 3] * 2)
    assert asked(encodings, [0, 2, 3, 4, 5, 6, 4]) == [True, True, True, False, False, False, True]
    assert asked(encodings, [0, 2, 3, 4, 1]) == [True, True, True, True, False]


def test_what_is_remembered_is_bounded() -> None:
    """A client with something new in each request leaves the kept messages as they are."""
    encodings = _KeptMessages(9)
    asked(encodings, [0, 1] * 2)
    for _ in range(100):
        assert encodings.of(Selection.parse(("cn",))) is None
    assert asked(encodings, [0, 1, 2]) == [True, True, False]
    assert len(encodings._requested) == 16


def test_a_page_in_which_every_octet_stands_is_not_kept() -> None:
    """There is none left to stand for the messageID."""
    values = PackedAttributes(NO_ATTRIBUTES.values + b"\x00" + encoded_set([bytes(range(0x100))]))
    every = Entry(values, FixedAttributes(b"uid=c0"))
    assert page_of(Segment((every,)), 0, select(("*",))) == NO_PAGE
