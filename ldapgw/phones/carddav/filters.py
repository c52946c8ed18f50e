# SPDX-License-Identifier: MIT
"""The filters of CardDAV (RFC 6352 10.5) as filters of the directory.

The directory compares names and numbers as a search over LDAP does: a text that a client sends matches the names that a
phone would find, and a number matches however the number is written.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from ldapgw.directory.filter import And, Equality, Filter, Not, Or, Present, Substrings, estimated_cost
from ldapgw.ldap.limits import FILTER_EFFORT
from ldapgw.phones.carddav.names import DavRefusal, carddav
from ldapgw.phones.carddav.requests import PropertyFilter, Query, TextMatch
from ldapgw.phones.explain.query import PERSON

# The attributes of each property.  The searches of cn also find nicknames.  Except for `_NOT_SEARCHED`, a property that
# is not in this table is in no card.
_ATTRIBUTES: Final = MappingProxyType(
    {
        "FN": ("cn",),
        "N": ("sn", "givenName", "cn"),
        "NICKNAME": ("cn",),
        "ORG": ("o", "ou"),
        "TITLE": ("title",),
        "TEL": ("telephoneNumber", "mobile", "homePhone", "facsimileTelephoneNumber", "pager"),
        "EMAIL": ("mail",),
        "ADR": ("postalAddress", "street", "l", "st", "postalCode", "c"),
        "LABEL": ("postalAddress",),
        "URL": ("labeledURI",),
        "PHOTO": ("jpegPhoto",),
        "UID": ("entryUUID",),
    }
)
# The attributes of numbers, by the value of the parameter TYPE.
_KINDS: Final = MappingProxyType(
    {
        "work": ("telephoneNumber",),
        "home": ("homePhone",),
        "cell": ("mobile",),
        "fax": ("facsimileTelephoneNumber",),
        "pager": ("pager",),
        "voice": ("telephoneNumber", "mobile", "homePhone"),
    }
)
_NUMBERS: Final = frozenset(_ATTRIBUTES["TEL"])
# The properties of cards that no attribute of an entry holds, so that no search finds them.
_NOT_SEARCHED: Final = frozenset(("CATEGORIES", "REV"))
# The properties that are in each card.
_ALWAYS: Final = frozenset(("FN", "N", "UID", "VERSION"))


def directory_filter(query: Query) -> Filter:
    """Return the filter that finds the contacts of a query.

    :raises DavRefusal: when a filter asks for a property that cannot be searched, or for a parameter that the directory
        does not have; or when a filter is so costly that a search over LDAP would be refused too.
    """
    if not query.filters:
        return PERSON
    terms = tuple(map(_property, query.filters))
    found = And((PERSON, And(terms) if query.all_of else Or(terms)))
    if estimated_cost(found) > FILTER_EFFORT:
        raise DavRefusal(403, carddav("supported-filter"))
    return found


def _property(asked: PropertyFilter) -> Filter:
    if asked.name in _NOT_SEARCHED:
        raise DavRefusal(403, carddav("supported-filter"))
    attributes = _ATTRIBUTES.get(asked.name, ())
    if asked.kind:
        if asked.name != "TEL" or asked.kind not in _KINDS:
            raise DavRefusal(403, carddav("supported-filter"))
        attributes = _KINDS[asked.kind]
    is_present: Filter = And(()) if asked.name in _ALWAYS else Or(tuple(map(Present, attributes)))
    if asked.is_absent:
        return Not(is_present)
    if not asked.texts:
        return is_present
    # A condition is about the values of a property, so a contact without the property does not match a negation either.
    texts = tuple(And((is_present, _text(attributes, text))) for text in asked.texts)
    return And(texts) if asked.all_of else Or(texts)


def _text(attributes: tuple[str, ...], match: TextMatch) -> Filter:
    text = match.text.strip()
    if attributes == _ATTRIBUTES["UID"]:
        text = text.lower().removeprefix("urn:uuid:")
    value = text.encode("utf-8", "replace")
    terms = [_term(attribute, match.match_type, value) for attribute in attributes]
    # Most clients also ask in this way for a whole number, which may be written otherwise.
    if match.match_type == "contains" and value and not _NUMBERS.isdisjoint(attributes):
        terms += [Equality(attribute, value) for attribute in attributes]
    found = Or(tuple(terms))
    return Not(found) if match.is_negated else found


def _term(attribute: str, match_type: str, value: bytes) -> Filter:
    if not value:
        return Present(attribute)
    if match_type == "equals" or attribute == "entryUUID":
        return Equality(attribute, value)
    if match_type == "starts-with":
        return Substrings(attribute, value, (), None)
    if match_type == "ends-with":
        return Substrings(attribute, None, (), value)
    return Substrings(attribute, None, (value,), None)
