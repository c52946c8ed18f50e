# SPDX-License-Identifier: MIT
"""Finds flaws of a person: values of other types than the People API documents, and too many or too long values.

A page has a thousand persons, so the check of a person without flaws is one call of msgspec.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any

import msgspec

from ldapgw.contact import Flaw
from ldapgw.google.person_text import LONGEST, LONGEST_LINES

Item = Mapping[str, Any]

# Google itself returns at most 100 addresses and 100 numbers of a person.
MOST_VALUES = 100
# No telephone number has more digits.
_LARGEST_NUMBER = 10**40
_ANY_LENGTH = 1 << 62

_NAMES = ("displayName", "unstructuredName", "givenName", "middleName", "familyName")
_PHONETIC_NAMES = ("phoneticFullName", "phoneticGivenName", "phoneticMiddleName", "phoneticFamilyName")
_ADDRESS_LINES = ("formattedValue", "streetAddress", "poBox")
_ADDRESS_PARTS = ("city", "region", "postalCode", "country", "countryCode")

# The texts in the items of each field, with the most characters that `ldapgw.google.person` takes of each.  Nobody
# misses the end of a label, of a URL or of a ``canonicalForm`` that is too long.
_TEXTS: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {
        "names": dict.fromkeys((*_NAMES, *_PHONETIC_NAMES), LONGEST),
        "nicknames": {"value": LONGEST},
        "fileAses": {"value": LONGEST},
        "organizations": dict.fromkeys(("name", "department", "title", "phoneticName"), LONGEST),
        "phoneNumbers": {"value": LONGEST_LINES, "canonicalForm": _ANY_LENGTH, "type": _ANY_LENGTH},
        "emailAddresses": dict.fromkeys(("value", "displayName"), LONGEST),
        "addresses": dict.fromkeys(_ADDRESS_LINES, LONGEST_LINES) | dict.fromkeys(_ADDRESS_PARTS, LONGEST),
        "sipAddresses": {"value": LONGEST},
        "urls": {"value": _ANY_LENGTH},
        "photos": {"url": _ANY_LENGTH},
        "memberships": {},
    }
)


def _good_items(field: str, texts: Mapping[str, int]) -> Any:
    """Return the type of a field without a flaw."""
    keys = [(key, Annotated[str, msgspec.Meta(max_length=longest)] | None, None) for key, longest in texts.items()]
    item: Any = msgspec.defstruct(field, keys, gc=False)
    return Annotated[list[item], msgspec.Meta(max_length=MOST_VALUES)] | None


# A person without a flaw; other fields and keys than these may have any value.
_GOOD_PERSON = msgspec.defstruct(
    "GoodPerson", [(field, _good_items(field, texts), None) for field, texts in _TEXTS.items()], gc=False
)


def repair(person: object) -> tuple[Item, frozenset[Flaw]]:
    """Return a person without values of wrong types, and the flaws that the person had.

    A number in place of a text becomes a text.  Texts that are too long stay, and so do unreadable characters: other
    code cuts and replaces them.
    """
    try:
        msgspec.convert(person, _GOOD_PERSON)
    except ValueError:
        return _repaired(person)
    return person, frozenset()  # type: ignore[return-value]  # what msgspec has converted is a mapping


def _repaired(person: object) -> tuple[Item, frozenset[Flaw]]:
    if not isinstance(person, dict):
        return {}, frozenset({Flaw.VALUES})
    repaired, flaws = dict(person), set[Flaw]()
    for field, texts in _TEXTS.items():
        items = person.get(field)
        if isinstance(items, list):
            objects = [item for item in items[:MOST_VALUES] if isinstance(item, dict)]
            repaired[field] = [_repaired_item(item, texts, flaws) for item in objects]
            if len(items) > MOST_VALUES:
                flaws.add(Flaw.COUNT)
            if len(objects) < len(items[:MOST_VALUES]):
                flaws.add(Flaw.VALUES)
        elif items is not None:
            del repaired[field]
            flaws.add(Flaw.VALUES)
    return repaired, frozenset(flaws)


def _repaired_item(item: Item, texts: Mapping[str, int], flaws: set[Flaw]) -> Item:
    repaired = dict(item)
    for key, longest in texts.items():
        text = item.get(key)
        if isinstance(text, str):
            if len(text) > longest:
                flaws.add(Flaw.LENGTH)
        elif text is not None:
            flaws.add(Flaw.VALUES)
            is_number = isinstance(text, int) and not isinstance(text, bool) and abs(text) < _LARGEST_NUMBER
            repaired[key] = str(text) if is_number else ""
    return repaired
