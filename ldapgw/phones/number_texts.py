# SPDX-License-Identifier: MIT
"""The texts that say how a stored telephone number is dialled, and why it is not dialled as it is stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ldapgw.contact import Contact, Phone
from ldapgw.numbers.number import Number, Rule
from ldapgw.numbers.phone_number import readable, typed_digits
from ldapgw.numbers.stored_numbers import is_understood
from ldapgw.phrase import Phrase, Texts, Translatable, joined, read_texts


class _NumberTexts(Texts, frozen=True):
    """The texts on stored numbers.

    :ivar reasons: the reasons why a number is not dialled as it is stored.
    """

    stored: str
    dialled: str
    not_understood: str
    reasons: Mapping[Rule, str]


_TEXTS = read_texts("phones/texts/numbers", _NumberTexts)

REASONS = _TEXTS.reasons


def note_on(phone: Phone) -> Translatable:
    """Return a sentence to show beside a number; empty if the number is dialled as it is stored."""
    reasons = _reasons(phone)
    if reasons is None:
        return "" if is_understood(phone.number) else _TEXTS.not_understood
    return Phrase(_TEXTS.stored, {"stored": _stored(phone), "reasons": reasons})


def notes_on(contact: Contact) -> Iterator[Phrase]:
    """Return the sentences on the numbers of a contact that are not dialled as they are stored."""
    for phone in contact.phones:
        reasons = _reasons(phone)
        if reasons is not None:
            values = {"stored": _stored(phone), "dialled": number_text(phone.number), "reasons": reasons}
            yield Phrase(_TEXTS.dialled, values)


def number_text(number: Number) -> str:
    """Return a number as people read it: with its country code if the country is known.

    If the country is not known, return the number as the gateway dials it, which mostly is the number as it is stored.
    """
    if number.e164:
        return f"{number.code} {readable(number.e164)}".lstrip()
    return typed_digits(number) if number.rules else number.typed


def _stored(phone: Phone) -> str:
    return " ".join((phone.stored or phone.number.typed).split())


def _reasons(phone: Phone) -> Phrase | None:
    rules = phone.number.rules
    return joined([Phrase(REASONS[rule]) for rule in rules]) if rules else None
