# SPDX-License-Identifier: MIT
"""Whole lists in blocks: octet for octet what the entries are one by one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ldapgw.ber import integer, tlv
from ldapgw.contact import Sharing
from ldapgw.directory.batch import Batch
from ldapgw.directory.blocks import LARGEST, SIZE
from ldapgw.directory.book import build_book
from ldapgw.directory.filters import Present, Scope, SearchRequest
from ldapgw.directory.selection import select
from ldapgw.directory.shelf import Shelf
from ldapgw.directory.walk import batches
from tests.ldap.world import BOOK, CONTEXT, VIEWER, contacts, make_dit

NAMES = select(("cn", "telephoneNumber"))
EXTRA = len(integer(5))


def found(count: int) -> tuple[Shelf, list[Batch]]:
    walked = batches(make_dit(count), VIEWER, SearchRequest(BOOK, Scope.SINGLE_LEVEL, Present("objectClass")))
    held = [batch for batch in walked if batch is not None]
    return held[0].shelf, held


@pytest.mark.parametrize("count", [1, SIZE - 1, SIZE, SIZE + 1, 20 * SIZE + 7])
def test_a_list_is_blocks(count: int) -> None:
    """Each of them as long as it can be; the last one ends with the list."""
    shelf, walked = found(count)
    joined = b""
    for batch in walked:
        at = 0
        while at < len(batch):
            block = batch.block(at, NAMES, EXTRA)
            assert block is not None
            joined += integer(5).join(block)
            at += len(block) - 1
    assert joined == b"".join(tlv(0x30, integer(5) + entry.encode(NAMES)) for entry in shelf.entries)


def test_a_part_of_a_block_is_none() -> None:
    """Nor is what begins within one, or has a gap."""
    shelf, [batch, *_] = found(3 * SIZE)
    assert batch.part(0, SIZE - 1).block(0, NAMES, EXTRA) is None
    assert batch.block(1, NAMES, EXTRA) is None
    positions = [at for at in range(3 * SIZE) if at != SIZE + 3]
    gap = Batch(batch.area, shelf, positions)
    assert gap.block(0, NAMES, EXTRA) is not None
    assert gap.block(SIZE, NAMES, EXTRA) is None
    # What is encoded one by one ends where the next block may begin.
    assert len(gap.encoded(SIZE + 3, SIZE, NAMES, types_only=False)) == SIZE - 4
    assert gap.block(2 * SIZE - 1, NAMES, EXTRA) is not None


def test_large_entries_are_in_no_block() -> None:
    """What is written at once stays within bounds; the list comes one by one."""
    people = [replace(person, organization="x" * (LARGEST // SIZE)) for person in contacts(SIZE)]
    book = build_book(CONTEXT, "alice", "alice@acme.example", Sharing.PRIVATE, people, {}, per_number=False)
    [shelf] = book.shelves.contacts
    assert shelf.blocks.at(0, SIZE, select(("*",)), EXTRA) is None
    assert shelf.blocks.at(0, SIZE, NAMES, EXTRA) is not None


def test_few_selections_are_kept() -> None:
    """The one that was asked for first goes."""
    shelf, _ = found(SIZE)
    first = shelf.blocks.at(0, SIZE, NAMES, EXTRA)
    assert shelf.blocks.at(0, SIZE, NAMES, EXTRA) is first
    for name in ("sn", "mail"):
        shelf.blocks.at(0, SIZE, select((name,)), EXTRA)
    again = shelf.blocks.at(0, SIZE, NAMES, EXTRA)
    assert again == first
    assert again is not first
