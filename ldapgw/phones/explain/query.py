# SPDX-License-Identifier: MIT
"""Queries: the filter that phones send for a name or a number, and the name or the number that a filter contains.

A query may also be a filter as text.  Besides this module, only `ldapgw.phones.reachability` imports ldaptor, as the
LDAP client of a test.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any

from ldapgw.directory.filter import And, Equality, Filter, LessOrEqual, Not, Or, Present, Substrings
from ldapgw.directory.schema import Family, attribute_type
from ldapgw.errors import DirectoryError, UserError
from ldapgw.numbers import dial_string, phone_number
from ldapgw.numbers.numbering_plan import SHORTEST_PUBLIC
from ldapgw.phones.provisioning.settings import NAME_ATTRIBUTES, NUMBER_ATTRIBUTES

PERSON = Equality("objectClass", b"person")

# Digits, with the characters that people write between digits.  Letters are not allowed, so "extension 204" is a text.
_DIGITS = re.compile(r"[0-9\s()./+*#–-]*[0-9][0-9\s()./+*#–-]*")


# The texts that replace a number that the caller withholds (RFC 3323 4.1.1.3, and PBXs).  Asterisk sends the text
# "asterisk" for an unknown number.
_WITHHELD = frozenset(
    (
        *("", "anonymous", "unknown", "restricted", "private", "unavailable", "withheld", "blocked", "asterisk"),
        *("anonym", "unbekannt"),
    )
)
# A host that no e-mail address has: an IP address, or the host of anonymous callers (RFC 3323 4.1.1.3).
_SIP_HOST = re.compile(r"@(?:[\d.]+|\[[\da-f:.]+\]|anonymous\.invalid)(?:[:;>]|$)")

# A text that is sorted after all names.  Phones send the text as the end of a range in a filter.
_LAST = re.compile(b"[zZ~]+")

# The character that stands for an empty value, which ldaptor's grammar does not allow.  No character of the text is
# above U+00FF, because ldaptor gets one character for each octet.
_EMPTY_VALUE = "\ue000"
# The term that fills ``(&)`` and ``(|)``, because ldaptor's grammar demands at least one term.  RFC 4526 defines the
# empty filters ``(&)`` as true and ``(|)`` as false.
_NO_TERM = "(o=\ue001)"
_EMPTY_SET = re.compile(r"\(([&|])\)")
_NO_TERMS = (Equality("o", "\ue001".encode()),)


class QueryKind(StrEnum):
    """The kind of a query."""

    TEXT = "text"
    NUMBER = "number"
    FILTER = "filter"


# The placeholders that vendors' filters have in place of the typed text: % %s %v1 $VALUE $SEARCH {q} ####
_PLACEHOLDER = re.compile(r"%[a-z0-9]{0,2}|%[A-Z]+%|\$[A-Z]+|\{\w*\}|#+|%v1.*")


def is_placeholder(text: str) -> bool:
    """Return whether a text is a placeholder that phones replace by what people type."""
    return _PLACEHOLDER.fullmatch(text) is not None


def is_withheld(text: str) -> bool:
    """Return whether a text, or the user in a SIP address, stands for a number that the caller withholds.

    A text such as "private@bank.example" counts as an e-mail address.  A text with the scheme "sip:", or with an IP
    address as the host, counts as a SIP address.
    """
    cleaned = dial_string.clean(text).lower()
    is_email = "@" in cleaned and not ("sip:" in cleaned or "sips:" in cleaned or _SIP_HOST.search(cleaned))
    return (cleaned if is_email else dial_string.unwrapped(cleaned)) in _WITHHELD


def is_blank(text: str) -> bool:
    """Return whether nothing was typed: the text is empty, or has stars and blanks only."""
    return not text.replace("*", "").strip()


@dataclass(frozen=True, slots=True, repr=False)
class PhoneQuery:
    """A parsed query.

    :ivar caller_filter: the filter that phones send for a call from the number; None if a call needs no filter besides
        `filter`.
    """

    text: str
    kind: QueryKind
    filter: Filter
    caller_filter: Filter | None = None


class SubjectKind(StrEnum):
    """The kinds of `SearchSubject`."""

    NUMBER = "number"
    NAME = "name"
    EVERYBODY = "everybody"
    WITHHELD = "withheld"
    OTHER = "other"


@dataclass(frozen=True, slots=True, repr=False)
class SearchSubject:
    """The name or number for which the person at the phone searched, as typed.

    :ivar text: the name or the number; empty if the kind is neither `SubjectKind.NAME` nor `SubjectKind.NUMBER`.
    """

    kind: SubjectKind
    text: str = ""


def filter_items(search_filter: Filter, *, negated: bool = True) -> Iterator[Filter]:
    """Yield the leaves of a filter.

    The recursion is not deep, because the decoder limits the depth of filters.

    :param negated: whether to yield also the leaves within a NOT.
    """
    match search_filter:
        case And(terms) | Or(terms):
            for term in terms:
                yield from filter_items(term, negated=negated)
        case Not(term):
            yield from filter_items(term) if negated else ()
        case _:
            yield search_filter


def asserted_parts(item: Filter) -> tuple[bytes, ...]:
    """Return the values for which a leaf of a filter asks: several values for substrings, no value for presence."""
    match item:
        case Substrings(initial=initial, any=middle, final=final):
            return tuple(part for part in (initial, *middle, final) if part)
        case Present() | And() | Or() | Not():
            return ()
        case _:
            return (item.value,)


def is_range_end(item: Filter) -> bool:
    """Return whether a leaf of a filter is the open end of a range, as in ``(sn<=zz)``."""
    return isinstance(item, LessOrEqual) and _LAST.fullmatch(item.value) is not None


def subject_of(search_filter: Filter) -> SearchSubject:
    """Read the typed text, or the caller's number, from a filter.  The function is the reverse of `parse_query`."""
    numbers: dict[str, None] = {}
    names: dict[str, None] = {}
    has_unknown = False
    for item in filter_items(search_filter, negated=False):
        attribute = str(getattr(item, "attribute", None) or "")
        kind = attribute_type(attribute)
        texts = (part.decode("utf-8", "replace").strip() for part in asserted_parts(item))
        text = " ".join(filter(None, texts))
        if attribute.lower() == "objectclass" or (isinstance(item, Present) and kind is not None) or is_range_end(item):
            continue
        if kind is None:
            has_unknown = True
        elif kind.comparison.family is Family.NUMBER:
            numbers[text] = None
        elif text:
            names[text] = None
    if any(is_withheld(text) for text in numbers if text or not names):
        return SearchSubject(SubjectKind.WITHHELD)
    typed = [*numbers]
    if typed and typed[0] and not names.keys() - numbers.keys() and is_number(typed[0]):
        return SearchSubject(SubjectKind.NUMBER, typed[0])
    words = [text for text in (*names, *numbers) if text]
    if words:
        return SearchSubject(SubjectKind.NAME, " ".join(dict.fromkeys(words)))
    return SearchSubject(SubjectKind.OTHER if has_unknown else SubjectKind.EVERYBODY)


def parse_query(text: str, strip: Sequence[str] = ()) -> PhoneQuery:
    """Parse a query; a text that begins with a parenthesis is a filter (RFC 4515).

    :param strip: the characters that the tenant's PBX puts around numbers, as in `NamingContext.strip`.
    :raises UserError: from `read_filter`.
    """
    if text.strip().startswith("("):
        return PhoneQuery(text, QueryKind.FILTER, read_filter(text))
    if is_blank(text):
        return PhoneQuery(text, QueryKind.TEXT, typeahead_filter(""))
    if not is_number(dial_string.without_affixes(text.strip(), strip)):
        return PhoneQuery(text, QueryKind.TEXT, typeahead_filter(text))
    caller_filter = Or(_whole_number(text))
    # The digits are few, so the text may be a caller's internal number, the typed beginning of a number, or a name that
    # is typed on the keypad.
    if _DIGITS.fullmatch(text) and sum(map(str.isdigit, text)) < SHORTEST_PUBLIC:
        return PhoneQuery(text, QueryKind.NUMBER, typeahead_filter(text), caller_filter)
    return PhoneQuery(text, QueryKind.NUMBER, caller_filter)


def read_filter(text: str) -> Filter:
    """Parse the string representation of a filter (RFC 4515), such as ``(|(cn=mü*)(telephoneNumber=030123))``.

    Only commands and pages have filters as text; LDAP clients send filters in BER.  ldaptor parses the text and encodes
    the filter, and `ldapgw.ldap.decoder` decodes the encoded filter.  ldaptor's grammar does not allow an OID as the
    name of an attribute.

    :raises UserError: if the text is not a filter, or the filter exceeds our limits.
    """
    # The imports are here, because importing ldaptor and the decoder takes a tenth of the time of a command.
    from ldapgw.ber import BerReader
    from ldapgw.ldap.decoder import decode_filter

    with warnings.catch_warnings():
        # ldaptor uses names of pyparsing that newer versions of pyparsing warn of.
        warnings.simplefilter("ignore", DeprecationWarning)
        from ldaptor.ldapfilter import InvalidLDAPFilter, parseFilter

    # ldaptor decodes an escaped octet such as \c3 into a character.  So ldaptor gets every octet of the text as one
    # character, and `_restored` turns the characters back into octets.
    octets = re.sub(r"\*+", "*", text.strip()).encode("utf-8", "surrogatepass").decode("latin-1")
    filled = _EMPTY_SET.sub(rf"(\1{_NO_TERM})", octets.replace("=)", f"={_EMPTY_VALUE})"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            parsed = parseFilter(filled)
        decoded = decode_filter(BerReader.over(parsed.toWire()))
    except InvalidLDAPFilter as error:
        parsed_text = filled[: error.loc].replace(_NO_TERM, "").replace(_EMPTY_VALUE, "")
        raise UserError(f"This is not a filter: it cannot be read from position {len(parsed_text) + 1} on.") from None
    except (RecursionError, DirectoryError):
        raise UserError("This filter is nested too deep, or has too many terms.") from None
    restored: Filter = _restored(decoded)
    return restored


def _restored(value: Any) -> Any:
    """Undo the replacements of `read_filter` in a filter, or in a part of a filter."""
    if isinstance(value, And | Or) and value.terms == _NO_TERMS:
        return replace(value, terms=())
    if isinstance(value, bytes):
        return value.decode().replace(_EMPTY_VALUE, "").encode("latin-1")
    if isinstance(value, tuple):
        return tuple(_restored(part) for part in value)
    if isinstance(value, Filter):
        return replace(value, **{field.name: _restored(getattr(value, field.name)) for field in fields(value)})
    return value


def typeahead_filter(text: str) -> Filter:
    """Return the filter that phones send for the beginning of a name or number; digits may stand for letters.

    If the text is empty, only the star in the phone's filter remains, and the filter asks for everybody who has a name.
    """
    if not text:
        return And((PERSON, Or(tuple(map(Present, NAME_ATTRIBUTES)))))
    if not is_number(text):
        return And((PERSON, Or(_prefix_terms(NAME_ATTRIBUTES, text))))
    return And((PERSON, Or((*_prefix_terms((*NUMBER_ATTRIBUTES, *NAME_ATTRIBUTES), text), *_whole_number(text)))))


def _prefix_terms(attributes: Iterable[str], text: str) -> tuple[Filter, ...]:
    return tuple(Substrings(attribute, octets(text), (), None) for attribute in attributes)


def _whole_number(text: str) -> tuple[Filter, ...]:
    return tuple(Equality(attribute, octets(text)) for attribute in NUMBER_ATTRIBUTES)


def octets(text: str) -> bytes:
    """Encode a text in UTF-8; a surrogate escape becomes its octet again, because phones may send other encodings."""
    return text.encode("utf-8", "surrogateescape")


def is_number(text: str) -> bool:
    """Return whether a text is a telephone number in the notation of people, telephone systems and letterheads.

    A text with letters is a number only if there are many digits: "204 Empfang" may be a name, "030 1234567 x204" is a
    number.
    """
    return _DIGITS.fullmatch(text) is not None or _is_signalled(text)


def _is_signalled(text: str) -> bool:
    """Return whether a text may be a caller's number as telephone systems send numbers.

    The result is also True for a number with key letters, an extension or a remark.
    """
    readings = phone_number.readings(text, "")
    if not readings:
        return False
    cleaned = dial_string.clean(text)
    core = dial_string.unwrapped(cleaned)
    if core != cleaned and _DIGITS.fullmatch(core):
        return True
    digit_count = sum(map(str.isdigit, cleaned))
    is_known = bool(readings[0].e164) or digit_count >= SHORTEST_PUBLIC or cleaned[0] in "0+"
    return is_known and len(readings[0].digits) >= SHORTEST_PUBLIC
