# SPDX-License-Identifier: MIT
"""Invented persons: composed from hand-written name lists by a seed, the same ones each time.

Every number is of a range that its country keeps for films and books where it keeps one (Bundesnetzagentur's drama
numbers, Ofcom's, ARCEP's, PTS's, 555-01xx in North America), and looks like one elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, TypeVar

from ldapgw.google.sandbox.world import MY_CONTACTS, membership

_T = TypeVar("_T")
# Latin letters that do not fall apart into a base letter and an accent.
_PLAIN = str.maketrans(
    {"ß": "ss", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "ı": "i", "đ": "d", "Đ": "D", "œ": "oe", "æ": "ae"}
)


class SeededRandom:
    """Choices that look random and depend on a seed alone."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._draws = 0

    def below(self, limit: int) -> int:
        """A whole number from 0 to below the limit."""
        self._draws += 1
        return int.from_bytes(hashlib.sha256(f"{self._seed}/{self._draws}".encode()).digest()[:8]) % limit

    def pick(self, options: Sequence[_T]) -> _T:
        """One of the options."""
        return options[self.below(len(options))]

    def chance(self, percent: int) -> bool:
        """True in so many of a hundred cases."""
        return self.below(100) < percent


@dataclass(frozen=True, slots=True)
class NameForms:
    """A name as it is written, in Latin letters, and as it is read; in the lists ``native|latin|reading``."""

    native: str
    latin: str
    reading: str

    @classmethod
    def read(cls, text: str) -> NameForms:
        """Of the lists' form; the Latin writing may be left out where it is the native one."""
        native, latin, reading = (*text.split("|"), "", "")[:3]
        return cls(native, latin or native, reading)


class PersonGenerator:
    """Invents persons; no two of one crowd have the same number."""

    def __init__(self, seed: str) -> None:
        self._dice = SeededRandom(seed)
        self._cultures: list[dict[str, Any]] = read_data("cultures.json")
        self._used: dict[str, int] = {}

    def invent(self, count: int, labels: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Persons of all cultures, by their weights, well mixed.

        :param labels: resource names of groups; business contacts may be in the first two, private ones in the last.
        """
        for culture in self._mixed(count):
            yield self._person(culture, labels)

    def _mixed(self, count: int) -> list[dict[str, Any]]:
        """So many cultures that each has its share; the rarest is there as soon as there is room for it."""
        total = sum(culture["weight"] for culture in self._cultures)
        shares = [(culture, culture["weight"] * count / total) for culture in self._cultures]
        chosen = [culture for culture, share in shares for _ in range(int(share))]
        rest = sorted(shares, key=lambda pair: int(pair[1]) - pair[1])
        chosen += [culture for culture, _ in rest[: count - len(chosen)]]
        return sorted(chosen, key=lambda _: self._dice.below(1 << 32))

    def _person(self, culture: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Any]:
        throw = self._dice.below(100)
        if throw < 4:
            return {"phoneNumbers": [self._number(culture, "fixed", "")]}
        if throw < 10:
            return self._company(culture, labels)
        given, family = self._pair(culture)
        person: dict[str, Any] = {"names": [_name(culture, given, family)]}
        latin = f"{plain(given.latin)}.{plain(family.latin)}"
        if throw < 65:
            self._at_work(person, culture, latin, labels)
        else:
            self._at_home(person, culture, latin, labels, mobile_only=throw < 75)
        return person

    def _pair(self, culture: Mapping[str, Any]) -> tuple[NameForms, NameForms]:
        """Given and family name; where they agree in gender, the lists alternate."""
        at = self._dice.below(len(culture["given"]))
        families = culture["family"][at % 2 :: 2] if culture.get("gendered") else culture["family"]
        return NameForms.read(culture["given"][at]), NameForms.read(self._dice.pick(families))

    def _company(self, culture: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Any]:
        company = NameForms.read(self._dice.pick(culture["companies"]))
        return {
            "organizations": [{"name": company.native}],
            "phoneNumbers": [self._number(culture, "fixed", "main")],
            "emailAddresses": [{"value": f"info@{plain(company.latin)}.example", "type": "work"}],
            "memberships": memberships(self._dice.pick(labels[:2]) if labels else ""),
        }

    def _at_work(self, person: dict[str, Any], culture: Mapping[str, Any], latin: str, labels: Sequence[str]) -> None:
        company = NameForms.read(self._dice.pick(culture["companies"]))
        organization = {"name": company.native, "title": self._dice.pick(culture["titles"]), "type": "work"}
        if self._dice.chance(25):
            organization["department"] = self._dice.pick(culture["departments"])
        person["organizations"] = [organization]
        person["phoneNumbers"] = [self._number(culture, "fixed", "work")]
        if self._dice.chance(55):
            person["phoneNumbers"].append(self._number(culture, "mobile", "mobile"))
        if self._dice.chance(10):
            person["phoneNumbers"].append(self._number(culture, "fixed", "workFax"))
        if self._dice.chance(70):
            person["emailAddresses"] = [{"value": f"{latin}@{plain(company.latin)}.example", "type": "work"}]
        if self._dice.chance(30):
            person["addresses"] = [self._address(culture)]
        person["memberships"] = memberships(self._dice.pick(labels[:2]) if labels and self._dice.chance(60) else "")

    def _at_home(
        self,
        person: dict[str, Any],
        culture: Mapping[str, Any],
        latin: str,
        labels: Sequence[str],
        *,
        mobile_only: bool,
    ) -> None:
        person["phoneNumbers"] = [self._number(culture, "mobile", "mobile")]
        if not mobile_only:
            person["phoneNumbers"].append(self._number(culture, "fixed", "home"))
            if self._dice.chance(50):
                person["emailAddresses"] = [{"value": f"{latin}@mail.example", "type": "home"}]
        person["memberships"] = memberships(labels[-1] if labels and self._dice.chance(20) else "")

    def _address(self, culture: Mapping[str, Any]) -> dict[str, Any]:
        postal_code, city = self._dice.pick(culture["cities"]).split("|")
        street = f"{self._dice.pick(culture['streets'])} {1 + self._dice.below(120)}"
        return address(street, postal_code, city, culture["country"])

    def _number(self, culture: Mapping[str, Any], kind: str, what: str) -> dict[str, str]:
        """The next number of a range, in one of the writings that people use for it."""
        pattern = self._dice.pick(culture[kind])
        canonical, *writings = pattern.split("|")
        room: int = 10 ** canonical.count("#")
        # 7 has no factor in common with a power of ten: all numbers of a range come before one comes again.
        used = self._used[pattern] = self._used.get(pattern, 0) + 1
        digits = str(used * 7 % room).zfill(canonical.count("#"))
        number = {"value": _filled(self._dice.pick(writings), digits), "canonicalForm": _filled(canonical, digits)}
        number["canonicalForm"] = number["canonicalForm"].replace(" ", "")
        return number | ({"type": what} if what else {})


def memberships(*labels: str) -> list[dict[str, Any]]:
    """In "My contacts" and, where it has a label, there."""
    return [membership(group) for group in (MY_CONTACTS, *filter(None, labels))]


def address(street: str, postal_code: str, city: str, country_code: str) -> dict[str, Any]:
    """A postal address with its formatted value."""
    formatted = f"{street}\n{postal_code} {city}\n{country_code}"
    parts = {"streetAddress": street, "postalCode": postal_code, "city": city, "countryCode": country_code}
    return {"formattedValue": formatted, "type": "work", **parts}


def read_data(name: str) -> Any:
    """One of the hand-written lists beside this module."""
    return json.loads(resources.files(__package__).joinpath("data", name).read_text("utf-8"))


def _name(culture: Mapping[str, Any], given: NameForms, family: NameForms) -> dict[str, str]:
    order: str = culture["order"]
    shown = order.replace("given", given.native).replace("family", family.native)
    name = {"givenName": given.native, "familyName": family.native, "displayName": shown}
    if given.reading:
        name |= {"phoneticGivenName": given.reading, "phoneticFamilyName": family.reading}
        name["phoneticFullName"] = f"{family.reading} {given.reading}"
    return name


def plain(text: str) -> str:
    """Lower-case ASCII letters and digits, as the left or the right side of an address has them."""
    decomposed = unicodedata.normalize("NFKD", text.translate(_PLAIN))
    return "".join(sign for sign in decomposed.lower() if sign.isascii() and sign.isalnum())


def _filled(pattern: str, digits: str) -> str:
    left = iter(digits)
    return "".join(next(left) if sign == "#" else sign for sign in pattern)
