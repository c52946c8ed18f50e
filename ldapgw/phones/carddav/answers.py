# SPDX-License-Identifier: MIT
"""The answers of CardDAV: multistatus documents (RFC 4918 13) and the properties of the resources.

There are three kinds of resources: the home, which is the login's principal and has the address books; an address book;
and a card.  An answer with cards is made in pieces, so that a long answer neither takes much memory nor keeps other
clients waiting.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final
from wsgiref.handlers import format_date_time

from ldapgw.directory.entry import Entry
from ldapgw.phones.book_formats import xml_attribute, xml_text
from ldapgw.phones.carddav.books import AddressBook, BookVersion, card_path, sync_token
from ldapgw.phones.carddav.requests import (
    ADDRESS_DATA,
    CTAG,
    ETAG,
    PREFIXES,
    SYNC_TOKEN,
    AddressData,
    WantedProperties,
    carddav,
    dav,
)
from ldapgw.phones.vcards import VCardVersion, write_card

# The number of cards in one piece of an answer; writing a card takes up to 100 µs.
_CARDS: Final = 50
# The number of resources in one piece of an answer without cards.
_RESOURCES: Final = 500

_NAMESPACES: Final = "".join(
    f" xmlns:{prefix.rstrip(':')}={xml_attribute(namespace[1:-1])}" for namespace, prefix in PREFIXES.items()
)
_HEAD: Final = f'<?xml version="1.0" encoding="utf-8"?>\n<D:multistatus{_NAMESPACES}>\n'
_END: Final = "</D:multistatus>\n"
_OK, _NOT_FOUND, _TRUNCATED = "200 OK", "404 Not Found", "507 Insufficient Storage"

_CARD_TYPE: Final = "text/vcard; charset=utf-8"
_READ: Final = "".join(
    f"<D:privilege><D:{name}/></D:privilege>" for name in ("read", "read-current-user-privilege-set")
)
_REPORTS: Final = "".join(
    f"<D:supported-report><D:report><{name}/></D:report></D:supported-report>"
    for name in ("C:addressbook-multiget", "C:addressbook-query", "D:sync-collection")
)
_VERSIONS: Final = "".join(
    f'<C:address-data-type content-type="text/vcard" version="{version}"/>' for version in VCardVersion
)
# The maximum number of octets of a card that a client may store (RFC 6352 6.2.3).  The limit has no effect, because the
# address books are read-only.
_MAX_RESOURCE: Final = 65536

# The usual properties (``allprop``); the gateway knows their values without reading a book.
_USUAL: Final = tuple(
    map(dav, ("resourcetype", "displayname", "getetag", "getcontenttype", "getlastmodified", "current-user-principal"))
)

# For the name of each property of a resource, the XML of the property's value.
Properties = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Paths:
    """The paths of a login's resources, as they are in answers.

    :ivar home: the path of the home, with a slash at its end.
    """

    home: str

    def book(self, book: AddressBook) -> str:
        return f"{self.home}{book.name}/"


def needs_token(wanted: WantedProperties) -> bool:
    """Return whether a client wants a property for which a book's content has to be read."""
    return wanted.only_names or not {SYNC_TOKEN, CTAG}.isdisjoint(wanted.names)


def home_properties(paths: Paths, title: str) -> Properties:
    """Return the properties of the home.

    :param title: the tenant's name that people see.
    """
    home = _href(paths.home)
    return {
        dav("resourcetype"): "<D:collection/><D:principal/>",
        dav("displayname"): xml_text(title),
        dav("current-user-principal"): home,
        dav("principal-URL"): home,
        dav("owner"): home,
        dav("current-user-privilege-set"): _READ,
        dav("supported-report-set"): "",
        carddav("addressbook-home-set"): home,
    }


def entrance_properties(paths: Paths) -> Properties:
    """Return the properties of ``/dav/``, where clients of all tenants learn the address of their login's home."""
    return {dav("resourcetype"): "<D:collection/>", dav("current-user-principal"): _href(paths.home)}


def book_properties(paths: Paths, book: AddressBook, token: str) -> Properties:
    """Return the properties of an address book.

    :param token: the version's token; empty if the client wants no property that needs the token.
    """
    home = _href(paths.home)
    properties = {
        dav("resourcetype"): "<D:collection/><C:addressbook/>",
        dav("displayname"): xml_text(book.title),
        dav("current-user-principal"): home,
        # Only own books name an owner, because a login cannot read the principal of another owner.
        dav("owner"): home if book.is_own else "",
        dav("current-user-privilege-set"): _READ,
        dav("supported-report-set"): _REPORTS,
        carddav("supported-address-data"): _VERSIONS,
        carddav("max-resource-size"): str(_MAX_RESOURCE),
    }
    if token:
        properties |= {SYNC_TOKEN: sync_token(token), CTAG: f'"{token}"'}
    return properties


def multistatus(responses: Iterable[str]) -> str:
    return f"{_HEAD}{''.join(responses)}{_END}"


def resource_response(href: str, properties: Properties, wanted: WantedProperties, *, is_minimal: bool = False) -> str:
    """Write the response with the wanted properties of one resource.

    :param is_minimal: whether properties that the resource does not have are left out (RFC 8144 2.1).
    """
    if wanted.only_names:
        return _response(href, _propstat("".join(_element(name, "") for name in properties), _OK))
    names = [*(name for name in _USUAL if wanted.is_all and name in properties), *wanted.names]
    names = list(dict.fromkeys(names))
    found = "".join(_element(name, properties[name]) for name in names if name in properties)
    missing = "" if is_minimal else "".join(_element(name, "") for name in names if name not in properties)
    stats = _propstat(found, _OK) if found or not missing else ""
    return _response(href, stats + (_propstat(missing, _NOT_FOUND) if missing else ""))


class CardResponses:
    """The writer of the responses of one book's cards.

    :param wanted: the properties that the client wants.
    """

    def __init__(
        self, paths: Paths, book: AddressBook, version: BookVersion, wanted: WantedProperties, *, is_minimal: bool
    ) -> None:
        self._book = book
        self._version = version
        self._wanted = wanted
        self._is_minimal = is_minimal
        self._path = paths.book(book)
        self._common = {
            dav("resourcetype"): "",
            dav("getcontenttype"): _CARD_TYPE,
            dav("current-user-principal"): _href(paths.home),
            dav("current-user-privilege-set"): _READ,
            dav("owner"): _href(paths.home) if book.is_own else "",
        }

    @property
    def slice_size(self) -> int:
        """Return how many responses are written in one piece."""
        return _CARDS if self._wanted.address_data is not None else _RESOURCES

    def of(self, name: str, tag: bytes) -> str:
        """Write the response of a card.

        :param name: the name of a card that the book has.
        """
        href = self._path + card_path(name)
        wanted, properties = self._wanted, {ETAG: etag(tag), **self._common}
        if wanted.address_data is None and not (wanted.is_all or dav("getlastmodified") in wanted.names):
            return resource_response(href, properties, wanted, is_minimal=self._is_minimal)
        entry = self._book.entry(name)
        if entry is None:  # the version was read from another state of the book
            return missing_response(href)
        if entry.updated > 0:
            properties[dav("getlastmodified")] = format_date_time(entry.updated)
        if wanted.address_data is None:
            return resource_response(href, properties, wanted, is_minimal=self._is_minimal)
        properties[ADDRESS_DATA] = xml_text(card_octets(self._book, entry, self._version, wanted.address_data).decode())
        names = (*wanted.names, ADDRESS_DATA)
        return resource_response(href, properties, WantedProperties(names, wanted.is_all), is_minimal=self._is_minimal)

    def missing(self, name: str) -> str:
        """Write the response of a card that the book no longer has."""
        return missing_response(self._path + card_path(name))


def pieces(head: Sequence[str], responses: Iterable[str], tail: Sequence[str], slice_size: int) -> Iterator[bytes]:
    """Yield a multistatus in pieces.

    :param responses: the responses, which are made one by one on demand.
    :param tail: further elements behind the responses.
    :param slice_size: the number of responses in a piece.
    """
    rest = iter(responses)
    first = [_HEAD, *head]
    while made := list(islice(rest, slice_size)):
        yield "".join((*first, *made)).encode("utf-8", "replace")
        first = []
    yield "".join((*first, *tail, _END)).encode("utf-8", "replace")


def card_octets(book: AddressBook, entry: Entry, version: BookVersion, asked: AddressData) -> bytes:
    """Write the vCard of an entry."""
    return write_card(book.card(entry, version), asked.version, asked.properties)


def etag(tag: bytes) -> str:
    return f'"{tag.hex()}"'


def missing_response(href: str) -> str:
    """Write the response for a resource that does not exist."""
    return _response(href, f"<D:status>HTTP/1.1 {_NOT_FOUND}</D:status>")


def truncated_response(href: str) -> str:
    """Write the response that tells that further resources follow (RFC 6578 3.6, RFC 6352 8.6.2)."""
    error = "<D:error><D:number-of-matches-within-limits/></D:error>"
    return _response(href, f"<D:status>HTTP/1.1 {_TRUNCATED}</D:status>{error}")


def token_element(token: str) -> str:
    """Write the sync token at the end of a report (RFC 6578 6.4)."""
    return f"<D:sync-token>{xml_text(token)}</D:sync-token>\n"


def error_document(condition: str) -> str:
    """Write the body of a refusal (RFC 4918 16)."""
    return f'<?xml version="1.0" encoding="utf-8"?>\n<D:error{_NAMESPACES}>{_element(condition, "")}</D:error>\n'


def _href(path: str) -> str:
    return f"<D:href>{xml_text(path)}</D:href>"


def _response(href: str, content: str) -> str:
    return f"<D:response><D:href>{xml_text(href)}</D:href>{content}</D:response>\n"


def _propstat(properties: str, status: str) -> str:
    return f"<D:propstat><D:prop>{properties}</D:prop><D:status>HTTP/1.1 {status}</D:status></D:propstat>"


def _element(name: str, content: str) -> str:
    namespace, _, local = name.rpartition("}")
    prefix = PREFIXES.get(f"{namespace}}}")
    if prefix is None:  # the root element does not declare the namespace
        declaration = f" xmlns={xml_attribute(namespace.removeprefix('{'))}"
        return f"<{local}{declaration}>{content}</{local}>" if content else f"<{local}{declaration}/>"
    return f"<{prefix}{local}>{content}</{prefix}{local}>" if content else f"<{prefix}{local}/>"
