# SPDX-License-Identifier: MIT
"""Converts the persons of a page of a listing to records that can be stored.

The functions are pure.  The conversion of Google's persons to records is the slowest part of a sync and runs in another
process.  A converted page is passed on and buffered in encoded form (`FetchedPage.encoded_persons`), so that a large
account is never in memory as a whole.

The module does not import SQLAlchemy, which would take 20 MiB of the other process's memory.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

import msgspec

from ldapgw.contact import SYSTEM_LABELS, Source
from ldapgw.google.person import ParsedPerson, read_person
from ldapgw.store.contact_record import EXCLUDED_LABEL, NO_LABEL, ContactRecord


class FetchedPerson(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A person of a listing, ready to be stored.

    :ivar uid: the id in the resourceName.
    :ivar source_id: Google's stable key of the person.
    :ivar record: the record to store; None when the person was deleted.
    """

    uid: str
    source_id: str
    record: ContactRecord | None
    previous_uids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FetchedPage:
    """A converted page of a listing.

    :ivar encoded_persons: all persons of the page, encoded; see `decode_persons`.
    :ivar person_count: the number of different persons on the page; Google's total counts different persons too.
    :ivar labels: resource names of the user's labels that persons of the page have.
    """

    encoded_persons: bytes = field(repr=False)
    person_count: int
    labels: frozenset[str] = field(repr=False)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[FetchedPerson])


def encode_page(
    persons: Iterable[object],
    source: Source,
    region: str,
    labels: Collection[str] | None,
    excluded_labels: Collection[str] = (),
) -> FetchedPage:
    """Convert a page of Google persons.

    :param persons: the persons as decoded JSON of any form.
    :param region: the region for telephone numbers without a country code.
    :param labels: resource names of labels; a contact without any of these labels is not served.  None if there is no
        such limit.
    :param excluded_labels: resource names of labels; a contact with one of these labels is not served.
    """
    parsed_persons = [read_person(person, source, region) for person in persons]
    user_labels = {label for parsed in parsed_persons if parsed.contact for label in parsed.contact.labels}
    fetched = [_fetched_person(parsed, labels, excluded_labels) for parsed in parsed_persons]
    uids = {person.uid for person in fetched if person.uid}
    without_uid = sum(not person.uid for person in fetched)
    return FetchedPage(_encoder.encode(fetched), len(uids) + without_uid, frozenset(user_labels - SYSTEM_LABELS))


def decode_persons(encoded: bytes) -> list[FetchedPerson]:
    """Decode the persons of a page, in Google's order."""
    return _decoder.decode(encoded)


def _fetched_person(
    parsed: ParsedPerson, labels: Collection[str] | None, excluded_labels: Collection[str]
) -> FetchedPerson:
    if parsed.deleted:
        return FetchedPerson(parsed.uid, parsed.source_id, None, parsed.previous_uids)
    contact, skipped = parsed.contact, parsed.skipped
    if contact is not None and labels is not None and set(labels).isdisjoint(contact.labels):
        contact, skipped = None, NO_LABEL
    elif contact is not None and not set(excluded_labels).isdisjoint(contact.labels):
        contact, skipped = None, EXCLUDED_LABEL
    photo_url = parsed.photo_url if contact is not None else ""
    # Nobody has to correct a contact that is left out on purpose.
    flaws = parsed.flaws if skipped == parsed.skipped else ()
    record = ContactRecord.from_contact(
        parsed.uid, parsed.source_id, contact, skipped, parsed.unreadable_numbers, photo_url, flaws
    )
    return FetchedPerson(parsed.uid, parsed.source_id, record, parsed.previous_uids)
