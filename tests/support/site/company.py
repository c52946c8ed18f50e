# SPDX-License-Identifier: MIT
"""A company's address books as people edit them, and what phones should find: written down a second time, by hand.

The books change at the sandbox Google and here together; `expected` is worked out from what was typed, not from
anything that the gateway or the sandbox made of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from ldapgw.google.sandbox.world import World, membership
from tests.support.google_changes import delete_label

CONTACTS, OTHERS, COLLEAGUES = "contacts", "other_contacts", "directory"
ATTRIBUTES = ("uid", "cn", "displayName", "givenName", "sn", "o", "mail", "telephoneNumber", "mobile", "homePhone")
ATTRIBUTES += ("facsimileTelephoneNumber",)
_OF_TYPE = {"work": "telephoneNumber", "main": "telephoneNumber", "mobile": "mobile", "home": "homePhone"}
_OF_TYPE |= {"workFax": "facsimileTelephoneNumber"}
# A fax stands in for a telephone where there is no other number.
_DEAF = ("workFax",)
MY_CONTACTS = "contactGroups/myContacts"

# Attribute to values; by uid.
Entries = dict[str, dict[str, tuple[str, ...]]]


@dataclass(frozen=True)
class Person:
    """The values that somebody typed for a person.

    :ivar numbers: type and the last digits.
    :ivar labels: resource names.
    """

    given: str = ""
    family: str = ""
    company: str = ""
    numbers: tuple[tuple[str, int], ...] = ()
    mail: str = ""
    labels: tuple[str, ...] = ()

    def typed(self, source: str) -> dict[str, Any]:
        """For the sandbox; what is empty is removed by a change."""
        names = {"givenName": self.given, "familyName": self.family}
        person: dict[str, Any] = {
            "names": [{key: value for key, value in names.items() if value}] if self.given or self.family else None,
            "phoneNumbers": [{"value": _typed(last), "type": kind} for kind, last in self.numbers],
            "emailAddresses": [{"value": self.mail}] if self.mail else None,
        }
        if source != OTHERS:
            person["organizations"] = [{"name": self.company}] if self.company else None
        if source == CONTACTS:
            person["memberships"] = [membership(name) for name in (MY_CONTACTS, *self.labels)]
        return person

    def entry(self, uid: str, source: str) -> dict[str, tuple[str, ...]] | None:
        """Return the entry that a phone should get, or None for a person who cannot be shown."""
        company = self.company if source != OTHERS else ""
        numbers: dict[str, list[str]] = {"telephoneNumber": []}
        for kind, last in self.numbers:
            numbers.setdefault(_OF_TYPE[kind], []).append(_written(last))
        if self.numbers and not numbers["telephoneNumber"]:
            best = next((last for kind, last in self.numbers if kind not in _DEAF), self.numbers[0][1])
            numbers["telephoneNumber"].append(_written(best))
        name = f"{self.given} {self.family}".strip()
        shown = name or company or (*numbers["telephoneNumber"], self.mail)[0]
        found = {
            "uid": (uid,),
            "cn": (shown,),
            "displayName": (shown,),
            "givenName": (self.given,),
            "sn": (self.family or self.given or company or shown,),
            "o": (company,),
            "mail": (self.mail,),
            **{attribute: tuple(values) for attribute, values in numbers.items()},
        }
        # A phone that asks for the attribute that has the only number gets the number once.
        others = {
            number for attribute, values in numbers.items() if attribute != "telephoneNumber" for number in values
        }
        if len(found["telephoneNumber"]) == 1 and {*found["telephoneNumber"]} <= others:
            found["telephoneNumber"] = ()
        return {attribute: values for attribute, values in found.items() if any(values)} if shown else None


def _typed(last: int) -> str:
    return f"030 23125 {last:03}"


def _written(last: int) -> str:
    return f"+493023125{last:03}"


@dataclass
class Company:
    """One Workspace: the persons of each account's sources and of the directory, by resource name."""

    world: World
    people: dict[tuple[str, str], dict[str, Person]] = field(default_factory=dict)
    labels: dict[str, dict[str, str]] = field(default_factory=dict)

    def know(self, account: str, source: str, name: str, person: Person) -> None:
        """Somebody who was there before."""
        self._of(account, source)[name] = person

    def add(self, account: str, source: str, person: Person) -> None:
        name = self.world.add_person(account, present(person.typed(source)), source)
        self._of(account, source)[name] = person

    def change(self, account: str, source: str, name: str, person: Person) -> None:
        self.world.change_person(account, name, person.typed(source))
        self._of(account, source)[name] = person

    def delete(self, account: str, source: str, name: str) -> None:
        self.world.delete_person(account, name)
        del self._of(account, source)[name]

    def move(self, account: str, name: str) -> None:
        """Google gives a person another resource name."""
        held = self._of(account, CONTACTS)
        held[self.world.move_person(account, name)] = held.pop(name)

    def add_label(self, account: str, name: str) -> None:
        self.labels.setdefault(account, {})[self.world.add_label(account, name)] = name

    def delete_label(self, account: str, resource_name: str) -> None:
        delete_label(self.world, account, resource_name)
        del self.labels[account][resource_name]
        held = self._of(account, CONTACTS)
        for name, person in held.items():
            held[name] = replace(person, labels=tuple(one for one in person.labels if one != resource_name))

    def names(self, account: str, source: str) -> list[str]:
        """The resource names of a source, in the order in which they came."""
        return list(self._of(account, source))

    def book(self, account: str) -> dict[str, Entries]:
        """Return the entries that should be served of an account's own book: all of them, and by label."""
        everything = self._entries(account, CONTACTS) | self._entries(account, OTHERS)
        found = {"": everything}
        for resource_name, name in self.labels.get(account, {}).items():
            held = self._of(account, CONTACTS).items()
            uids = {_uid(one, CONTACTS) for one, person in held if resource_name in person.labels}
            if members := {uid: entry for uid, entry in everything.items() if uid in uids}:
                found[name] = members
        return found

    def directory(self) -> Entries:
        """Return the entries that should be served of the directory."""
        return self._entries("", COLLEAGUES)

    def _of(self, account: str, source: str) -> dict[str, Person]:
        return self.people.setdefault(("" if source == COLLEAGUES else account, source), {})

    def _entries(self, account: str, source: str) -> Entries:
        found = {
            _uid(name, source): person.entry(_uid(name, source), source)
            for name, person in self._of(account, source).items()
        }
        return {uid: entry for uid, entry in found.items() if entry is not None}


def _uid(resource_name: str, source: str) -> str:
    identifier = resource_name.rpartition("/")[2]
    return f"other-{identifier}" if source == OTHERS else identifier


def present(person: dict[str, Any]) -> dict[str, Any]:
    """Without what is empty."""
    return {key: value for key, value in person.items() if value}
