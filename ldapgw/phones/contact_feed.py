# SPDX-License-Identifier: MIT
"""The contact feed: a phone's whole book as JSON, for softphones that read contacts from a URL.

Each contact has the gateway's fields and the fields of Acrobits' "Contacts JSON", so that Acrobits' apps read the feed
without a transformation (https://doc.acrobits.net/cloudsoftphone/contacts.html).  Acrobits' values are texts, so an
unknown value is an empty text.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import chain

from ldapgw.phones.book_format import MAX_CONTACTS, BookFormat, Elements, ListAddress, Parameters, read_query
from ldapgw.phones.book_reader import ListedContact, ListLength, ListQuery

# An encoder that is made once encodes faster than `json.dumps` with arguments.
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def _contact(contact: ListedContact) -> Sequence[str]:
    fields = {
        "name": contact.name,
        "company": contact.company,
        "numbers": [{"number": number, "kind": kind} for number, kind in contact.numbers],
        "label": next(iter(contact.flags.labels), ""),
        "book": contact.book,
        "contactId": contact.id,
        "displayName": contact.name,
        "fname": contact.given_name,
        "lname": contact.family_name,
        "contactEntries": [
            {"entryId": f"tel:{at}", "type": "tel", "label": kind, "uri": number}
            for at, (number, kind) in enumerate(contact.numbers)
        ],
    }
    return (_ENCODER.encode(fields),)


def _write(contacts: Elements, _query: ListQuery, _length: ListLength, _address: ListAddress) -> str:
    return '{"contacts":[\n' + ",\n".join(chain.from_iterable(contacts)) + "\n]}\n"


def _read(parameters: Parameters, _address: ListAddress) -> ListQuery:
    """Read a request for the whole feed, which has no limit unless the client asks for one."""
    return read_query(parameters, MAX_CONTACTS)


CONTACT_FEED = BookFormat("contacts", _contact, _write, _read, has_origin=True, media_type="application/json")
