# SPDX-License-Identifier: MIT
"""The requests of CardDAV as values: PROPFIND (RFC 4918 9.1) and the reports of RFC 6352 8 and RFC 6578 3.

A body comes from a client that has logged in, but may still be an attack.  So the parser refuses document type
declarations, and thereby all entities.  The depth and the number of the elements, and the number of filters, are
limited; `ldapgw.web.http` limits the octets of the body.

A filter of CardDAV (RFC 6352 10.5) becomes a filter of the directory.  The directory compares names and numbers as a
search over LDAP does.  So a client's text matches the names that a phone would find, and a number matches in any
notation.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, NamedTuple
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

from ldapgw.directory.filter import And, Equality, Filter, Not, Or, Present, Substrings, estimated_cost
from ldapgw.ldap.limits import FILTER_EFFORT
from ldapgw.phones.explain.query import PERSON
from ldapgw.phones.vcards import VCardVersion

# --- names ------------------------------------------------------------------------------------------------------------

_DAV, _CARDDAV, _CALENDARSERVER = "{DAV:}", "{urn:ietf:params:xml:ns:carddav}", "{http://calendarserver.org/ns/}"

# The prefixes of the namespaces in answers.  The root element of each answer declares the prefixes.
PREFIXES: Final = {_DAV: "D:", _CARDDAV: "C:", _CALENDARSERVER: "CS:"}


def dav(name: str) -> str:
    """Return the name of an element of WebDAV (RFC 4918)."""
    return _DAV + name


def carddav(name: str) -> str:
    """Return the name of an element of CardDAV (RFC 6352)."""
    return _CARDDAV + name


ADDRESS_DATA: Final = carddav("address-data")
ETAG: Final = dav("getetag")
SYNC_TOKEN: Final = dav("sync-token")
# A property whose value changes with each change of a collection.  Apple's clients used the property before RFC 6578.
CTAG: Final = _CALENDARSERVER + "getctag"


class DavRefusal(Exception):
    """Raised when a request cannot be answered.

    :ivar status: the HTTP status of the answer.
    :ivar condition: the name of the precondition that the request violates (RFC 4918 16); empty for a malformed request
        (status 400).
    """

    def __init__(self, status: int, condition: str = "") -> None:
        super().__init__()
        self.status = status
        self.condition = condition


# --- bodies -----------------------------------------------------------------------------------------------------------

# The maximum number of contacts that a client may ask for, by address, in one report.
MAX_HREFS: Final = 10_000
# Limits on the elements of a body: PROPFIND needs three levels, and a query with parameters needs five levels.
_MAX_DEPTH: Final = 16
_MAX_ELEMENTS: Final = 2 * MAX_HREFS
# The maximum number of characters of all names of elements and attributes together.  The parser writes the whole
# namespace in front of each name, so a long namespace would take much memory.
_MAX_NAMES: Final = 256 << 10
# The maximum number of properties that a client may ask for, and the maximum number of characters of a property's name.
# The limits are low, because the answer repeats the names of unknown properties for each resource.
_MAX_PROPERTIES, _MAX_NAME = 64, 128
# The maximum number of conditions of a filter, and the maximum number of characters of a condition's text.
_MAX_CONDITIONS: Final = 32
_MAX_TEXT: Final = 256
# The parser gets this many octets at a time, so that a refused body is not parsed to its end.
_PIECE: Final = 16 << 10

_ALL_TESTS: Final = ("anyof", "allof")
_MATCH_TYPES: Final = ("equals", "contains", "starts-with", "ends-with")
# The collations that a client may ask for.  The directory always compares texts by its rules for names, which ignore
# case as these collations do.
_COLLATIONS: Final = ("default", "i;unicode-casemap", "i;ascii-casemap")


class AddressData(NamedTuple):
    """The vCards that a client wants (RFC 6352 10.4).

    :ivar properties: the names of the properties that the client wants, in upper case; None for all properties.
    """

    version: VCardVersion = VCardVersion.V3
    properties: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class WantedProperties:
    """The properties of each resource that a client wants.

    :ivar names: the names of the wanted properties; if `is_all`, the client also wants the usual properties.
    :ivar is_all: whether the client wants the usual properties (``allprop``).
    :ivar only_names: whether the client wants the properties' names without their values (``propname``).
    :ivar address_data: the wanted vCards, or None if the client wants no vCards.
    """

    names: tuple[str, ...] = ()
    is_all: bool = False
    only_names: bool = False
    address_data: AddressData | None = None


@dataclass(frozen=True, slots=True)
class Multiget:
    """The report ``addressbook-multiget`` (RFC 6352 8.7): contacts by their addresses."""

    wanted: WantedProperties
    hrefs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SyncCollection:
    """The report ``sync-collection`` (RFC 6578 3.2): the contacts that have changed since a token.

    :ivar token: the token of an earlier answer; empty for all contacts.
    :ivar limit: the maximum number of contacts in the answer; 0 if there is no limit.
    """

    wanted: WantedProperties
    token: str
    limit: int


@dataclass(frozen=True, slots=True, repr=False)
class TextMatch:
    """A condition on the text of a property (RFC 6352 10.5.4).

    :ivar match_type: ``equals``, ``contains``, ``starts-with`` or ``ends-with``.
    """

    text: str
    match_type: str = "contains"
    is_negated: bool = False


@dataclass(frozen=True, slots=True)
class PropertyFilter:
    """A condition on a property of a vCard (RFC 6352 10.5.1): on its presence, and perhaps on its values.

    :ivar name: the name of the property, in upper case.
    :ivar kind: the value of the parameter TYPE that the property has to have, in lower case; empty for any value.
    :ivar is_absent: whether the property must not be there.
    :ivar all_of: true if all conditions on the parameter and on the texts have to hold; false if one condition is
        enough.
    """

    name: str
    texts: tuple[TextMatch, ...] = ()
    kind: str = ""
    is_absent: bool = False
    all_of: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """The report ``addressbook-query`` (RFC 6352 8.6): the contacts that match a filter.

    :ivar filters: the conditions; without conditions, all contacts match.
    :ivar all_of: true if all conditions have to match; false if one condition is enough.
    :ivar limit: the maximum number of contacts in the answer; 0 if there is no limit.
    """

    wanted: WantedProperties
    filters: tuple[PropertyFilter, ...] = field(default=())
    all_of: bool = False
    limit: int = 0


Report = Multiget | Query | SyncCollection


def read_propfind(body: bytes) -> WantedProperties:
    """Read the body of a PROPFIND; an empty body asks for the usual properties (RFC 4918 9.1).

    :raises DavRefusal: when the body is no PROPFIND request.
    """
    if not body.strip():
        return WantedProperties(is_all=True)
    root = _parse(body)
    if root.tag != dav("propfind"):
        raise DavRefusal(400)
    return _wanted(root)


def read_report(body: bytes) -> Report:
    """Read the body of a REPORT.

    :raises DavRefusal: when the body is no report, or asks for a report that address books do not have.
    """
    root = _parse(body)
    if root.tag == carddav("addressbook-multiget"):
        hrefs = tuple(_text(element) for element in root.iterfind(dav("href")))
        if len(hrefs) > MAX_HREFS:
            raise DavRefusal(403, dav("number-of-matches-within-limits"))
        return Multiget(_wanted(root), hrefs)
    if root.tag == carddav("addressbook-query"):
        return _query(root)
    if root.tag == dav("sync-collection"):
        limit = root.find(dav("limit"))
        token = _text(root.find(dav("sync-token")))
        return SyncCollection(_wanted(root), token, _limit(limit, dav("nresults")))
    raise DavRefusal(403, dav("supported-report"))


class _Builder(TreeBuilder):
    """The builder of a body's elements, within the limits.

    Mutable: the depth of the present element, the number of elements, and the length of the names of elements.
    """

    def __init__(self) -> None:
        super().__init__()
        self._depth = 0
        self._count = 0
        self._names = 0

    def doctype(self, *_: object) -> None:
        """Refuse a document type declaration, which could declare entities."""
        raise DavRefusal(400)

    def start(self, tag: Any, attrs: Any, /) -> Any:
        self._depth += 1
        self._count += 1
        self._names += len(tag) + sum(map(len, attrs))
        if self._depth > _MAX_DEPTH or self._count > _MAX_ELEMENTS or self._names > _MAX_NAMES:
            raise DavRefusal(400)
        return super().start(tag, attrs)

    def end(self, tag: Any, /) -> Element:
        self._depth -= 1
        return super().end(tag)


def _parse(body: bytes) -> Element:
    parser = XMLParser(target=_Builder())  # noqa: S314  `_Builder` refuses all declarations of entities
    try:
        for start in range(0, len(body), _PIECE):
            parser.feed(body[start : start + _PIECE])
        root: Element = parser.close()
    except (ParseError, ValueError, LookupError, AssertionError):
        # Python raises a LookupError for an unknown encoding, and a ValueError for an encoding with several octets per
        # character.
        raise DavRefusal(400) from None
    return root


def _text(element: Element | None) -> str:
    return "" if element is None else (element.text or "").strip()


def _wanted(root: Element) -> WantedProperties:
    """Read the wanted properties, which stand at the same place in all requests."""
    properties = root.find(dav("prop"))
    if root.find(dav("propname")) is not None:
        return WantedProperties(only_names=True)
    is_all = root.find(dav("allprop")) is not None or properties is None
    if is_all:
        properties = root.find(dav("include"))
    elements = () if properties is None else tuple(properties)
    data = next((element for element in elements if element.tag == ADDRESS_DATA), None)
    names = tuple(dict.fromkeys(element.tag for element in elements if element is not data))
    if len(names) > _MAX_PROPERTIES or any(len(name) > _MAX_NAME for name in names):
        raise DavRefusal(400)
    return WantedProperties(names, is_all, address_data=None if data is None else _address_data(data))


def _address_data(element: Element) -> AddressData:
    media_type = element.get("content-type", "text/vcard").partition(";")[0].strip().lower()
    version = element.get("version", VCardVersion.V3)
    if media_type != "text/vcard" or version not in (*VCardVersion,):
        raise DavRefusal(403, carddav("supported-address-data"))
    names = frozenset(child.get("name", "").upper() for child in element.iterfind(carddav("prop")))
    is_part = bool(names) and element.find(carddav("allprop")) is None
    return AddressData(VCardVersion(version), names if is_part else None)


def _limit(element: Element | None, name: str) -> int:
    if element is None:
        return 0
    text = _text(element.find(name))
    if not (text.isascii() and text.isdigit() and len(text) < 9 and int(text) > 0):
        raise DavRefusal(400)
    return int(text)


def _query(root: Element) -> Query:
    # RFC 6352 10.3 requires a filter.  A client that sends no filter can only want all contacts.
    element = root.find(carddav("filter"))
    if element is None:
        element = Element(carddav("filter"))
    filters = tuple(map(_property_filter, element.iterfind(carddav("prop-filter"))))
    if sum(max(len(each.texts), 1) for each in filters) > _MAX_CONDITIONS:
        raise DavRefusal(403, carddav("supported-filter"))
    limit = _limit(root.find(carddav("limit")), carddav("nresults"))
    return Query(_wanted(root), filters, _is_all_of(element), limit)


def _is_all_of(element: Element) -> bool:
    return _choice(element.get("test", "anyof"), _ALL_TESTS) == "allof"


def _choice(value: str, allowed: Iterable[str]) -> str:
    if value not in allowed:
        raise DavRefusal(400)
    return value


def _property_filter(element: Element) -> PropertyFilter:
    # A group may stand before a property: ``item1.TEL``.
    name = element.get("name", "").upper().rpartition(".")[2]
    if not name:
        raise DavRefusal(400)
    parameters = element.findall(carddav("param-filter"))
    if len(parameters) > 1:
        raise DavRefusal(403, carddav("supported-filter"))
    return PropertyFilter(
        name,
        tuple(map(_text_match, element.iterfind(carddav("text-match")))),
        _kind(parameters[0]) if parameters else "",
        is_absent=element.find(carddav("is-not-defined")) is not None,
        all_of=_is_all_of(element),
    )


def _kind(parameter: Element) -> str:
    """Return the value of the parameter TYPE that a filter demands.

    :raises DavRefusal: when the filter names a parameter other than TYPE, has no text, or negates the text.
    """
    text = parameter.find(carddav("text-match"))
    if parameter.get("name", "").upper() != "TYPE" or text is None or text.get("negate-condition", "no") != "no":
        raise DavRefusal(403, carddav("supported-filter"))
    return _text(text).lower()


def _text_match(element: Element) -> TextMatch:
    if element.get("collation", "default") not in _COLLATIONS:
        raise DavRefusal(403, carddav("supported-collation"))
    text = element.text or ""
    if len(text) > _MAX_TEXT:
        raise DavRefusal(403, carddav("supported-filter"))
    match_type = _choice(element.get("match-type", "contains"), _MATCH_TYPES)
    return TextMatch(text, match_type, _choice(element.get("negate-condition", "no"), ("yes", "no")) == "yes")


# --- filters of the directory -----------------------------------------------------------------------------------------

# The attributes of each property.  A search of cn also finds nicknames.  All properties of cards except VERSION are in
# this table or in `_NOT_SEARCHED`.
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
# The properties of cards that no attribute of an entry holds, so that the directory cannot search for them.
_NOT_SEARCHED: Final = frozenset(("CATEGORIES", "REV"))
# The properties that are in each card.
_ALWAYS: Final = frozenset(("FN", "N", "UID", "VERSION"))


def directory_filter(query: Query) -> Filter:
    """Return the filter that finds the contacts of a query.

    :raises DavRefusal: when the directory cannot search for a property or a parameter, or when the filter would be too
        costly for a search over LDAP.
    """
    if not query.filters:
        return PERSON
    terms = tuple(map(_searched_property, query.filters))
    found = And((PERSON, And(terms) if query.all_of else Or(terms)))
    if estimated_cost(found) > FILTER_EFFORT:
        raise DavRefusal(403, carddav("supported-filter"))
    return found


def _searched_property(asked: PropertyFilter) -> Filter:
    if asked.name in _NOT_SEARCHED:
        raise DavRefusal(403, carddav("supported-filter"))
    attributes, of_kind = _ATTRIBUTES.get(asked.name, ()), _KINDS.get(asked.kind, ())
    if asked.kind:
        if asked.name != "TEL" or not of_kind:
            raise DavRefusal(403, carddav("supported-filter"))
        # RFC 6352 10.5: the value of TYPE is a condition, like each condition on a text.  If one condition is enough, a
        # text may also be in a number of another kind.
        attributes = of_kind if asked.all_of or not asked.texts else attributes
    is_present: Filter = And(()) if asked.name in _ALWAYS else Or(tuple(map(Present, attributes)))
    if asked.is_absent:
        return Not(is_present)
    if not asked.texts:
        return is_present
    # A condition is about the values of a property, so a contact without the property does not match a negated
    # condition.
    texts = tuple(And((is_present, _searched_text(attributes, text))) for text in asked.texts)
    return And(texts) if asked.all_of else Or((*texts, *map(Present, of_kind)))


def _searched_text(attributes: tuple[str, ...], match: TextMatch) -> Filter:
    text = match.text.strip()
    if attributes == _ATTRIBUTES["UID"]:
        text = text.lower().removeprefix("urn:uuid:")
    value = text.encode("utf-8", "replace")
    terms = [_searched_term(attribute, match.match_type, value) for attribute in attributes]
    # Most clients also send "contains" when they look for a complete telephone number.  The contact may have the number
    # in another notation, which only an equality filter finds.
    if match.match_type == "contains" and value and not _NUMBERS.isdisjoint(attributes):
        terms += [Equality(attribute, value) for attribute in attributes]
    found = Or(tuple(terms))
    return Not(found) if match.is_negated else found


def _searched_term(attribute: str, match_type: str, value: bytes) -> Filter:
    if not value:
        return Present(attribute)
    if match_type == "equals" or attribute == "entryUUID":
        return Equality(attribute, value)
    if match_type == "starts-with":
        return Substrings(attribute, value, (), None)
    if match_type == "ends-with":
        return Substrings(attribute, None, (), value)
    return Substrings(attribute, None, (value,), None)
