# SPDX-License-Identifier: MIT
"""A tenant's naming context: the settings of its directory, and the names with which its logins bind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

from ldapgw.directory.dn import Dn
from ldapgw.numbers.phone_number import NumberFormat


@dataclass(frozen=True, slots=True)
class NamingContext:
    """A tenant's settings for the directory (RFC 4512 5.1 calls the root of a tree a naming context).

    :ivar name: the tenant's name; a viewer's `Access` refers to the tenant by this name.
    :ivar base: the DN under which the tenant's entries are.
    :ivar region: the country to which numbers without a country code belong (ISO 3166-1).
    :ivar outside_line: digits dialled for an outside line.
    :ivar area_code: the area code of the site, without the trunk prefix; empty if unknown.  For a call within the area,
        a network signals the caller's number without the area code.
    :ivar switchboard: whether a search for the number of a company's extension finds the company's name.
    :ivar lenient: true if values are matched as a person expects, false if values are matched by the rules of RFC 4517.
    :ivar strip: texts, in lower case, that a PBX puts in front of a number or behind a number.  The gateway removes the
        texts from assertion values.
    :ivar book_order: the folded names (`ldapgw.directory.dn.folded`) of the books that precede all other books; ``own``
        is the viewer's own book.
    :ivar favourites: whether each account's book has a branch `ldapgw.directory.book.FAVOURITES` of starred contacts.
    :ivar favourites_first: whether a viewer's own starred contacts come before all other contacts.
    :ivar block_label: the folded name of the label whose contacts are blocked; empty if there is no such label.
    :ivar groups: the groups of accounts with which a book can be shared.  The key is the name of a group, and the value
        holds the books of the group's accounts.  The book of a configured account is given by the book's folded name,
        and the book of a member of a Google Group by the book's key.
    :ivar google_groups: for the name of a group in `groups`, the address of a Google Group whose members are added to
        the group.
    """

    name: str
    title: str
    base: Dn
    region: str
    outside_line: str
    number_format: NumberFormat
    lenient: bool
    strip: tuple[str, ...] = ()
    book_order: tuple[str, ...] = ()
    favourites: bool = False
    favourites_first: bool = False
    block_label: str = ""
    photos: bool = False
    groups: Mapping[str, frozenset[str]] = field(default_factory=dict, hash=False)
    area_code: str = ""
    switchboard: bool = False
    google_groups: Mapping[str, str] = field(default_factory=dict, hash=False)

    def with_members(self, members: Mapping[str, frozenset[str]]) -> NamingContext:
        """Return the settings with the members of Google Groups added to `groups`.

        :param members: the keys of the members' books, by the address of each Google Group.
        """
        if not self.google_groups:
            return self
        added = {name: members.get(address, frozenset()) for name, address in self.google_groups.items()}
        groups = {name: found | added.get(name, frozenset()) for name, found in self.groups.items()}
        return replace(self, groups=groups)


# The root DSE and the subschema belong to no tenant; their values are compared as the RFCs say.
ROOT = NamingContext("", "", Dn(), "", "", NumberFormat.E164, lenient=False)


@lru_cache(maxsize=256)
def at_site(context: NamingContext, area_code: str) -> NamingContext:
    """Return the settings for a phone at a site with its own area code; equal arguments give the same object."""
    return replace(context, area_code=area_code)


def phone_dn(name: str, base: Dn) -> Dn:
    """Return the DN with which a phone binds."""
    return base.child("ou", "phones").child("cn", name)


def replica_dn(name: str, base: Dn) -> Dn:
    """Return the DN with which a replica binds."""
    return base.child("ou", "replicas").child("cn", name)


def phone_name(dn: str) -> str:
    """Return the login's name from a DN in the spelling of `phone_dn` and `replica_dn`."""
    return dn.partition("=")[2].partition(",")[0]
