# SPDX-License-Identifier: MIT
"""The texts that say how a stored telephone number is dialled, and why it is not dialled as it is stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ldapgw.contact import Contact, Phone
from ldapgw.numbers.number import Number, Rule
from ldapgw.numbers.phone_number import readable, typed_digits
from ldapgw.numbers.stored_numbers import is_understood
from ldapgw.phrase import Phrase, Translatable, gettext_noop, joined

_STORED = gettext_noop("Stored as “%(stored)s”: %(reasons)s.")
_DIALLED = gettext_noop("“%(stored)s” is dialed as %(dialled)s: %(reasons)s.")
_NOT_UNDERSTOOD = gettext_noop("No network may know this number. Check it in Google Contacts.")

# Why a number is not dialled as it is stored.
REASONS: Mapping[Rule, str] = {
    Rule.SEVERAL: gettext_noop("the field holds several numbers"),
    Rule.OTHER_ENDING: gettext_noop("the digits after the slash are the end of another number"),
    Rule.SAME_AREA: gettext_noop("the area code is written only once"),
    Rule.AFTERWARDS: gettext_noop("what is dialed after the connection was left out"),
    Rule.CODE: gettext_noop("the code before the number was kept"),
    Rule.PLUS: gettext_noop("+ was added, because the number begins with a country code"),
    Rule.NO_PLUS: gettext_noop("the + was removed, because the number has no country code"),
    Rule.FOREIGN_PREFIX: gettext_noop("the prefix for calls abroad was replaced by +"),
    Rule.TRUNK_ZERO: gettext_noop("the 0 was removed, because numbers of this country have none"),
    Rule.FORMER_PREFIX: gettext_noop("the digits before the number were removed, because they no longer connect"),
    Rule.ZERO: gettext_noop("the 0 that belongs to the number was added"),
    Rule.REPEATED_CODE: gettext_noop("the second country code was removed"),
    Rule.SHORT: gettext_noop("the country code was removed, because short numbers have none"),
    Rule.RENUMBERED: gettext_noop("the country has changed its numbers"),
    Rule.GOOGLE: gettext_noop("the country is that of the Google account"),
}


def note_on(phone: Phone) -> Translatable:
    """Return a sentence on a number that is shown beside it; empty if the number is dialled as it is stored."""
    reasons = _reasons(phone)
    if reasons is None:
        return "" if is_understood(phone.number) else _NOT_UNDERSTOOD
    return Phrase(_STORED, {"stored": _stored(phone), "reasons": reasons})


def notes_on(contact: Contact) -> Iterator[Phrase]:
    """Return the sentences on the numbers of a contact that are not dialled as they are stored."""
    for phone in contact.phones:
        reasons = _reasons(phone)
        if reasons is not None:
            values = {"stored": _stored(phone), "dialled": number_text(phone.number), "reasons": reasons}
            yield Phrase(_DIALLED, values)


def number_text(number: Number) -> str:
    """Return a number as people read it: with its country, or as it is stored, unless another number is dialled."""
    if number.e164:
        return f"{number.code} {readable(number.e164)}".lstrip()
    return typed_digits(number) if number.rules else number.typed


def _stored(phone: Phone) -> str:
    return " ".join((phone.stored or phone.number.typed).split())


def _reasons(phone: Phone) -> Phrase | None:
    rules = phone.number.rules
    return joined([Phrase(REASONS[rule]) for rule in rules]) if rules else None
