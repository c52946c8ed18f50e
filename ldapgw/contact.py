# SPDX-License-Identifier: MIT
"""`Contact`: the immutable value that the gateway makes from a person of the People API."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import cast

from ldapgw.numbers import Number, stored_numbers


class Source(StrEnum):
    """The lists of persons that Google offers: the values of the setting ``sources``, in the order of their syncs."""

    CONTACTS = "contacts"
    OTHER_CONTACTS = "other_contacts"
    DIRECTORY = "directory"


# The uid of an "other contact" begins with this prefix.  The rest of the uid is the id, which does not change when the
# "other contact" becomes a contact.
OTHER_CONTACT_PREFIX = "other-"

# The contact groups that Google has in every account, and shows beside the user's own groups.
STARRED = "contactGroups/starred"
SYSTEM_LABELS = frozenset({"contactGroups/myContacts", STARRED})


_GROUP_PATTERN = re.compile(r"group:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


class Sharing(StrEnum):
    """The audience of a book, in addition to the phones of the account that the book belongs to.

    There is also a value for each group of accounts: with ``Sharing("group:sales")`` the phones of the group's accounts
    see the book.  Equal values are the same object, like members of any enumeration.
    """

    PRIVATE = "private"
    CALLERS = "callers"
    SHARED = "shared"

    @classmethod
    def _missing_(cls, value: object) -> Sharing | None:
        """Return the member for the group of accounts that `value` names, or None if `value` names no group."""
        if not isinstance(value, str) or not _GROUP_PATTERN.fullmatch(value):
            return None
        made = str.__new__(cls, value)
        made._name_ = made._value_ = str(value)
        known = cls._value2member_map_.setdefault(made._value_, made)
        return cast("Sharing", known)

    @property
    def group(self) -> str:
        """Return the name of the group that sees the book; empty if the book is not shared with a group."""
        return self.value.partition(":")[2]


# The limits for numbers that phones do not get: the maximum number of stored characters of each number, and the maximum
# number of such numbers of each contact.
LONGEST_LEFT_OUT, MOST_LEFT_OUT = 64, 20


class Kind(StrEnum):
    """The purpose of a number; ``directory/inet_org_person.py`` maps each kind to an LDAP attribute."""

    WORK = "work"
    MAIN = "main"
    OTHER = "other"
    MOBILE = "mobile"
    HOME = "home"
    FAX = "fax"
    PAGER = "pager"


@dataclass(frozen=True, slots=True)
class Phone:
    """A telephone number of a contact, with its purpose.

    :ivar label: the purpose in the person's own words; empty if the purpose is one of Google's types, or is missing.
    :ivar stored: the text of the whole field that the number was read from; empty if that text is `Number.typed`.
    :ivar canonical: Google's ``canonicalForm`` of the field; empty if Google has no such form.
    """

    kind: Kind
    number: Number
    label: str = field(default="", repr=False)
    stored: str = field(default="", repr=False)
    canonical: str = field(default="", repr=False)


class LeftOutReason(StrEnum):
    """The reasons why phones do not get a number that Google has."""

    NOT_DIALABLE = "not_dialable"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True, repr=False)
class LeftOutNumber:
    """A telephone number that a person has at Google and phones do not get.

    :ivar text: the number as typed, cut at `LONGEST_LEFT_OUT` characters.
    """

    text: str
    reason: LeftOutReason

    def __repr__(self) -> str:
        """Return a text without the number: a ``repr`` may end up in a log."""
        return f"<LeftOutNumber {self.reason}>"


class Flaw(StrEnum):
    """The reasons why phones get less data of a person than Google has; the owner can correct the contact at Google."""

    CHARACTERS = "characters"
    VALUES = "values"
    LENGTH = "length"
    COUNT = "count"
    ID = "id"
    NUMBERS = "numbers"


@dataclass(frozen=True, slots=True)
class Address:
    """A postal address: `lines` is the whole address as Google formats it, the other fields are its parts."""

    lines: tuple[str, ...] = ()
    street: str = ""
    city: str = ""
    region: str = ""
    postal_code: str = ""
    country_code: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class PhoneticName:
    """The pronunciation of a name, which the spelling may not show.

    :ivar name: pronunciation of the display name, or of the organization if there is no display name; the parts have
        the order of the display name.
    :ivar given_name: pronunciation of the given name; empty if unknown.
    :ivar family_name: pronunciation of the family name; empty if unknown.
    """

    name: str
    given_name: str = ""
    family_name: str = ""

    def __repr__(self) -> str:
        """Return a text without the name: a ``repr`` may end up in a log."""
        return "<PhoneticName>"


@dataclass(frozen=True, slots=True, repr=False)
class Contact:
    """The data of one person that phones may see.

    Texts are in NFC, without control or invisible characters and without surrounding blanks.  If a field has several
    values, the best value comes first.  Notes (biographies) are left out, so that no note leaves Google.

    :ivar uid: the id in the ``resourceName`` (``c1234567``); ``other-ID`` for an "other contact".
    :ivar source_id: Google's stable key, the id of the ``metadata.sources`` entry; this key stays the same when `uid`
        changes.
    :ivar name: the display name; empty for a company, or for a number without a name.
    :ivar also: other names, such as nicknames and phonetic names, which find the contact without being shown.
    :ivar phonetic: the pronunciation, by which a name in Chinese characters is sorted; None if unknown.
    :ivar photo: a JPEG, scaled for phones; empty if there is no photo.
    :ivar labels: resource names of the contact groups that have the contact as a member.
    :ivar left_out: numbers that the person has at Google and phones do not get; only a web page shows them.
    :ivar updated: time of the last change at Google, in seconds since the epoch; 0 if unknown.
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
    phonetic: PhoneticName | None = None
    photo: bytes = b""
    left_out: tuple[LeftOutNumber, ...] = ()

    @property
    def numbers_not_understood(self) -> tuple[str, ...]:
        """Return the numbers that telephone networks may refuse, and texts in number fields that cannot be dialed."""
        not_dialable = [left.text for left in self.left_out if left.reason is LeftOutReason.NOT_DIALABLE]
        unknown = [phone.number.typed for phone in self.phones if not stored_numbers.is_understood(phone.number)]
        return (*unknown, *not_dialable)

    def __repr__(self) -> str:
        """Return a text without names and numbers: a ``repr`` may end up in a log."""
        return f"<Contact {self.source}/{self.uid}>"
