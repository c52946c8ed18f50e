# SPDX-License-Identifier: MIT
"""The recordings in ``tests/data/recordings``: what phones of some vendors ask for the sandbox's invented people.

``python -m tests.support.recordings`` writes those that are made here anew; recordings of real phones lie beside them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random

from ldapgw import __version__
from ldapgw.contact import Contact, Sharing, Source
from ldapgw.directory.access import Access, Viewer
from ldapgw.directory.book import build_book
from ldapgw.directory.dit import Directory, Dit
from ldapgw.directory.filter import Scope, SearchRequest
from ldapgw.google.person import read_person
from ldapgw.google.sandbox.controls import persons
from ldapgw.google.sandbox.tenant import ALICE, demo_world
from ldapgw.ldap.encoder import features
from ldapgw.phones.provisioning.sheet import make_sheet
from ldapgw.phones.provisioning.vendors import all_vendors
from ldapgw.phones.pseudonyms import with_pseudonyms
from ldapgw.phones.recording import Recording, dump
from tests.support.filter_text import read_filter
from tests.support.golden import SETTINGS
from tests.support.keypad import Sent
from tests.support.phonebook import naming_context
from tests.support.phonebook.recorded import record, requests
from tests.support.vendor_rows import ROWS, read

FOLDER = Path(__file__).parents[1] / "data" / "recordings"

# The vendors' sheets, with the word for the model.
SHEETS = {"yealink": "yealink", "snom": "snom", "cisco-mpp": "cisco", "cisco-spa": "cisco"}
PEOPLE = 60


@cache
def people() -> Sequence[Contact]:
    """The sandbox's people, as the gateway would have them."""
    world = demo_world(now=lambda: 1_800_000_000.0, random=Random(1).randbytes)
    found = (read_person(one, Source.CONTACTS, "DE").contact for one in persons(world, ALICE, "contacts"))
    return [contact for contact in found if contact is not None][:PEOPLE]


def directory() -> Dit:
    """A tree with one book of these."""
    context = naming_context()
    book = build_book(context, "alice", ALICE, Sharing.PRIVATE, people(), {}, per_number=True)
    return Dit((Directory(context, (book,)),), features(tls=False))


def typed() -> Iterator[str]:
    """The beginnings of some names, letter by letter as a phone sends them."""
    for contact in people()[::7]:
        word = contact.family_name or contact.name
        yield from (word[:end].lower() for end in range(1, min(5, len(word) + 1)))


def calling() -> Iterator[str]:
    """Callers: known ones in the writings of PBXs, an unknown one, a withheld number."""
    known = [phone.number for contact in people()[::5] for phone in contact.phones[:1] if phone.number.national]
    for number in known:
        yield from (number.e164, number.national, "00" + number.e164[1:], "0" + number.national)
    yield from ("+493099999999", "anonymous")


def sent(vendor: str) -> Iterator[Sent]:
    """Yield a phone's requests, by its vendor."""
    keypad, values = ROWS[vendor].keypad, read(make_sheet(all_vendors()[vendor], SETTINGS))
    yield from (keypad.name(values, text) for text in typed())
    caller = keypad.caller
    if caller is not None:
        yield from filter(None, (caller(values, number) for number in calling()))
    if keypad.digits is not None:
        yield from (keypad.digits(values, number[:end]) for number in calling() for end in (4, 8) if number[:1] in "+0")


def made(vendor: str, model: str) -> Recording:
    """A recording of a phone of a vendor, with pseudonyms as any other."""
    searches = [
        SearchRequest(
            SETTINGS.base_dn, Scope.WHOLE_SUBTREE, read_filter(one.filter), one.size_limit, 0, False, one.attributes
        )
        for one in sent(vendor)
    ]
    viewer = Viewer(SETTINGS.bind_dn, (Access("acme", ("alice",)),), per_number=model == "cisco")
    recording = record(directory(), requests(*searches), viewer)
    return with_pseudonyms(replace(recording, model=model, version=__version__), Random(vendor))


def texts() -> Mapping[str, str]:
    """The name and the text of each file."""
    return {f"{vendor}.jsonl": dump(made(vendor, model)) for vendor, model in SHEETS.items()}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in texts().items():
        (FOLDER / name).write_text(text)
