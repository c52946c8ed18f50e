# SPDX-License-Identifier: MIT
"""From the persons of a page to what may be stored of them.  Pure, and the slowest part of a sync: a process does it.

What comes of a page travels and waits as octets (`Batch.items`), so that a large account is never held whole.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ldapgw.contact import SYSTEM_LABELS, Source
from ldapgw.google.person import ParsedPerson, read_person
from ldapgw.store.contacts import ContactRecord


class FetchedPerson(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One person of a listing, ready to be stored.

    :ivar record: what to store; None where the person was deleted.
    :ivar previous: uids of entries that this person has replaced.
    """

    uid: str
    source_id: str
    record: ContactRecord | None
    previous_uids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FetchedPage:
    """What came of a page.

    :ivar items: of all its persons, encoded; see `read_items`.
    :ivar persons: how many: a listing is complete when it has as many as Google says.
    :ivar labels: resource names of the user's labels that its persons have.
    """

    encoded_persons: bytes = field(repr=False)
    person_count: int
    labels: frozenset[str] = field(repr=False)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[FetchedPerson])


def encode_page(
    persons: Iterable[Mapping[str, Any]], source: Source, region: str, labels: Collection[str] | None
) -> FetchedPage:
    """Read the persons of a page.

    :param labels: resource names, one of which a contact needs to be served; None: all are.
    """
    readings = [read_person(person, source, region) for person in persons]
    found = {label for reading in readings if reading.contact for label in reading.contact.labels}
    items = [_fetched_person(reading, labels) for reading in readings]
    uids = {item.uid for item in items if item.uid}
    nameless = sum(not item.uid for item in items)
    return FetchedPage(_encoder.encode(items), len(uids) + nameless, frozenset(found - SYSTEM_LABELS))


def decode_persons(encoded: bytes) -> list[FetchedPerson]:
    """The items of a batch, in Google's order."""
    return _decoder.decode(encoded)


def _fetched_person(reading: ParsedPerson, labels: Collection[str] | None) -> FetchedPerson:
    if reading.deleted:
        return FetchedPerson(reading.uid, reading.source_id, None, reading.previous_uids)
    contact, skipped = reading.contact, reading.skipped
    if contact is not None and labels is not None and not set(contact.labels) & set(labels):
        contact, skipped = None, "label"
    record = ContactRecord.from_contact(reading.uid, reading.source_id, contact, skipped, reading.unreadable_numbers)
    return FetchedPerson(reading.uid, reading.source_id, record, reading.previous_uids)
