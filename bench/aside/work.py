# SPDX-License-Identifier: MIT
"""The work that is done here or there: a page of persons, read as a sync reads it."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from ldapgw.contact import Source
from ldapgw.google.sandbox.fields import PersonKind, complete
from ldapgw.google.sandbox.persons import PersonGenerator
from ldapgw.sync.records import FetchedPage, encode_page

PERSONS = 1000

Persons = list[dict[str, Any]]


def page() -> bytes:
    """A page as Google sends it."""
    invented = enumerate(PersonGenerator("aside").invent(PERSONS, []), 1)
    persons = [complete(person, PersonKind.CONTACT, at, 1_800_000_000.0) for at, person in invented]
    return json.dumps({"connections": persons, "totalItems": PERSONS, "nextSyncToken": "S"}).encode()


def decode(body: bytes) -> Persons:
    found: Persons = msgspec.json.decode(body)["connections"]
    return found


def read(persons: Persons) -> FetchedPage:
    return encode_page(persons, Source.CONTACTS, "DE", None)


def decode_and_read(body: bytes) -> FetchedPage:
    return read(decode(body))
