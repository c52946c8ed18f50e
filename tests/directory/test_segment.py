# SPDX-License-Identifier: MIT
"""Whole lists in blocks: octet for octet what the entries are one by one.

Phones of a few models, each with its own attributes: their entries are encoded once, and those of rare ones not.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import cycle, islice
from typing import Any

import pytest

from ldapgw.ber import integer, tlv
from ldapgw.contact import Sharing
from ldapgw.directory.book import build_book
from ldapgw.directory.dedup import Batch
from ldapgw.directory.entry import Entry, FixedAttributes, PackedAttributes, Selection, encoded_set, select
from ldapgw.directory.filter import Present, Scope, SearchRequest
from ldapgw.directory.search import batches
from ldapgw.directory.segment import MAX_PAGE_OCTETS, PAGE_SIZE, EncodedEntries, EncodedPages, Segment
from tests.support.world import BOOK, CONTEXT, VIEWER, contacts, make_dit

NAMES = select(("cn", "telephoneNumber"))
ID = integer(5)


def found(count: int) -> tuple[Segment, list[Batch]]:
    walked = batches(make_dit(count), VIEWER, SearchRequest(BOOK, Scope.SINGLE_LEVEL, Present("objectClass")))
    held = [batch for batch in walked if batch is not None]
    return held[0].shelf, held


@pytest.mark.parametrize("message_id", [1, 0x30, 127])
@pytest.mark.parametrize("count", [1, PAGE_SIZE - 1, PAGE_SIZE, PAGE_SIZE + 1, 20 * PAGE_SIZE + 7])
def test_a_list_is_blocks(count: int, message_id: int) -> None:
    """Each of them as long as it can be; the last one ends with the list."""
    shelf, walked = found(count)
    joined = b""
    for batch in walked:
        at = 0
        while at < len(batch):
            block = batch.block(at, NAMES, integer(message_id))
            assert block is not None
            messages, taken = block
            joined += messages
            at += taken
    assert joined == b"".join(tlv(0x30, integer(message_id) + entry.encode(NAMES)) for entry in shelf.entries)


def test_what_all_have_is_blocks() -> None:
    """Where everybody is looked at one by one, as for ``(cn=*)``, all but the first are."""
    request = SearchRequest(BOOK, Scope.SINGLE_LEVEL, Present("cn"))
    walked = [batch for batch in batches(make_dit(5 * PAGE_SIZE), VIEWER, request) if batch is not None]
    assert sum(map(len, walked)) == 5 * PAGE_SIZE
    assert sum(batch.block(0, NAMES, ID) is not None for batch in walked) == 4


def test_a_part_of_a_block_is_none() -> None:
    """Nor is what begins within one, or has a gap."""
    shelf, [batch, *_] = found(3 * PAGE_SIZE)
    assert batch.part(0, PAGE_SIZE - 1).block(0, NAMES, ID) is None
    assert batch.block(1, NAMES, ID) is None
    positions = [at for at in range(3 * PAGE_SIZE) if at != PAGE_SIZE + 3]
    gap = Batch(batch.area, shelf, positions)
    assert gap.block(0, NAMES, ID) is not None
    assert gap.block(PAGE_SIZE, NAMES, ID) is None
    # What is encoded one by one ends where the next block may begin.
    assert len(gap.encoded(PAGE_SIZE + 3, PAGE_SIZE, NAMES, types_only=False)) == PAGE_SIZE - 4
    assert gap.block(2 * PAGE_SIZE - 1, NAMES, ID) is not None


def test_large_entries_are_in_no_block() -> None:
    """What is written at once stays within bounds; the list comes one by one."""
    people = [replace(person, organization="x" * (MAX_PAGE_OCTETS // PAGE_SIZE)) for person in contacts(PAGE_SIZE)]
    book = build_book(CONTEXT, "alice", "alice@acme.example", Sharing.PRIVATE, people, {}, per_number=False)
    [shelf] = book.segments.contacts
    assert shelf.pages.at(0, PAGE_SIZE, select(("*",)), ID) is None
    assert shelf.pages.at(0, PAGE_SIZE, NAMES, ID) is not None


def test_a_long_message_id_is_in_no_block() -> None:
    """As that of somebody's hundred-and-twenty-eighth request."""
    shelf, _ = found(PAGE_SIZE)
    assert shelf.pages.at(0, PAGE_SIZE, NAMES, integer(127)) is not None
    assert shelf.pages.at(0, PAGE_SIZE, NAMES, integer(128)) is None


def test_an_entry_with_every_octet_in_it_is_in_no_block() -> None:
    """There is none left to stand for the message id."""
    shelf, _ = found(2 * PAGE_SIZE)
    every = Entry(b"uid=c0", PackedAttributes(b"\x00" + encoded_set([bytes(range(0x100))])), FixedAttributes({}))
    blocks = EncodedPages((every, *shelf.entries[1:]))
    assert blocks.at(0, PAGE_SIZE, select(("*",)), ID) is None
    assert blocks.at(PAGE_SIZE, PAGE_SIZE, select(("*",)), ID) is not None


class Counting(tuple[Entry, ...]):
    """Entries that count how often some of them are taken to be encoded."""

    taken = 0

    def __getitem__(self, at: Any) -> Any:
        self.taken += 1
        return super().__getitem__(at)


def test_few_selections_are_kept() -> None:
    """The one that was asked for first goes."""
    entries = Counting(found(PAGE_SIZE)[0].entries)
    blocks = EncodedPages(entries)
    first = blocks.at(0, PAGE_SIZE, NAMES, ID)
    assert (blocks.at(0, PAGE_SIZE, NAMES, ID), entries.taken) == (first, 1)
    for name in ("sn", "mail"):
        blocks.at(0, PAGE_SIZE, select((name,)), ID)
    assert (blocks.at(0, PAGE_SIZE, NAMES, ID), entries.taken) == (first, 4)


MODELS = [Selection.parse((name,)) for name in ("cn", "sn", "o", "mail", "mobile", "title", "l")]


def asked(encodings: EncodedEntries, models: list[int]) -> list[bool]:
    """Whether each of these finds its entries encoded."""
    return [encodings.for_selection(MODELS[at]) is not None for at in models]


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_models_that_take_turns_are_kept(count: int) -> None:
    """From the second request of each on."""
    turns = list(islice(cycle(range(count)), 5 * count))
    assert asked(EncodedEntries(9), turns) == [False] * count + [True] * 4 * count


def test_a_fifth_that_takes_turns_does_not_push_the_others_out() -> None:
    """Four are kept, whoever came first."""
    encodings = EncodedEntries(9)
    asked(encodings, [0, 1, 2, 3] * 2)
    kept = [encodings.for_selection(model) for model in MODELS[:4]]
    assert asked(encodings, [4, 0, 1, 2, 3] * 3) == [False, True, True, True, True] * 3
    assert all(encodings.for_selection(model) is one for model, one in zip(MODELS[:4], kept, strict=True))


def test_who_is_not_asked_for_any_more_gives_way() -> None:
    """It is the one that was asked for least lately; what was asked for once does not count."""
    encodings = EncodedEntries(9)
    asked(encodings, [0, 1, 2, 3] * 2)
    assert asked(encodings, [0, 2, 3, 4, 5, 6, 4]) == [True, True, True, False, False, False, True]
    assert asked(encodings, [0, 2, 3, 4, 1]) == [True, True, True, True, False]


def test_what_is_remembered_is_bounded() -> None:
    """Whoever asks for something else each time leaves what is kept as it is."""
    encodings = EncodedEntries(9)
    asked(encodings, [0, 1] * 2)
    for _ in range(100):
        assert encodings.for_selection(Selection.parse(("cn",))) is None
    assert asked(encodings, [0, 1, 2]) == [True, True, False]
    assert len(encodings._asked) == 16
