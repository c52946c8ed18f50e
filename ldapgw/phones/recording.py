# SPDX-License-Identifier: MIT
"""A recording: what a phone sent and got, and the entries that it was given.

A password is never in it: `storable` leaves passwords out before a message is kept at all.  Names and numbers are
replaced by stand-ins (`ldapgw.phones.stand_ins`) unless the recording is *plain*.

`exchanges` pairs the searches of a recording with what was found.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from ldapgw.ber import ENUMERATED, SEQUENCE, SET, BerReader, integer, octets, tlv
from ldapgw.directory.access import NamingContext, Viewer
from ldapgw.directory.dit import Dit
from ldapgw.directory.dn import Dn, InvalidDn
from ldapgw.directory.entry import SEARCH_RESULT_ENTRY, Entry
from ldapgw.directory.filter import Present, Scope, SearchRequest, to_string
from ldapgw.directory.name_folding import variants
from ldapgw.directory.normalization import lines_of, number_of
from ldapgw.directory.number_formatter import NumberFormatter, parse_written
from ldapgw.directory.schema import ATTRIBUTE_TYPES, NUMBER_TYPES, Family, attribute_type
from ldapgw.directory.search import search
from ldapgw.errors import DirectoryError, ProtocolViolation, ResultCode
from ldapgw.ldap.controls import PAGED_RESULTS, VLV_REQUEST
from ldapgw.ldap.decoder import decode
from ldapgw.ldap.messages import CANCEL, START_TLS, WHO_AM_I, BindRequest, ExtendedRequest, Message, Operation, Sasl
from ldapgw.numbers.phone_number import Number, NumberFormat, parse

SEARCH_RESULT_DONE = 0x65
BIND_RESPONSE = 0x61

_PERSON_TYPES = tuple(kind for kind in ATTRIBUTE_TYPES if kind.name in ("cn", "displayName", "givenName", "sn"))
_USER_TYPES = tuple(
    kind
    for kind in ATTRIBUTE_TYPES
    if not kind.operational and kind.name != "objectClass" and kind.comparison.family is not Family.BINARY
)
# A filter may ask for an attribute that holds a password.
_PASSWORD_NAMES = (b"passw", b"pwd")
_POSITION = re.compile("-[0-9]+$")
_KEPT_EXTENSIONS = frozenset((START_TLS, CANCEL, WHO_AM_I))


@dataclass(frozen=True, slots=True)
class RecordedMessage:
    """One LDAPMessage.

    :ivar at: seconds since the beginning of the recording.
    :ivar connection: number of the connection, from 1.
    :ivar from_phone: whether the phone sent the message; else the gateway did.
    """

    at: float
    connection: int
    from_phone: bool
    octets: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, repr=False)
class RecordedEntry:
    """An entry as the phone may see it, with what finds it.

    :ivar attributes: user attributes by name, without objectClass.
    :ivar numbers: the telephone number of each value, by attribute name.
    :ivar aliases: names that find the entry without being shown.
    """

    dn: str
    attributes: Mapping[str, tuple[str, ...]]
    numbers: Mapping[str, tuple[Number, ...]] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()

    @classmethod
    def of(cls, entry: Entry, context: NamingContext) -> RecordedEntry:
        """Take an entry of the directory apart."""
        attributes = {
            kind.name: tuple(value.decode() for value in values)
            for kind in _USER_TYPES
            if (values := entry.attribute(kind.name))
        }
        if not context.lenient:
            return cls.from_values(entry.dn, attributes, context)
        texts = {kind.name: entry.search_text(kind) or "" for kind in NUMBER_TYPES if kind.name in attributes}
        numbers = {name: tuple(map(number_of, lines_of(text))) for name, text in texts.items()}
        known = {form for kind in _PERSON_TYPES for value in attributes.get(kind.name, ()) for form in variants(value)}
        forms = {
            line.strip(" ")
            for kind in _PERSON_TYPES
            for line in (entry.search_text(kind) or "").replace("\f", "").split("\n")
        }
        return cls(entry.dn, attributes, numbers, tuple(sorted(forms - known - {""})))

    @classmethod
    def from_values(cls, dn: str, attributes: Mapping[str, tuple[str, ...]], context: NamingContext) -> RecordedEntry:
        """Make an entry of values alone, as a phone gets them."""
        numbers = {
            kind.name: tuple(_parse(value, context) for value in attributes[kind.name])
            for kind in NUMBER_TYPES
            if kind.name in attributes
        }
        return cls(dn, attributes, numbers)


def _parse(value: str, context: NamingContext) -> Number:
    """A number in the tenant's format; without digits, only what is written is known of it."""
    number = parse_written(value, context.number_format, context.region, context.outside_line)
    return number or parse(value, context.region) or Number(value)


@dataclass(frozen=True, slots=True, repr=False)
class Recording:
    """What a phone sent and got.

    :ivar context: the phone's tenant.
    :ivar login: the DN that the phone binds as.
    :ivar own_book: name of the phone's own book; empty: none.
    :ivar per_number: whether the phone gets one entry per number.
    :ivar number_format: the format in which the phone gets numbers; None: the tenant's.
    :ivar model: a model of `ldapgw.phones.models`; empty: unknown.
    :ivar attribute_aliases: names of attributes by further names (`ldapgw.directory.schema.configure_aliases`).
    :ivar version: of the ldapgw that recorded.
    :ivar is_plain: whether names and numbers are those of real people.
    :ivar left_out: messages that are left out, because they could not be read or may hold a password.
    :ivar searches_left_out: searches that are left out, because with stand-ins they find something else.
    :ivar is_cut: whether more was sent than a recording holds.
    """

    context: NamingContext
    login: str
    own_book: str
    per_number: bool = False
    number_format: NumberFormat | None = None
    model: str = ""
    attribute_aliases: Mapping[str, str] = field(default_factory=dict)
    messages: tuple[RecordedMessage, ...] = ()
    entries: tuple[RecordedEntry, ...] = ()
    version: str = ""
    is_plain: bool = True
    left_out: int = 0
    searches_left_out: int = 0
    is_cut: bool = False


# --- messages of phones -----------------------------------------------------------------------------------------------


def storable(message_octets: bytes) -> bytes | None:
    """A phone's message without its password; None: the message may hold one, and nothing of it may be kept."""
    if any(name in message_octets.lower() for name in _PASSWORD_NAMES):
        return None
    try:
        message = decode(message_octets)
    except ProtocolViolation:
        return message_octets if _is_search(message_octets) else None
    match message.operation:
        case Operation.BIND:
            request = message.request
            return encode_bind(message.message_id, request) if isinstance(request, BindRequest) else None
        case Operation.SEARCH | Operation.COMPARE | Operation.ABANDON | Operation.UNBIND:
            return message_octets
        case Operation.EXTENDED:
            request = message.request
            return message_octets if isinstance(request, ExtendedRequest) and request.name in _KEPT_EXTENSIONS else None
        case _:  # requests that would change the directory
            return None


def bind_name(message_octets: bytes) -> str:
    """The name in a bind; empty: the message is none."""
    try:
        request = decode(message_octets).request
    except ProtocolViolation:
        return ""
    return request.name if isinstance(request, BindRequest) else ""


def _is_search(message_octets: bytes) -> bool:
    """Whether a message that cannot be decoded says that it is a search."""
    try:
        message = BerReader.over(message_octets).enter(SEQUENCE, "message")
        message.integer("messageID")
    except ProtocolViolation:
        return False
    return message.peek() == Operation.SEARCH


def encode_bind(message_id: int, request: BindRequest, password: bytes = b"") -> bytes:
    """The LDAPMessage of a bind with another password; a SASL bind has no credentials."""
    authentication = request.authentication
    if isinstance(authentication, Sasl):
        choice = tlv(0xA3, octets(authentication.mechanism.encode()))
    else:
        choice = octets(password, 0x80)
    content = integer(request.version) + octets(request.name.encode()) + choice
    return tlv(SEQUENCE, integer(message_id) + tlv(Operation.BIND, content))


def message_of(message: RecordedMessage) -> Message | None:
    """A phone's message, decoded; None: it cannot be."""
    try:
        return decode(message.octets)
    except ProtocolViolation:
        return None


# --- messages of the gateway ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, repr=False)
class Response:
    """A message of the gateway.

    :ivar tag: of the response.
    :ivar dn: of an entry, or the matched DN of a result.
    :ivar attributes: of an entry: names as they were asked for, with their values.
    :ivar code: of a result; None: the response is an entry.
    """

    message_id: int
    tag: int
    dn: str
    attributes: tuple[tuple[str, tuple[bytes, ...]], ...] = ()
    code: int | None = None
    diagnostic: str = ""

    @classmethod
    def read(cls, message_octets: bytes) -> Response:
        """Decode a message.

        :raises ProtocolViolation: if it is not one of a server.
        """
        message = BerReader.over(message_octets).enter(SEQUENCE, "message")
        message_id = message.integer("messageID")
        tag, content = message.inside("protocolOp")
        if tag == SEARCH_RESULT_ENTRY:
            return cls(message_id, tag, content.text("objectName"), tuple(_attributes(content)))
        code = content.integer("resultCode", ENUMERATED)
        matched_dn = content.text("matchedDN")
        return cls(message_id, tag, matched_dn, code=code, diagnostic=content.text("diagnosticMessage"))

    def encode(self) -> bytes:
        """Encode the message; of a result without what may follow the diagnostic message."""
        if self.code is None:
            attributes = b"".join(
                tlv(SEQUENCE, octets(name.encode()) + tlv(SET, b"".join(map(octets, values))))
                for name, values in self.attributes
            )
            content = octets(self.dn.encode()) + tlv(SEQUENCE, attributes)
        else:
            content = integer(self.code, ENUMERATED) + octets(self.dn.encode()) + octets(self.diagnostic.encode())
        return tlv(SEQUENCE, integer(self.message_id) + tlv(self.tag, content))


def _attributes(content: BerReader) -> Iterator[tuple[str, tuple[bytes, ...]]]:
    """The attributes of an entry but photos, which no stand-in could replace."""
    attributes = content.enter(SEQUENCE, "attributes")
    while attributes:
        attribute = attributes.enter(SEQUENCE, "attribute")
        name, values = attribute.text("type"), attribute.enter(SET, "vals")
        found = []
        while values:
            found.append(values.octets("value"))
        kind = attribute_type(name)
        if kind is None or kind.comparison.family is not Family.BINARY:
            yield name, tuple(found)


# --- entries ----------------------------------------------------------------------------------------------------------


def collect_entries(
    messages: Iterable[RecordedMessage], dit: Dit, viewer: Viewer, context: NamingContext
) -> tuple[RecordedEntry, ...]:
    """The contacts that a phone was given or has searched at, as whole as the phone may see them.

    Of an entry for a caller, and of an entry that is gone meanwhile, only that is known which the phone was given.
    """
    given: dict[str, dict[str, dict[str, None]]] = {}
    bases: dict[str, None] = {}
    for message in messages:
        if message.from_phone:
            request = message_of(message)
            if request is not None and isinstance(request.request, SearchRequest):
                bases[request.request.base] = None
            continue
        response = Response.read(message.octets)
        if response.code is not None:
            continue
        attributes = given.setdefault(response.dn, {})
        for name, values in response.attributes:
            kind = attribute_type(name)
            if kind is not None and kind in _USER_TYPES and values:
                texts = [value.decode() for value in values]
                if kind in NUMBER_TYPES and viewer.number_formatter is not None:
                    texts = _original_numbers(texts, response.dn, viewer.number_formatter)
                attributes.setdefault(kind.name, {}).update(dict.fromkeys(texts))
    entries: dict[str, RecordedEntry] = {}
    for dn, attributes in given.items():
        named = _named(dn)
        if named:
            found = _visible_entry(dn, dit, viewer, context)
            of_values = {**named, **{name: tuple(values) for name, values in attributes.items()}}
            entries[dn] = found or RecordedEntry.from_values(dn, of_values, context)
    for base in bases:
        found = _visible_entry(base, dit, viewer, context)
        if found is not None and _named(found.dn) and (viewer.per_number or not is_of_number(found.dn)):
            entries.setdefault(found.dn, found)
    return tuple(entries.values())


def _original_numbers(texts: Iterable[str], dn: str, formatter: NumberFormatter) -> list[str]:
    """Numbers that a phone was given, in the tenant's format; the DN of an entry for a caller has its number so."""
    in_dn = {formatter.value(value, ""): value for values in _named(dn).values() for value in values}
    return [in_dn.get(text) or formatter.original(text) for text in texts]


def is_of_number(dn: str) -> bool:
    """Whether an entry may be one for a number of a contact: its uid then ends in the number's position."""
    return _POSITION.search(dn.partition(",")[0]) is not None


def _named(dn: str) -> Mapping[str, tuple[str, ...]]:
    """The attributes in the RDN of a contact, or of an entry for a caller; empty for another entry."""
    rdn = next(iter(Dn.parse(dn).rdns), ())
    named = {kind.name: (value,) for name, value in rdn if (kind := attribute_type(name))}
    return named if "uid" in named or len(rdn) > 1 else {}


def _visible_entry(dn: str, dit: Dit, viewer: Viewer, context: NamingContext) -> RecordedEntry | None:
    """The entry of a DN as a viewer sees it; None: there is none."""
    request = SearchRequest(dn, Scope.BASE_OBJECT, Present("objectClass"))
    with suppress(DirectoryError):
        for entry in search(dit, viewer, request):
            if entry is not None:
                return RecordedEntry.of(entry, context)
    return None


# --- searches and what they found -------------------------------------------------------------------------------------

_LIMITED = frozenset((ResultCode.TIME_LIMIT_EXCEEDED, ResultCode.SIZE_LIMIT_EXCEEDED))


@dataclass(frozen=True, slots=True, repr=False)
class Exchange:
    """A search and its answer.

    :ivar position: of the request among the messages of its recording.
    :ivar is_bound: whether the search was made with a login.
    :ivar found: the DNs of the entries by their keys (`dn_key`).
    :ivar code: the result; None: the search was not answered to its end.
    :ivar positions: of all its messages.
    """

    position: int
    message: RecordedMessage
    request: Message
    is_bound: bool
    found: Mapping[str, str]
    code: int | None
    positions: tuple[int, ...]

    @property
    def search(self) -> SearchRequest | None:
        request = self.request.request
        return request if isinstance(request, SearchRequest) else None

    @property
    def is_partial(self) -> bool:
        """Whether there may have been more to find: a limit, a page or a list view has cut the answer."""
        has_window = any(control.type in (PAGED_RESULTS, VLV_REQUEST) for control in self.request.controls)
        return self.code is None or self.code in _LIMITED or has_window

    @property
    def text(self) -> str:
        """The filter as text; empty: it cannot be read."""
        return to_string(self.search.filter) if self.search is not None else ""


def exchanges(recording: Recording) -> tuple[Exchange, ...]:
    """The searches of a recording, in the order of their answers."""
    connections: dict[int, _Connection] = {}
    done = []
    for position, message in enumerate(recording.messages):
        connection = connections.setdefault(message.connection, _Connection())
        if message.from_phone:
            connection.add_request(position, message)
        elif found := connection.add_response(position, Response.read(message.octets)):
            done.append(found)
    unanswered = (one for connection in connections.values() for one in connection.unanswered())
    return (*done, *unanswered)


class _Connection:
    """The requests of one connection that wait for their answers.

    Mutable: all of it.
    """

    def __init__(self) -> None:
        self._is_bound = False
        self._waiting: dict[int, tuple[int, RecordedMessage, Message]] = {}
        self._found: dict[int, dict[str, str]] = {}
        self._positions: dict[int, list[int]] = {}

    def add_request(self, position: int, message: RecordedMessage) -> None:
        request = message_of(message)
        if request is not None and request.operation in (Operation.BIND, Operation.SEARCH):
            self._waiting[request.message_id] = position, message, request
            self._found[request.message_id] = {}
            self._positions[request.message_id] = [position]

    def add_response(self, position: int, response: Response) -> Exchange | None:
        """Add a response; returns the search that it ends."""
        message_id = response.message_id
        if message_id not in self._waiting:
            return None
        self._positions[message_id].append(position)
        if response.code is None:
            self._found[message_id][dn_key(response.dn)] = response.dn
            return None
        request = self._waiting[message_id][2].request
        if response.tag == BIND_RESPONSE:
            name = request.name if isinstance(request, BindRequest) else ""
            self._is_bound = response.code == ResultCode.SUCCESS and bool(name)
            del self._waiting[message_id]
            return None
        return self._end(message_id, response.code)

    def unanswered(self) -> Iterator[Exchange]:
        """End the searches that were not answered to their end."""
        searches = [key for key, (_, _, request) in self._waiting.items() if request.operation is Operation.SEARCH]
        return (self._end(message_id, None) for message_id in searches)

    def _end(self, message_id: int, code: int | None) -> Exchange:
        position, message, request = self._waiting.pop(message_id)
        found, positions = self._found.pop(message_id), tuple(self._positions.pop(message_id))
        return Exchange(position, message, request, self._is_bound, found, code, positions)


def dn_key(dn: str) -> str:
    """What the spellings of a DN have in common: its letters and digits; numbers are formatted in several ways."""
    try:
        text = str(Dn.parse(dn))
    except InvalidDn:
        text = dn
    return "".join(filter(str.isalnum, text.casefold()))
