# SPDX-License-Identifier: MIT
"""Invented persons, generated from hand-written lists of names; the same seed gives the same persons.

The numbers come from the ranges that countries reserve for films and books (drama numbers of Bundesnetzagentur, Ofcom,
ARCEP and PTS, 555-01xx in North America).  In countries without such a range, the numbers only look like real numbers.
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
# Latin letters that Unicode does not decompose into a base letter and an accent.
_PLAIN = str.maketrans(
    {"ß": "ss", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "ı": "i", "đ": "d", "Đ": "D", "œ": "oe", "æ": "ae"}
)


class SeededRandom:
    """A pseudo-random generator whose numbers depend on the seed only."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._draws = 0

    def below(self, limit: int) -> int:
        """Return an integer from 0 to ``limit - 1``."""
        self._draws += 1
        return int.from_bytes(hashlib.sha256(f"{self._seed}/{self._draws}".encode()).digest()[:8]) % limit

    def pick(self, options: Sequence[_T]) -> _T:
        return options[self.below(len(options))]

    def chance(self, percent: int) -> bool:
        """Return True with a probability in percent."""
        return self.below(100) < percent


@dataclass(frozen=True, slots=True)
class NameForms:
    """A name in native script, in Latin letters, and in a phonetic script (``native|latin|reading`` in the lists)."""

    native: str
    latin: str
    reading: str

    @classmethod
    def read(cls, text: str) -> NameForms:
        """Parse a name of the lists; a missing Latin form is the same as the native form."""
        native, latin, reading = (*text.split("|"), "", "")[:3]
        return cls(native, latin or native, reading)


class PersonGenerator:
    """A generator of persons with different numbers."""

    def __init__(self, seed: str) -> None:
        self._random = SeededRandom(seed)
        self._cultures: list[dict[str, Any]] = read_data("cultures.json")
        self._used: dict[str, int] = {}

    def invent(self, count: int, labels: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Invent persons of all cultures in random order, in proportion to the weights of the cultures.

        :param labels: resource names of groups: the first two for business contacts, the last for private contacts.
        """
        for culture in self._mixed(count):
            yield self._person(culture, labels)

    def _mixed(self, count: int) -> list[dict[str, Any]]:
        """Return a culture for each person in random order, in proportion to the weights of the cultures.

        The numbers of persons are rounded by the method of the largest remainders.
        """
        total = sum(culture["weight"] for culture in self._cultures)
        shares = [(culture, culture["weight"] * count / total) for culture in self._cultures]
        chosen = [culture for culture, share in shares for _ in range(int(share))]
        by_remainder = sorted(shares, key=lambda pair: int(pair[1]) - pair[1])
        chosen += [culture for culture, _ in by_remainder[: count - len(chosen)]]
        return sorted(chosen, key=lambda _: self._random.below(1 << 32))

    def _person(self, culture: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Any]:
        percentile = self._random.below(100)
        if percentile < 4:
            return {"phoneNumbers": [self._number(culture, "fixed", "")]}
        if percentile < 10:
            return self._company(culture, labels)
        given, family = self._pair(culture)
        person: dict[str, Any] = {"names": [_name(culture, given, family)]}
        latin = f"{plain(given.latin)}.{plain(family.latin)}"
        if percentile < 65:
            self._at_work(person, culture, latin, labels)
        else:
            self._at_home(person, culture, latin, labels, mobile_only=percentile < 75)
        return person

    def _pair(self, culture: Mapping[str, Any]) -> tuple[NameForms, NameForms]:
        """Return a given name and a family name.

        In a culture whose family names have a gender, both lists alternate between the genders, and both names have the
        same gender.
        """
        index = self._random.below(len(culture["given"]))
        families = culture["family"][index % 2 :: 2] if culture.get("gendered") else culture["family"]
        return NameForms.read(culture["given"][index]), NameForms.read(self._random.pick(families))

    def _company(self, culture: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Any]:
        company = NameForms.read(self._random.pick(culture["companies"]))
        return {
            "organizations": [{"name": company.native}],
            "phoneNumbers": [self._number(culture, "fixed", "main")],
            "emailAddresses": [{"value": f"info@{plain(company.latin)}.example", "type": "work"}],
            "memberships": memberships(self._random.pick(labels[:2]) if labels else ""),
        }

    def _at_work(self, person: dict[str, Any], culture: Mapping[str, Any], latin: str, labels: Sequence[str]) -> None:
        company = NameForms.read(self._random.pick(culture["companies"]))
        organization = {"name": company.native, "title": self._random.pick(culture["titles"]), "type": "work"}
        if self._random.chance(25):
            organization["department"] = self._random.pick(culture["departments"])
        person["organizations"] = [organization]
        person["phoneNumbers"] = [self._number(culture, "fixed", "work")]
        if self._random.chance(55):
            person["phoneNumbers"].append(self._number(culture, "mobile", "mobile"))
        if self._random.chance(10):
            person["phoneNumbers"].append(self._number(culture, "fixed", "workFax"))
        if self._random.chance(70):
            person["emailAddresses"] = [{"value": f"{latin}@{plain(company.latin)}.example", "type": "work"}]
        if self._random.chance(30):
            person["addresses"] = [self._address(culture)]
        person["memberships"] = memberships(self._random.pick(labels[:2]) if labels and self._random.chance(60) else "")

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
            if self._random.chance(50):
                person["emailAddresses"] = [{"value": f"{latin}@mail.example", "type": "home"}]
        person["memberships"] = memberships(labels[-1] if labels and self._random.chance(20) else "")

    def _address(self, culture: Mapping[str, Any]) -> dict[str, Any]:
        postal_code, city = self._random.pick(culture["cities"]).split("|")
        street = f"{self._random.pick(culture['streets'])} {1 + self._random.below(120)}"
        return postal_address(street, postal_code, city, culture["country"])

    def _number(self, culture: Mapping[str, Any], kind: str, number_type: str) -> dict[str, str]:
        """Return the next number of a range, in one of the usual spellings."""
        pattern = self._random.pick(culture[kind])
        canonical, *spellings = pattern.split("|")
        capacity: int = 10 ** canonical.count("#")
        # 7 and a power of ten have no common factor, so each number of a range is used before a number is repeated.
        count = self._used[pattern] = self._used.get(pattern, 0) + 1
        digits = str(count * 7 % capacity).zfill(canonical.count("#"))
        number = {"value": _filled(self._random.pick(spellings), digits), "canonicalForm": _filled(canonical, digits)}
        number["canonicalForm"] = number["canonicalForm"].replace(" ", "")
        return number | ({"type": number_type} if number_type else {})


def memberships(*labels: str) -> list[dict[str, Any]]:
    """Return the memberships in "My contacts" and in the given labels, if any."""
    return [membership(group) for group in (MY_CONTACTS, *filter(None, labels))]


def postal_address(street: str, postal_code: str, city: str, country_code: str) -> dict[str, Any]:
    """Return a postal address with its formatted value."""
    formatted = f"{street}\n{postal_code} {city}\n{country_code}"
    parts = {"streetAddress": street, "postalCode": postal_code, "city": city, "countryCode": country_code}
    return {"formattedValue": formatted, "type": "work", **parts}


def read_data(name: str) -> Any:
    """Read a file of hand-written lists in ``data/``."""
    return json.loads(resources.files(__package__).joinpath("data", name).read_text("utf-8"))


def _name(culture: Mapping[str, Any], given: NameForms, family: NameForms) -> dict[str, str]:
    order: str = culture["order"]
    display_name = order.replace("given", given.native).replace("family", family.native)
    name = {"givenName": given.native, "familyName": family.native, "displayName": display_name}
    if given.reading:
        name |= {"phoneticGivenName": given.reading, "phoneticFamilyName": family.reading}
        name["phoneticFullName"] = f"{family.reading} {given.reading}"
    return name


def plain(text: str) -> str:
    """Reduce a text to lower-case ASCII letters and digits, for a part of an e-mail address."""
    decomposed = unicodedata.normalize("NFKD", text.translate(_PLAIN))
    return "".join(char for char in decomposed.lower() if char.isascii() and char.isalnum())


def _filled(pattern: str, digits: str) -> str:
    remaining = iter(digits)
    return "".join(next(remaining) if char == "#" else char for char in pattern)
