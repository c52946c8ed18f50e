# SPDX-License-Identifier: MIT
"""Made-up people, always the same: as Google's People API has them, and as LDIF for other servers.

Person number i depends only on i, so that a book of a thousand people is the beginning of every larger one.  No two
people have the same number.
"""

from __future__ import annotations

import base64
import random
import tomllib
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# The names of ten languages, and the titles and trades of companies.
NAMES = Path(__file__).with_name("languages.toml")
# People API's type of a number, and the attribute of RFC 4519 and 4524.
KINDS = (("work", "telephoneNumber"), ("mobile", "mobile"), ("home", "homePhone"), ("workMobile", "mobile"))
_NAMES: Mapping[str, Any] = tomllib.loads(NAMES.read_text(encoding="utf-8"))
_LANGUAGES: list[Mapping[str, Any]] = _NAMES["language"]
_SHARES = tuple(language["share"] for language in _LANGUAGES)
_LETTERS = str.maketrans({"ß": "ss", "ø": "o", "ł": "l", "ı": "i", "Ł": "L", "Ø": "O"})


@dataclass(frozen=True, slots=True)
class Person:
    """A made-up person.

    :ivar phones: the index of the kind in `KINDS`, and the number in E.164.
    """

    uid: str
    given: str
    family: str
    phones: tuple[tuple[int, str], ...]
    organization: str
    title: str
    mails: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.given} {self.family}"


def person(number: int) -> Person:
    """Return the person with a number, from 0."""
    choice = random.Random(f"1/{number}")
    [language] = choice.choices(_LANGUAGES, _SHARES)
    given, family = choice.choice(language["given"]), _family(choice, language)
    if choice.random() < 0.12:
        given += " " + choice.choice(language["given"])
    if choice.random() < 0.10:
        family += "-" + _family(choice, language)
    phones = tuple(_phones(choice, language, number))
    organization = ""
    if choice.random() < 0.8:
        organization = f"{choice.choice(_NAMES['trades'])} {_family(choice, language)} {language['company']}"
    title = choice.choice(_NAMES["titles"]) if organization and choice.random() < 0.7 else ""
    mails = []
    if choice.random() < 0.85:
        mails.append(f"{_ascii(given)}.{_ascii(family)}{number}@{_ascii(organization or 'mail')[:18]}.example")
    if mails and choice.random() < 0.2:
        mails.append(f"{_ascii(family)}{number}@post.example")
    # The ids are spread like Google's, which are no running numbers either.
    uid = f"c{(number * 2654435761 + 1) % (1 << 62):019d}"
    return Person(uid, given, family, phones, organization, title, tuple(mails))


def _family(choice: random.Random, language: Mapping[str, Any]) -> str:
    stem: str = choice.choice(language["stems"])
    return stem + str(choice.choice(language["endings"]))


def _phones(choice: random.Random, language: Mapping[str, Any], number: int) -> Iterator[tuple[int, str]]:
    [count] = choice.choices((1, 2, 3, 4), (40, 35, 20, 5))
    for kind in sorted(choice.sample(range(len(KINDS)), count)):
        mobile, work_mobile, city = choice.randrange(10), choice.randrange(10), choice.randrange(20, 99)
        area = {1: f"15{mobile}", 3: f"17{work_mobile}"}.get(kind, str(city))
        yield kind, f"+{language['country']}{area}{(number * 4 + kind + 7919) % 100_000_000:08d}"


def _ascii(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.translate(_LETTERS)).lower()
    return "".join(sign for sign in decomposed if sign.isascii() and sign.isalnum()) or "x"


def entered(one: Person) -> dict[str, Any]:
    """Return the fields of the People API that somebody has entered for the person."""
    return {
        "names": [{"givenName": one.given, "familyName": one.family, "displayName": one.name}],
        "phoneNumbers": [
            {"value": number, "canonicalForm": number, "type": KINDS[kind][0]} for kind, number in one.phones
        ],
    }


def resource(one: Person) -> dict[str, Any]:
    """Return the ``person`` resource of the People API."""
    source = {"type": "CONTACT", "id": one.uid[1:]}
    kinds = ((KINDS[kind][0], number) for kind, number in one.phones)
    titled = {"title": one.title} if one.title else {}
    group = {"contactGroupId": "myContacts", "contactGroupResourceName": "contactGroups/myContacts"}
    names = {"displayName": one.name, "familyName": one.family, "givenName": one.given, "unstructuredName": one.name}
    fields: dict[str, list[dict[str, Any]]] = {
        "names": [{**names, "displayNameLastFirst": f"{one.family}, {one.given}"}],
        "phoneNumbers": [
            {"value": number, "canonicalForm": number, "type": kind, "formattedType": kind.title()}
            for kind, number in kinds
        ],
        "memberships": [{"contactGroupMembership": group}],
        "organizations": [{"name": one.organization, **titled}] if one.organization else [],
        "emailAddresses": [{"value": mail, "type": "work"} for mail in one.mails],
    }
    updated = {**source, "etag": "#" + one.uid[-8:], "updateTime": "2026-01-01T00:00:00Z"}
    return {
        "resourceName": f"people/{one.uid}",
        "etag": "%EgUBAj03LhoEAQIFByIM" + base64.b64encode(one.uid[-6:].encode()).decode(),
        "metadata": {"sources": [updated], "objectType": "PERSON"},
        # The first value of each field is the primary one.
        **{
            name: [
                {"metadata": {**({} if at else {"primary": True}), "source": source}, **value}
                for at, value in enumerate(values)
            ]
            for name, values in fields.items()
            if values
        },
    }


def _attributes(one: Person) -> Iterator[tuple[str, str]]:
    """Yield the attributes of an inetOrgPerson, as our directory has them."""
    yield from (("objectClass", name) for name in ("top", "person", "organizationalPerson", "inetOrgPerson"))
    yield from (("uid", one.uid), ("cn", one.name), ("sn", one.family), ("givenName", one.given))
    yield "displayName", one.name
    numbers = [(KINDS[kind][1], number) for kind, number in one.phones]
    yield from numbers
    if all(name != "telephoneNumber" for name, _ in numbers):
        # Many phones ask for (telephoneNumber=*): nobody goes without.
        yield "telephoneNumber", numbers[0][1]
    yield from (("mail", mail) for mail in one.mails)
    if one.organization:
        yield "o", one.organization
    if one.title:
        yield "title", one.title


def ldif(people: Iterable[Person], base: str, book: str, phone: str, secret: str) -> Iterator[str]:
    """Yield a directory like a tenant's, as LDIF: the book of an account, and a phone's login.

    :param base: the DN of the tenant, ``dc=…``.
    """
    organization = base.partition(",")[0].removeprefix("dc=")
    yield f"dn: {base}\nobjectClass: dcObject\nobjectClass: organization\ndc: {organization}\no: {organization}\n\n"
    yield f"dn: ou=phones,{base}\nobjectClass: organizationalUnit\nou: phones\n\n"
    yield (
        f"dn: cn={phone},ou=phones,{base}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\n"
        f"cn: {phone}\nuserPassword: {secret}\n\n"
    )
    yield f"dn: ou={book},{base}\nobjectClass: organizationalUnit\nou: {book}\n\n"
    for one in people:
        lines = (_line(*attribute) for attribute in _attributes(one))
        yield f"dn: uid={one.uid},ou={book},{base}\n" + "".join(lines) + "\n"


def _line(name: str, value: str) -> str:
    """Return a line; a value that is not plain ASCII is written in base 64 (RFC 2849)."""
    if value.isascii() and value.isprintable() and value[:1] not in " :<" and not value.endswith(" "):
        return f"{name}: {value}\n"
    return f"{name}:: {base64.b64encode(value.encode()).decode()}\n"
