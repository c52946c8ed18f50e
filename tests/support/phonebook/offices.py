# SPDX-License-Identifier: MIT
"""Invented offices, and a plain reckoning of what each phone in them may ever see.

An office is dictionaries and lists that say who has which contacts and who shares what.  `may_see` is worked out of
these alone, by the contract's sentences and by nothing of the directory: that is what makes it worth comparing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from random import Random

from ldapgw.contact import Contact, Kind, Phone, Sharing
from ldapgw.directory.access import Access, Viewer
from ldapgw.directory.book import DIRECTORY, build_book, with_sharing
from ldapgw.directory.dit import Directory, Dit
from ldapgw.directory.dn import Dn
from ldapgw.directory.naming_context import NamingContext
from ldapgw.ldap.encoder import features
from ldapgw.numbers import phone_number
from ldapgw.numbers.phone_number import NumberFormat

GIVEN = ("Anna", "Bernd", "Chiara", "Dörte", "Emil", "Иван")
FAMILY = ("Adler", "Brandt", "Müller", "O'Neill", "van Dam", "Петров")
COMPANIES = ("", "Adler AG", "Brandt + Sons, Inc.")
LABELS = ("Customers", "VIP", "directory", "phones", 'odd, "one"')
KINDS = (Kind.WORK, Kind.MOBILE, Kind.HOME, Kind.FAX)
ATTRIBUTE_OF = {
    Kind.WORK: "telephoneNumber",
    Kind.MOBILE: "mobile",
    Kind.HOME: "homePhone",
    Kind.FAX: "facsimileTelephoneNumber",
}
SALES, GONE = Sharing("group:sales"), Sharing("group:gone")
# By tenant, the names of the books of those in sales; nobody is in the group that is gone.
MEMBERS = {tenant: frozenset(f"user{at}@{tenant}.example" for at in (0, 2)) for tenant in ("acme", "beta")}
CLASSES = ("top", "person", "organizationalPerson", "inetOrgPerson")
OPERATIONAL = frozenset(
    ("structuralObjectClass", "subschemaSubentry", "hasSubordinates", "entryUUID", "createTimestamp", "modifyTimestamp")
)

Key = tuple[frozenset[tuple[str, str]], ...]
Attributes = dict[str, frozenset[str]]


@dataclass(frozen=True)
class Person:
    """A contact of somebody's; numbers are E.164, German ones."""

    uid: str
    given: str
    family: str
    company: str
    numbers: tuple[tuple[Kind, str], ...]
    mails: tuple[str, ...]
    labels: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.given} {self.family}"


@dataclass(frozen=True)
class OfficeBook:
    """An account's contacts, or the Workspace directory's."""

    tenant: str
    key: str
    name: str
    sharing: Sharing
    persons: tuple[Person, ...]
    shared_label: str = ""

    @property
    def labels(self) -> tuple[str, ...]:
        return () if self.key == DIRECTORY else LABELS[:3]


@dataclass(frozen=True)
class Desk:
    """A phone, or somebody without a login: `tenants` are those that it may search, each with its own book's key."""

    name: str
    tenants: tuple[tuple[str, str], ...]
    per_number: bool = False

    @property
    def viewer(self) -> Viewer:
        access = tuple(Access(tenant, (key,)) for tenant, key in self.tenants)
        return Viewer(self.name and f"cn={self.name},ou=phones", access, per_number=self.per_number)


@dataclass(frozen=True)
class Office:
    """Everything on one gateway.

    :ivar lenient: by tenant.
    """

    lenient: dict[str, bool]
    books: tuple[OfficeBook, ...]
    desks: tuple[Desk, ...]


def base_of(tenant: str) -> str:
    return f"dc={tenant},dc=example"


# --- inventing --------------------------------------------------------------------------------------------------------


@cache
def office(seed: int) -> Office:
    """An office of two tenants; the same for the same seed."""
    dice = Random(seed)
    lenient = {"acme": dice.random() < 0.8, "beta": dice.random() < 0.5}
    pool = [_numbers(dice) for _ in range(8)]
    books = []
    for tenant in lenient:
        for at in range(dice.randint(2, 4)):
            # One Google user may have an account in each tenant: the key is the same.
            sharing = dice.choice(
                (Sharing.PRIVATE, Sharing.PRIVATE, Sharing.CALLERS, Sharing.SHARED, SALES, SALES, GONE)
            )
            persons = tuple(_person(dice, uid, pool) for uid in range(dice.randint(0, 6)))
            label = dice.choice(("", "", LABELS[0], "NO LABEL"))
            books.append(OfficeBook(tenant, f"sub{at}", f"user{at}@{tenant}.example", sharing, persons, label))
        if dice.random() < 0.5:
            colleagues = tuple(_person(dice, uid, pool) for uid in range(3))
            books.append(OfficeBook(tenant, DIRECTORY, DIRECTORY, Sharing.SHARED, colleagues))
    owners = [(book.tenant, book.key) for book in books if book.key != DIRECTORY]
    desks = [Desk(f"desk{at}", (owner,), dice.random() < 0.3) for at, owner in enumerate(owners)]
    desks += [Desk(f"hall-{tenant}", ((tenant, ""),), dice.random() < 0.3) for tenant in lenient]
    desks += [Desk("", (("acme", ""),)), Desk("", (("acme", ""), ("beta", ""))), Desk("", ())]
    return Office(lenient, tuple(books), tuple(desks))


def _numbers(dice: Random) -> tuple[tuple[Kind, str], ...]:
    count = dice.choice((0, 1, 1, 2, 3))
    return tuple((dice.choice(KINDS), f"+4930{dice.randint(2000000, 2000020)}") for _ in range(count))


def _person(dice: Random, uid: int, pool: list[tuple[tuple[Kind, str], ...]]) -> Person:
    family = dice.choice(FAMILY)
    return Person(
        f"c{uid}",
        dice.choice(GIVEN),
        family,
        dice.choice(COMPANIES),
        dice.choice(pool),
        (f"m{dice.randint(1, 99)}@mail.example",)[: dice.randint(0, 1)],
        tuple(label for label in LABELS[:3] if dice.random() < 0.3),
    )


# --- building ---------------------------------------------------------------------------------------------------------


def build(place: Office) -> Dit:
    """The directory that serves an office."""
    directories = []
    for tenant, lenient in place.lenient.items():
        base = Dn.parse(base_of(tenant))
        context = NamingContext(
            tenant, tenant.title(), base, "DE", "0", NumberFormat.E164, lenient, groups={"sales": MEMBERS[tenant]}
        )
        books = tuple(
            with_sharing(
                build_book(
                    context,
                    book.key,
                    book.name,
                    book.sharing,
                    map(_contact, book.persons),
                    {f"contactGroups/{label}": label for label in book.labels},
                    per_number=True,
                ),
                book.sharing,
                book.shared_label,
            )
            for book in place.books
            if book.tenant == tenant
        )
        directories.append(Directory(context, books))
    return Dit(tuple(directories), features(tls=False))


def _contact(person: Person) -> Contact:
    read = ((kind, phone_number.parse(text, "DE")) for kind, text in person.numbers)
    return Contact(
        uid=person.uid,
        name=person.name,
        given_name=person.given,
        family_name=person.family,
        organization=person.company,
        phones=tuple(Phone(kind, one) for kind, one in read if one),
        emails=person.mails,
        labels=tuple(f"contactGroups/{label}" for label in person.labels),
        updated=1_700_000_000.0,
    )


# --- reckoning --------------------------------------------------------------------------------------------------------


def seen_wholly(place: Office, desk: Desk) -> Iterator[OfficeBook]:
    """A phone sees its account's book, the tenant's shared books, the directory, and what its account's group sees."""
    return (book for book, is_own in _seen(place, desk) if is_own or not book.shared_label)


def seen_by_label(place: Office, desk: Desk) -> Iterator[OfficeBook]:
    """Of a book with a shared label, others see the contacts with this label, below its entry."""
    for book, is_own in _seen(place, desk):
        if book.shared_label in book.labels and not is_own:
            yield _with_label_alone(book)


def _with_label_alone(book: OfficeBook) -> OfficeBook:
    return replace(book, persons=tuple(person for person in book.persons if book.shared_label in person.labels))


def _seen(place: Office, desk: Desk) -> Iterator[tuple[OfficeBook, bool]]:
    """The books that a phone sees in whole or in part, and whether it is the phone's own."""
    for tenant, own in desk.tenants:
        names = {book.name for book in place.books if book.tenant == tenant and book.key == own != ""}
        seen_by_others = {Sharing.SHARED, *([SALES] if names & MEMBERS[tenant] else [])}
        for book in place.books:
            if book.tenant == tenant and (book.name in names or book.sharing in seen_by_others):
                yield book, book.name in names


def told_of_callers(place: Office, desk: Desk) -> Iterator[OfficeBook]:
    """A callers book answers other accounts' phones with names behind numbers."""
    for tenant, own in desk.tenants:
        for book in place.books:
            if book.tenant == tenant and book.sharing is Sharing.CALLERS and book.key != own:
                if not book.shared_label:
                    yield book
                elif book.shared_label in book.labels:
                    yield _with_label_alone(book)


def may_see(place: Office, desk: Desk) -> dict[Key, Attributes]:
    """Every entry that a phone may ever be shown, by its name, with all that it may be shown of it."""
    seen: dict[Key, Attributes] = {}
    for tenant, _ in desk.tenants:
        top = {"objectClass": frozenset(("top", "organization", "dcObject")), "o": frozenset((tenant.title(),))}
        seen[key_of(base_of(tenant))] = {**top, "dc": frozenset((tenant,))}
    for book in seen_wholly(place, desk):
        unit = Dn.parse(base_of(book.tenant)).child("ou", book.name)
        seen[unit.key] = _unit(book.name)
        for label in book.labels:
            seen[unit.child("ou", label).key] = _unit(label)
        for person in book.persons:
            for above in (unit, *(unit.child("ou", label) for label in person.labels)):
                for entry in _forms(person):
                    [uid] = entry["uid"]
                    seen[above.child("uid", uid).key] = entry
    for book in seen_by_label(place, desk):
        unit = Dn.parse(base_of(book.tenant)).child("ou", book.name)
        label = unit.child("ou", book.shared_label)
        seen |= {unit.key: _unit(book.name), label.key: _unit(book.shared_label)}
        for entry in (entry for person in book.persons for entry in _forms(person)):
            [uid] = entry["uid"]
            seen[label.child("uid", uid).key] = entry
    return seen


def callers(place: Office, desk: Desk) -> dict[Key, Attributes]:
    """The entries that may be shown to somebody who names their number: the name, and the numbers to be named."""
    seen: dict[Key, Attributes] = {}
    for book in told_of_callers(place, desk):
        for person in book.persons:
            held = _numbers_of(person)
            for kind, text in {(kind, text) for kind, texts in held.items() for text in texts}:
                rdn = (("cn", person.name), (kind.lower(), text))
                name = Dn((rdn, *Dn.parse(base_of(book.tenant)).rdns)).key
                entry = {name: frozenset((person.name,)) for name in ("cn", "displayName")}
                # Two books may have somebody of that name with that number, filed as another kind or beside others.
                for attribute, texts in (entry | {"sn": frozenset((person.family,))} | held).items():
                    merged = seen.setdefault(name, {})
                    merged[attribute] = merged.get(attribute, frozenset()) | texts
                seen[name]["objectClass"] = frozenset()
    return seen


def without_the_rest(place: Office, desk: Desk) -> Office:
    """The office as if nothing were in it that the phone may not see."""
    whole = {(book.tenant, book.key) for book in seen_wholly(place, desk)}
    parts = {(book.tenant, book.key): book for book in seen_by_label(place, desk)}
    told = {(book.tenant, book.key): book for book in told_of_callers(place, desk)}
    kept = []
    for book in place.books:
        if (book.tenant, book.key) in whole:
            kept.append(book)
        elif (book.tenant, book.key) in parts:
            kept.append(parts[book.tenant, book.key])
        elif (book.tenant, book.key) in told:
            book = replace(told[book.tenant, book.key], shared_label="")
            bare = (replace(person, company="", mails=(), labels=()) for person in book.persons)
            kept.append(replace(book, persons=tuple(person for person in bare if person.numbers)))
    return replace(place, books=tuple(kept))


def key_of(dn: str) -> Key:
    """A name in the form that all its writings share."""
    return Dn.parse(dn).key


def _unit(name: str) -> Attributes:
    return {"objectClass": frozenset(("top", "organizationalUnit")), "ou": frozenset((name,))}


def _forms(person: Person) -> Iterator[Attributes]:
    """The contact as one entry, and as one for each of its numbers."""
    texts = {
        "objectClass": frozenset(CLASSES),
        "givenName": frozenset((person.given,)),
        "sn": frozenset((person.family,)),
        "initials": frozenset((f"{person.given[0]}.",)),
        "o": frozenset(filter(None, (person.company,))),
        "mail": frozenset(person.mails),
    }
    name = frozenset((person.name,))
    yield texts | _numbers_of(person) | {"uid": frozenset((person.uid,)), "cn": name, "displayName": name}
    kinds: dict[str, str] = {}
    for kind, text in person.numbers:
        kinds.setdefault(text, kind.value)
    for at, (text, kind) in enumerate(kinds.items(), 1):
        shown = frozenset((f"{person.name} ({kind})",))
        single = {"uid": frozenset((f"{person.uid}-{at}",)), "cn": shown, "displayName": shown}
        yield texts | single | {"telephoneNumber": frozenset((text,))}


def _numbers_of(person: Person) -> Attributes:
    """By attribute; with none for work, the best of all others stands in telephoneNumber too."""
    held: dict[str, frozenset[str]] = {}
    for kind, text in person.numbers:
        held[ATTRIBUTE_OF[kind]] = held.get(ATTRIBUTE_OF[kind], frozenset()) | {text}
    if person.numbers and "telephoneNumber" not in held:
        best = next((text for kind, text in person.numbers if kind is not Kind.FAX), person.numbers[0][1])
        held["telephoneNumber"] = frozenset((best,))
    return held
