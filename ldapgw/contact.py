# SPDX-License-Identifier: MIT
"""A contact: our immutable reading of a person, and the value that everything else is about."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ldapgw.numbers.phone_number import Number


class Source(StrEnum):
    """Where persons come from; the values of the setting ``sources``, in the order in which they are synced."""

    CONTACTS = "contacts"
    OTHER_CONTACTS = "other_contacts"
    DIRECTORY = "directory"


# The uid of an "other contact" begins so; behind it is the id that it has as a contact, once it is one.
OTHER_CONTACT_PREFIX = "other-"

# The groups of every account that Google shows beside those that the user has made.
SYSTEM_LABELS = frozenset({"contactGroups/myContacts", "contactGroups/starred"})


class Sharing(StrEnum):
    """Who sees a book besides its own account's phones."""

    PRIVATE = "private"
    CALLERS = "callers"
    SHARED = "shared"


class Kind(StrEnum):
    """What a number is for; each kind has its LDAP attribute (``directory/entry.py``)."""

    WORK = "work"
    MAIN = "main"
    OTHER = "other"
    MOBILE = "mobile"
    HOME = "home"
    FAX = "fax"
    PAGER = "pager"


@dataclass(frozen=True, slots=True)
class Phone:
    """A number of a contact, and what it is for."""

    kind: Kind
    number: Number


@dataclass(frozen=True, slots=True)
class Address:
    """A postal address; `lines` is the whole of it as Google formats it, the rest are its parts."""

    lines: tuple[str, ...] = ()
    street: str = ""
    city: str = ""
    region: str = ""
    postal_code: str = ""
    country_code: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Contact:
    """What a phone may be told of a person.

    Texts are clean: no control or invisible signs, no blanks around them, NFC.  Values of one field come best first.
    Notes (biographies) are not here: they never leave Google.

    :ivar uid: the id in the ``resourceName`` (``c1234567``); ``other-ID`` for an "other contact".
    :ivar source_id: Google's stable key, the id of the ``metadata.sources`` entry; survives a change of `uid`.
    :ivar name: the display name; empty for a company or a bare number.
    :ivar also: nicknames, former and phonetic names: they find the contact but are not shown.
    :ivar labels: resource names of the contact groups it is in.
    :ivar updated: seconds since the epoch of Google's last change; 0 where unknown.
    """

    uid: str
    source: Source = Source.CONTACTS
    source_id: str = ""
    name: str = ""
    given_name: str = ""
    family_name: str = ""
    also: tuple[str, ...] = ()
    organization: str = ""
    department: str = ""
    title: str = ""
    phones: tuple[Phone, ...] = ()
    emails: tuple[str, ...] = ()
    addresses: tuple[Address, ...] = ()
    urls: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    updated: float = 0.0

    def __repr__(self) -> str:
        """Without names or numbers: a log must not hold them."""
        return f"<Contact {self.source}/{self.uid}>"
