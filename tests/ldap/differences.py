# SPDX-License-Identifier: MIT
"""We differ from slapd here on purpose, each time with a reason, and with a question on which slapd agrees with us.

A difference of a term has a *translation*: what means to slapd what the term means to us.  So everything around the
term is still compared.  Where slapd has no words for it, the request is not compared (`Unasked`); `EXAMPLES` in the
test shows one case of each.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from ldapgw.directory.dn import Dn, InvalidDn
from ldapgw.directory.filter import (
    And,
    Approximate,
    Equality,
    Extensible,
    Filter,
    GreaterOrEqual,
    LessOrEqual,
    Not,
    Or,
    Present,
    Scope,
    SearchRequest,
    Substrings,
)
from ldapgw.directory.schema import (
    AttributeType,
    Family,
    MatchingRule,
    Use,
    attribute_type,
    matching_rule,
    object_class,
    oid_of,
)
from tests.support.phonebook.awkward import BASE

STRINGS = frozenset((Family.TEXT, Family.IDENTIFIER, Family.EXACT))
# A sign that is not ASCII makes a term of these attributes Undefined.
IA5 = frozenset(("mail", "dc"))
UNDEFINED = Equality("nosuch", b"x")
# Several values in one entry: "one is not before the asked one" and "none is before it" are two things.
SEVERAL_VALUES = frozenset(("name", "street", "l", "st", "postalCode", "labeledURI"))
# slapd works these out when an entry is sent.
COMPUTED = frozenset(("hasSubordinates", "entryDN"))
CLASSES_WITH_SUBCLASSES = frozenset(("2.5.6.0", "2.5.6.6", "2.5.6.7"))


class Unasked(Exception):
    """Raised when slapd cannot be asked what we are asked; says which difference it is."""


@dataclass(frozen=True)
class Difference:
    """A difference in how one term is read.

    :ivar translate: what slapd is to be asked; None where the difference does not concern the term, and True where
        slapd has no words for the term.
    """

    name: str
    reason: str
    translate: Callable[[Filter, AttributeType | None], Filter | bool | None]


def translated_filter(sought: Filter) -> Filter:
    """Return the filter for slapd; raises `Unasked` when slapd has no words for it."""
    match sought:
        case And(terms):
            return And(tuple(map(translated_filter, terms)))
        case Or(terms):
            return Or(tuple(map(translated_filter, terms)))
        case Not(term):
            return Not(translated_filter(term))
    for difference in DIFFERENCES:
        found = difference.translate(sought, attribute_type(getattr(sought, "attribute", None) or ""))
        if found is True:
            raise Unasked(difference.name)
        if found:
            return found
    return sought


def named_rule(term: Filter) -> MatchingRule | None:
    """The matching rule that a term names."""
    return matching_rule(term.rule or "") if isinstance(term, Extensible) else None


def hard_to_fold(text: str) -> bool:
    """Return True if a text holds a letter that the two servers fold in two ways."""
    return any(len(sign.casefold()) != 1 or sign.casefold() != sign.lower() for sign in text)


def is_hard(text: str) -> bool:
    """Return True if the two servers compare a value in two ways in every search."""
    return hard_to_fold(text) or _mapped(text.encode()) != text.encode()


# --- terms -----------------------------------------------------------------------------------------------------------


def _parts(term: Filter) -> list[bytes]:
    parts = (term.initial, *term.any, term.final) if isinstance(term, Substrings) else (getattr(term, "value", None),)
    return [part for part in parts if part]


def _folding(term: Filter, _kind: AttributeType | None) -> bool:
    return any(hard_to_fold(part.decode("utf-8", "replace")) for part in _parts(term))


def _language(term: Filter, _kind: AttributeType | None) -> Filter | None:
    attribute = getattr(term, "attribute", None) or ""
    return UNDEFINED if ";" in attribute and attribute_type(attribute.partition(";")[0]) else None


def _facsimile(term: Filter, kind: AttributeType | None) -> bool:
    named = named_rule(term) if getattr(term, "attribute", None) is None else None
    of_fax = kind is not None and kind.name == "facsimileTelephoneNumber" and not isinstance(term, Present)
    return of_fax or (named is not None and named.family is Family.NUMBER)


def _uri_substrings(term: Filter, kind: AttributeType | None) -> bool:
    return kind is not None and kind.name == "labeledURI" and isinstance(term, Substrings)


def _approximate(term: Filter, kind: AttributeType | None) -> Filter | None:
    return translated_filter(Equality(term.attribute, term.value)) if isinstance(term, Approximate) else None


def _ordering(term: Filter, kind: AttributeType | None) -> Filter | None:
    if (
        not isinstance(term, GreaterOrEqual | LessOrEqual)
        or not kind
        or not kind.comparison.ordering.startswith("case")
    ):
        return None
    before = Extensible(kind.comparison.ordering, term.attribute, term.value)
    if isinstance(term, LessOrEqual):
        return Or((before, Equality(term.attribute, term.value)))
    if kind.name in SEVERAL_VALUES:
        raise Unasked("ordering of several values")
    return And((Not(before), Or((Present(term.attribute), before))))


def _structural(term: Filter, kind: AttributeType | None) -> bool:
    if not kind or kind.name != "structuralObjectClass" or not isinstance(term, Equality | Extensible):
        return False
    return oid_of(term.value.decode("latin-1")) in CLASSES_WITH_SUBCLASSES


def _unknown_class(term: Filter, kind: AttributeType | None) -> Filter | None:
    if not kind or kind.comparison.family is not Family.OID or not isinstance(term, Equality | Extensible):
        return None
    if isinstance(term, Extensible) and term.rule is not None:
        return None
    number = term.value.decode("latin-1")
    return Or(()) if re.fullmatch(r"\d+(\.\d+)+", number) and oid_of(number) is None else None


def _class_name(term: Filter, kind: AttributeType | None) -> Filter | None:
    """A class that is not in our schema."""
    if not kind or kind.comparison.family is not Family.OID or (isinstance(term, Extensible) and term.rule is not None):
        return None
    name = getattr(term, "value", b"1.2").decode("latin-1").strip()
    if name[:1].isdigit() or object_class(name):
        return None
    known = oid_of(name) and isinstance(term, Equality | Extensible) and name.encode() == term.value
    return Or(()) if known else UNDEFINED


def _impossible_dn(term: Filter, kind: AttributeType | None) -> bool:
    value = getattr(term, "value", b"")
    return kind is not None and kind.comparison.family is Family.DN and not is_possible(value.decode("latin-1"))


def is_possible(text: str) -> bool:
    """Return True if a text is no DN at all, or a DN of known attribute types and values that are not empty."""
    try:
        dn = Dn.parse(text)
    except InvalidDn:
        return True
    return all(attribute_type(kind) and value for rdn in dn.rdns for kind, value in rdn)


def _unseen(term: Filter, kind: AttributeType | None) -> Filter | None:
    """Signs that RFC 4518 2.2 maps to a blank or to nothing."""
    if isinstance(term, Present) or (kind and (kind.comparison.family not in STRINGS or kind.name in IA5)):
        return None
    if isinstance(term, Substrings):
        parts = [None if part is None else _mapped(part) for part in (term.initial, *term.any, term.final)]
        changed: Filter = Substrings(term.attribute, parts[0], tuple(part or b"" for part in parts[1:-1]), parts[-1])
    else:
        changed = replace(term, value=_mapped(term.value))
    return None if changed == term else translated_filter(changed)


def _mapped(octets: bytes) -> bytes:
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        return octets
    blank = "\t\n\v\f\r\u0085"
    mapped = "".join(
        " " if sign in blank or unicodedata.category(sign) in ("Zs", "Zl", "Zp") else sign
        for sign in text
        if sign in blank or unicodedata.category(sign) not in ("Cc", "Cf")
    )
    if text and not mapped:
        raise Unasked("unseen signs")
    return mapped.encode()


def _computed(term: Filter, kind: AttributeType | None) -> Filter | None:
    if kind is not None and kind.name == "subschemaSubentry" and not isinstance(term, Present):
        raise Unasked("computed attributes")
    if not isinstance(term, Extensible):
        return None
    rule = matching_rule(term.rule) if term.rule is not None else None
    if (
        kind is not None
        and kind.name in COMPUTED
        and (term.rule is None or (rule and rule.name == kind.comparison.equality))
    ):
        return Equality(term.attribute or "", term.value)
    if term.attribute is None and rule is not None and rule.family in (Family.BOOLEAN, Family.DN):
        raise Unasked("computed attributes")
    return None


def _unique_id(term: Filter, kind: AttributeType | None) -> Filter | None:
    rule = named_rule(term)
    if rule is not None and rule.family is Family.UUID:
        raise Unasked("UUID")
    if isinstance(term, Extensible) and term.rule is None and kind and kind.comparison.family is Family.UUID:
        return Equality(term.attribute or "", term.value)
    return None


def _named_substrings_rule(term: Filter, _kind: AttributeType | None) -> bool:
    rule = named_rule(term)
    return rule is not None and rule.use is Use.SUBSTRINGS


def _definitions(term: Filter, _kind: AttributeType | None) -> bool:
    rule = named_rule(term)
    return rule is not None and rule.family in (Family.DEFINITION, Family.OID)


def _lines(term: Filter, kind: AttributeType | None) -> bool:
    if not isinstance(term, Substrings) or not kind or kind.name != "postalAddress":
        return False
    return any(re.search(rb"[$\\]|^ | $", part) for part in _parts(term))


def _letters_in_a_number(term: Filter, kind: AttributeType | None) -> bool:
    rule = named_rule(term)
    families = [kind.comparison.family if kind else None, rule.family if rule else None]
    return Family.NUMBER in families and any(part.upper() != part.lower() for part in _parts(term))


def _only_blanks(term: Filter, kind: AttributeType | None) -> Filter | None:
    """A number's part that is blanks and hyphens alone."""
    if not isinstance(term, Substrings) or not kind or kind.comparison.family is not Family.NUMBER:
        return None
    kept = tuple(part for part in term.any if part.strip(b" -"))
    initial = term.initial if term.initial and term.initial.strip(b" -") else None
    final = term.final if term.final and term.final.strip(b" -") else None
    if (initial, kept, final) == (term.initial, term.any, term.final):
        return None
    return Substrings(term.attribute, initial, kept, final) if initial or kept or final else Present(term.attribute)


def _blanks_at_an_end(term: Filter, kind: AttributeType | None) -> Filter | None:
    """A part in the middle that begins or ends with a blank may stand at the value's own end."""
    if not isinstance(term, Substrings) or not kind or kind.comparison.family not in STRINGS:
        return None
    parts = _parts(term)
    if any(left.endswith(b" ") and right.startswith(b" ") for left, right in pairwise(parts)):
        raise Unasked("blanks at an end")
    first = [term] if term.initial or not term.any else list(_leading(term))
    found = [last for one in first for last in ([one] if one.final or not one.any else _trailing(one))]
    if term.initial is None and term.final is None and len(term.any) == 1:
        [part] = term.any
        if part.startswith(b" ") and part.endswith(b" "):
            return Or((*map(_without_blank_ends, found), Equality(term.attribute, part)))
    changed = tuple(map(_without_blank_ends, found))
    return None if changed == (term,) else Or(changed)


def _without_blank_ends(term: Substrings) -> Filter:
    initial, final = _signs(term.initial), _signs(term.final)
    if initial or term.any or final:
        return replace(term, initial=initial, final=final)
    return Present(term.attribute)


def _signs(part: bytes | None) -> bytes | None:
    """A part at an end, unless it is blanks alone."""
    return part if part and part.strip(b" ") else None


def _leading(term: Substrings) -> Iterator[Substrings]:
    yield term
    if term.any[0][:1] == b" ":
        yield replace(term, initial=term.any[0].lstrip() or None, any=term.any[1:])


def _trailing(term: Substrings) -> Iterator[Substrings]:
    yield term
    if term.any[-1][-1:] == b" ":
        yield replace(term, final=term.any[-1].rstrip() or None, any=term.any[:-1])


def _country_as_ia5(term: Filter, kind: AttributeType | None) -> Filter | None:
    rule = named_rule(term)
    if rule is None or rule.name != "caseIgnoreIA5Match":
        return None
    if kind is None and term.attribute is None:
        raise Unasked("country")
    return UNDEFINED if kind and kind.name in ("c", "name") else None


DIFFERENCES = (
    Difference("folding", "RFC 3454 B.2, and so RFC 4518 2.2, folds \u00df to ss, and others alike; slapd folds one "
               "to one. Entries with such a letter may differ (`is_hard`).", _folding),
    Difference("unseen signs", "RFC 4518 2.2 maps control and format signs to nothing and all blanks to one; slapd "
               "keeps them. Entries with such a sign may differ (`is_hard`).", _unseen),
    Difference("language", "RFC 3866: a server without language tags takes a name with one for an unknown name; "
               "slapd keeps such tags and takes it for a name without values.", _language),
    Difference("facsimile", "RFC 4519 gives facsimileTelephoneNumber no rules, so slapd cannot search it; "
               "we compare it as the telephone number that it is.", _facsimile),
    Difference("labeledURI", "slapd's labeledURI has no substrings rule; ours has caseExactSubstringsMatch.",
               _uri_substrings),
    Difference("approximate", "slapd compares sounds, built for English; to us approximate is equal, which RFC 4511 "
               "4.5.1.7.6 allows.", _approximate),
    Difference("ordering", "RFC 4519 gives names no ordering rule; phones that page by (sn>=o) need one.", _ordering),
    Difference("structural object class", "slapd takes structuralObjectClass for objectClass and counts superclasses; "
               "its value is one class (RFC 4512 3.4.1).", _structural),
    Difference("class name", "The name of a class that is not in the schema makes the term Undefined (RFC 4517 "
               "4.2.26); slapd's schema has other classes.", _class_name),
    Difference("unknown class", "An OID is an OID, known or not (RFC 4517 4.2.26): no entry has it; to slapd the term "
               "is Undefined when no class has it.", _unknown_class),
    Difference("impossible names", "An attribute type that is not in the schema, or an empty value, makes a DN that "
               "names nothing; slapd says that it is no DN.", _impossible_dn),
    Difference("computed attributes", "slapd works hasSubordinates, entryDN and subschemaSubentry out when an entry is "
               "sent; an extensible match does not see them.", _computed),
    Difference("UUID", "slapd's extensible match of an entryUUID is Undefined, whatever is asked.", _unique_id),
    Difference("substrings rule", "slapd does not evaluate substrings rules in an extensible match; we publish them, "
               "so we do.", _named_substrings_rule),
    Difference("definitions", "Rules of OIDs by their names: for slapd they do not go with objectClass, and a name is "
               "no definition.", _definitions),
    Difference("lines", "No part of a substring assertion reaches over two lines of a postal address, and a dollar is "
               "a dollar (RFC 4517 4.2.12); slapd looks at the address as it is written.", _lines),
    Difference("letters in a number", "RFC 4517 4.2.29 folds the case of letters in telephone numbers; slapd does not.",
               _letters_in_a_number),
    Difference("only blanks", "A part of a number without any sign is found in every number; slapd finds it in none.",
               _only_blanks),
    Difference("blanks at an end", "RFC 4518 2.6.1 puts a blank at each end of a value, which a part in the middle may "
               "match; slapd does not.", _blanks_at_an_end),
    Difference("country", "slapd lets IA5 rules compare a country, which is no IA5 String.", _country_as_ia5),
)  # fmt: skip


# --- what is not a filter ---------------------------------------------------------------------------------------------


def translated(request: SearchRequest) -> SearchRequest:
    """Return the search for slapd.

    :raises Unasked: when there are no words for it.
    """
    for difference in REQUEST_DIFFERENCES:
        request = difference.translate(request)
    return replace(request, filter=translated_filter(request.filter))


def translated_compare(attribute: str, value: bytes) -> Equality:
    """Return the comparison for slapd.

    :raises Unasked: when there are no words for it.
    """
    kind = attribute_type(attribute)
    if kind is not None and kind.name in COMPUTED:
        raise Unasked("computed attributes")
    found = translated_filter(Equality(attribute, value))
    if not isinstance(found, Equality) or (found is UNDEFINED and attribute != "nosuch"):
        raise Unasked("compare")
    return found


def explains(ours: int | None, theirs: int | None) -> bool:
    """Return True if two results of a Compare agree: slapd looks at the assertion first, and we at the entry.

    Undefined attribute types and values that cannot be come out as undefinedAttributeType and invalidAttributeSyntax
    where we say that the entry or the attribute is not there; RFC 4511 4.10 leaves the order open.
    """
    return theirs in (17, 21) and ours in (16, 32)


@dataclass(frozen=True)
class RequestDifference:
    """A difference in what is not the filter.

    :ivar translate: the request as slapd is to be asked.
    """

    name: str
    reason: str
    translate: Callable[[SearchRequest], SearchRequest]


def _above_all(request: SearchRequest) -> SearchRequest:
    if not request.base and request.scope is Scope.SINGLE_LEVEL:
        return replace(request, base=BASE, scope=Scope.BASE_OBJECT)
    return request


def _blank(request: SearchRequest) -> SearchRequest:
    return replace(request, base=request.base.strip(" "))


def _root(request: SearchRequest) -> SearchRequest:
    if not request.base and request.scope is Scope.BASE_OBJECT:
        raise Unasked("root")
    return request


def _impossible_names(request: SearchRequest) -> SearchRequest:
    changed = request.base
    for impossible, nobody in (("nosuch=x,", "ou=nobody,"), ("uid=,ou=x,", "uid=nobody,ou=x,")):
        changed = changed.replace(impossible, nobody)
    return replace(request, base=changed)


def _selection(request: SearchRequest) -> SearchRequest:
    return replace(request, attributes=tuple(name for text in request.attributes for name in text.split()))


REQUEST_DIFFERENCES = (
    RequestDifference("blank", "Some phones send a blank for an empty base; slapd says that it is no DN.", _blank),
    RequestDifference("root", "The root DSE is each server's own.", _root),
    RequestDifference("above all", "One level below the root of all trees is the tenant; slapd sets its default base "
                      "in for the root.", _above_all),
    RequestDifference("impossible names", "An attribute type that is not in the schema, or an empty value, makes a DN "
                      "that names nothing (noSuchObject); slapd says that it is no DN.", _impossible_names),
    RequestDifference("selection", "Some phones write two names in one text, or an empty one, which names nothing.",
                      _selection),
)  # fmt: skip
