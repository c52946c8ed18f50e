# SPDX-License-Identifier: MIT
"""Phones and PBXs that read the directory over HTTP: books of every sharing, logins, and connections."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace

from ldapgw.contact import Contact, Kind, Phone, Sharing
from ldapgw.directory.access import Access, Viewer
from ldapgw.directory.book import Book, build_book
from ldapgw.directory.catalog import PhoneAccess, Snapshot
from ldapgw.directory.dit import Directory, Dit
from ldapgw.directory.dn import Dn
from ldapgw.directory.naming_context import phone_dn
from ldapgw.directory.passwords import hash_password
from ldapgw.directory.special_entries import Features
from ldapgw.numbers.phone_number import parse
from tests.support.phonebook import naming_context
from tests.support.stage.web import ACME, GLOBEX, Connection, Stage

PASSWORD = "q3h7k2m9x4z8b5n6p1rs"
SECRET = "k8m2v5x7c4b9n3q6w1et"
OTHER_BASE = Dn.parse("dc=globex,dc=example")


def person(uid: str, name: str, *phones: tuple[Kind, str], **more: object) -> Contact:
    given, _, family = name.rpartition(" ")
    numbers = tuple(Phone(kind, number) for kind, text in phones if (number := parse(text, "DE")) is not None)
    return Contact(uid, name=name, given_name=given, family_name=family, phones=numbers, **more)  # type: ignore[arg-type]


ANNA = person(
    "a1",
    "Anna Berg",
    (Kind.WORK, "030 1234567"),
    (Kind.MOBILE, "0171 1234567"),
    organization="Berg & Söhne",
    labels=("g1", "g2"),
)
BOB = person("b1", "Bob Bauer", (Kind.HOME, "030 7654321"), organization="Bauer AG", labels=("g9",))
CARL = person("c1", "Carl Cäsar", (Kind.MOBILE, "0171 7654321"), organization="Caesar KG")
# Zoe shares a number with somebody in a book for callers' names.
ZOE = person("z1", "Zoe Zorn", (Kind.FAX, "030 1112222"))
AARON = person("k2", "Aaron Caesar", (Kind.WORK, "030 1112222"))
DORA = person("d1", "Dora Dorn", (Kind.WORK, "030 5556677"))


def serve(stage: Stage | None = None, photo: bytes = b"") -> Stage:
    """Publish Alice's own book, Bob's shared one, Carl's for callers' names, Dora's private one, and another tenant's.

    :param stage: the stage that is returned; None: a new stage with both tenants.
    :param photo: of Anna, Carl and Dora; empty: the tenants have no photos.
    """
    stage = stage or Stage(tenants=(ACME, GLOBEX))
    context = replace(naming_context(), block_label="suppliers", favourites=True, photos=bool(photo))
    shared = [BOB, ZOE] if photo else [BOB]
    anna, carl, dora = (replace(one, photo=photo) for one in (ANNA, CARL, DORA))
    other = replace(context, name="globex", base=OTHER_BASE)
    books = (
        build_book(context, "a", "alice@acme.example", Sharing.PRIVATE, [anna], LABELS, per_number=False),
        build_book(context, "b", "bob@acme.example", Sharing.SHARED, shared, {"g9": "Friends"}, per_number=False),
        build_book(context, "c", "carl@acme.example", Sharing.CALLERS, [carl, AARON], {}, per_number=False),
        build_book(context, "d", "dora@acme.example", Sharing.PRIVATE, [dora], {}, per_number=False),
    )
    eve = build_book(other, "e", "eve@globex.example", Sharing.SHARED, [dora], {}, per_number=False)
    logins = {
        name: login(name, tenant, base, book, secret)
        for name, tenant, base, book, secret in (
            ("pbx", "acme", context.base, "a", SECRET),
            ("other.pbx", "globex", OTHER_BASE, "", SECRET),
            ("hall", "acme", context.base, "", ""),
        )
    }
    dit = Dit((Directory(context, books), Directory(other, (eve,))), Features("1"))
    stage.catalog.publish(Snapshot(dit, logins, loaded=True), ())
    return stage


def publish(stage: Stage, change: Callable[[Book], Book] = lambda book: book, **logins: PhoneAccess) -> None:
    """Publish the tenants anew, with each book changed.

    :param logins: further logins, by name.
    """
    snapshot = stage.catalog.snapshot
    directories = tuple(
        Directory(directory.context, tuple(map(change, directory.books))) for directory in snapshot.dit.directories
    )
    dit = Dit(directories, snapshot.dit.features)
    stage.catalog.publish(replace(snapshot, dit=dit, logins={**snapshot.logins, **logins}), ())


LABELS = {"g1": "Favourites", "g2": "Suppliers"}


def login(name: str, tenant: str, base: Dn, book: str, secret: str = "") -> PhoneAccess:
    dn = phone_dn(name, base)
    viewer = Viewer(str(dn), (Access(tenant, (book,)),))
    return PhoneAccess(name, hash_password(PASSWORD, bytes), viewer, secret and hash_password(secret, bytes))


def basic(name: str = "pbx", password: str = PASSWORD) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def bearer(name: str = "pbx", password: str = PASSWORD) -> dict[str, str]:
    return {"Authorization": f"Bearer {name}.{password}"}


class Pbx:
    """A PBX on one connection from the loopback, where a login may come in clear."""

    def __init__(self, stage: Stage, peer: str = "127.0.0.1") -> None:
        self.clock = stage.clock
        self.connection = Connection(stage.site(), peer)

    def ask(self, headers: dict[str, str], tenant: str = "acme", number: str = "0301234567") -> bytes:
        """Return the immediate answer to a question for a caller."""
        return self.get(f"/{tenant}/caller?number={number}", headers)

    def get(self, path: str, headers: dict[str, str]) -> bytes:
        return self.connection.ask("GET", path, headers)

    def wait(self, seconds: float) -> bytes:
        """Return the octets that come in that time."""
        self.connection.transport.clear()
        self.clock.advance(seconds)
        answer: bytes = self.connection.transport.value()
        return answer
