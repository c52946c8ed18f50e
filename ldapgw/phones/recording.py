# SPDX-License-Identifier: MIT
"""A recording: the binds and the searches of a phone, their results, and the entries that the phone was given.

While a phone is recorded, its messages are kept as `RecordedMessage`, and `storable` first removes any password from a
message.  At the end, `make_recording` pairs the requests with their answers.  `ldapgw.phones.pseudonyms` then replaces
names and numbers, unless the recording is *plain*.

The file of a recording has lines of JSON: a header, then the entries, then the binds and searches in the order of time.
If several gateways have recorded a phone, the file has a part for each gateway.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from ldapgw.ber import ENUMERATED, SEQUENCE, SET, BerReader, integer, octets, tlv
from ldapgw.directory.access import Viewer
from ldapgw.directory.dit import Dit
from ldapgw.directory.dn import Dn
from ldapgw.directory.entry import SEARCH_RESULT_ENTRY, Entry
from ldapgw.directory.filter import Filter, Present, Scope, SearchRequest, to_string
from ldapgw.directory.naming_context import NamingContext, at_site
from ldapgw.directory.normalization import SWITCHBOARD_MARK
from ldapgw.directory.schema import NUMBER_TYPES, AttributeType, Family, attribute_type, subtypes
from ldapgw.directory.search import search
from ldapgw.errors import DirectoryError, ProtocolViolation, ResultCode, UserError
from ldapgw.ldap.controls import PAGED_RESULTS, VLV_REQUEST
from ldapgw.ldap.decoder import decode
from ldapgw.ldap.encoder import encode_search
from ldapgw.ldap.messages import BindRequest, Message, Operation, Sasl
from ldapgw.numbers.phone_number import NumberFormat
from ldapgw.phones.explain.query import filter_items

# The names of attributes that may hold a password: a filter on such an attribute contains a password.
_PASSWORD_NAMES = (b"passw", b"pwd")
# The search text of a company's switchboard number also contains the beginning of the numbers of all extensions.  The
# `SWITCHBOARD_MARK` follows the beginning.
_EXTENSIONS = re.compile(rf"\t(\+\d+){re.escape(SWITCHBOARD_MARK)}\t")
_LIMITED = frozenset((ResultCode.TIME_LIMIT_EXCEEDED, ResultCode.SIZE_LIMIT_EXCEEDED))


@dataclass(frozen=True, slots=True)
class RecordedMessage:
    """An LDAPMessage of a phone that is being recorded.

    :ivar at: seconds since the epoch.
    :ivar connection: number of the connection, from 1.
    :ivar from_phone: true if the phone sent the message, false if the gateway sent the message.
    :ivar is_bound: whether the connection had a login when the message came.
    """

    at: float
    connection: int
    from_phone: bool
    octets: bytes = field(repr=False)
    is_bound: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class RecordedEntry:
    """An entry, with the attributes that the phone was given and the attributes that the phone's filters name.

    :ivar attributes: texts by the attribute's name, without objectClass.
    :ivar is_decoy: true if the entry was invented, so that a filter has to choose between entries.
    :ivar switchboards: the beginnings of the numbers of a company's extensions, in E.164.
    """

    dn: str
    attributes: Mapping[str, tuple[str, ...]]
    is_decoy: bool = False
    switchboards: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class RecordedBind:
    """A bind.

    :ivar at: seconds since the beginning of the recording.
    :ivar code: the result code, or None if there was no answer.
    """

    at: float
    connection: int
    name: str
    code: int | None


@dataclass(frozen=True, slots=True, repr=False)
class Difference:
    """The difference between the result of a recorded search and the result of the same search at another time.

    :ivar missing: DNs of the entries that are not found any more.
    :ivar surplus: DNs of the entries that were not found before.
    :ivar code: the result code at the other time, or None if there was no answer.
    """

    missing: tuple[str, ...]
    surplus: tuple[str, ...]
    code: int | None


@dataclass(frozen=True, slots=True, repr=False)
class RecordedSearch:
    """A search and its result.

    :ivar at: seconds since the beginning of the recording.
    :ivar is_bound: whether the search was made with a login.
    :ivar controls: the OIDs of the search's controls.
    :ivar code: the result code, or None if the search was not answered completely.
    :ivar found: the DNs of the entries.
    :ivar note: the difference between the recorded result and the result of a search among only the recorded entries.
        The note is None if there is no difference, or if the recording is plain.
    """

    at: float
    connection: int
    is_bound: bool
    request: SearchRequest
    controls: tuple[str, ...]
    code: int | None
    found: tuple[str, ...]
    note: Difference | None = None

    @property
    def is_partial(self) -> bool:
        """Return whether a limit, a page or a list view may have cut the answer."""
        has_window = not {PAGED_RESULTS, VLV_REQUEST}.isdisjoint(self.controls)
        return self.code is None or self.code in _LIMITED or has_window


@dataclass(frozen=True, slots=True, repr=False)
class Recording:
    """The connections of a phone to one gateway.

    :ivar context: the naming context of the phone's tenant, with the phone's own area code if the phone has one.
    :ivar login: the DN that the phone binds as.
    :ivar own_books: the names of the phone's own books in order.
    :ivar per_number: whether the phone gets one entry per number.
    :ivar number_format: the format in which the phone gets numbers, or None for the tenant's format.
    :ivar model: a model of `ldapgw.phones.description`; empty if unknown.
    :ivar attribute_aliases: for each alias of an attribute, the name of the attribute
        (`ldapgw.directory.schema.configure_aliases`).
    :ivar version: the version of ldapgw that recorded the phone.
    :ivar is_plain: whether names and numbers are real, not pseudonyms.
    :ivar left_out: the number of messages that were left out, because they could not be read, may hold a password, or
        would change something.
    :ivar is_cut: whether the phone sent more than a recording holds.
    """

    context: NamingContext
    login: str
    own_books: tuple[str, ...] = ()
    per_number: bool = False
    number_format: NumberFormat | None = None
    model: str = ""
    attribute_aliases: Mapping[str, str] = field(default_factory=dict)
    binds: tuple[RecordedBind, ...] = ()
    searches: tuple[RecordedSearch, ...] = ()
    entries: tuple[RecordedEntry, ...] = ()
    version: str = ""
    is_plain: bool = True
    left_out: int = 0
    is_cut: bool = False


# --- messages of phones -----------------------------------------------------------------------------------------------


def storable(message_octets: bytes) -> bytes | None:
    """Return a phone's message without its password.

    :returns: the message to keep.  The result is empty if nobody needs the message, because the message is neither a
        bind nor a search.  The result is None if the message cannot be read, may hold a password, or would change
        something.
    """
    if any(name in message_octets.lower() for name in _PASSWORD_NAMES):
        return None
    try:
        message = decode(message_octets)
    except ProtocolViolation:
        return None
    match message.operation:
        case Operation.BIND:
            request = message.request
            return encode_bind(message.message_id, request) if isinstance(request, BindRequest) else None
        case Operation.SEARCH:
            return message_octets if isinstance(message.request, SearchRequest) else None
        case Operation.ABANDON | Operation.UNBIND | Operation.EXTENDED | Operation.COMPARE:
            return b""
        case _:
            return None


def bind_name(message_octets: bytes) -> str:
    """Return the name in a bind; empty if the message is no bind."""
    request = decode(message_octets).request
    return request.name if isinstance(request, BindRequest) else ""


def encode_bind(message_id: int, request: BindRequest, password: bytes = b"") -> bytes:
    """Encode a bind with another password; a SASL bind has no credentials."""
    authentication = request.authentication
    if isinstance(authentication, Sasl):
        choice = tlv(0xA3, octets(authentication.mechanism.encode()))
    else:
        choice = octets(password, 0x80)
    content = integer(request.version) + octets(request.name.encode()) + choice
    return tlv(SEQUENCE, integer(message_id) + tlv(Operation.BIND, content))


# --- messages of the gateway ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, repr=False)
class Response:
    """A message of the gateway.

    :ivar dn: the DN of an entry.
    :ivar attributes: the attributes of an entry by the requested names, without photos.
    :ivar code: the code of a result, or None if the response is an entry.
    """

    message_id: int
    dn: str = ""
    attributes: tuple[tuple[str, tuple[bytes, ...]], ...] = ()
    code: int | None = None

    @classmethod
    def read(cls, message_octets: bytes) -> Response:
        """Decode a message.

        :raises ProtocolViolation: if a server cannot send such a message.
        """
        message = BerReader.over(message_octets).enter(SEQUENCE, "message")
        message_id = message.integer("messageID")
        tag, content = message.inside("protocolOp")
        if tag == SEARCH_RESULT_ENTRY:
            return cls(message_id, content.text("objectName"), tuple(_attributes(content)))
        return cls(message_id, code=content.integer("resultCode", ENUMERATED))


def _attributes(content: BerReader) -> Iterator[tuple[str, tuple[bytes, ...]]]:
    attributes = content.enter(SEQUENCE, "attributes")
    while attributes:
        attribute = attributes.enter(SEQUENCE, "attribute")
        name, values = attribute.text("type"), attribute.enter(SET, "vals")
        found = []
        while values:
            found.append(values.octets("value"))
        yield name, tuple(found)


# --- the recording of all messages ------------------------------------------------------------------------------------

# The values that the phone was given, by the entry's DN and then by the attribute's name.
_Given = dict[str, dict[str, tuple[str, ...]]]


def make_recording(
    messages: Iterable[RecordedMessage], begun_at: float, dit: Dit, viewer: Viewer, context: NamingContext
) -> Recording:
    """Pair the requests of a phone with their answers, and take the entries of the answers.

    An entry has the attributes that the phone was given.  An entry also has the attributes that the phone's filters
    name, so that the filters find the entry again.  If the entry still exists, all values come from the directory, with
    numbers in the tenant's format.

    :param begun_at: seconds since the epoch.
    :param dit: the directory at the end of the recording.
    :param context: the naming context of the phone's tenant.
    """
    if viewer.area_code:
        context = at_site(context, viewer.area_code)
    binds, searches, given = _paired(messages, begun_at)
    asked = {kind.name for search in searches for kind in _filter_kinds(search.request.filter)}
    switchboards: dict[str, tuple[str, ...]] = {}
    for dn, attributes in given.items():
        entry = _visible_entry(dn, dit, viewer)
        if entry is not None:
            for name in sorted(asked | attributes.keys()):
                attributes[name] = tuple(value.decode() for value in entry.attribute(name))
            texts = (entry.search_text(kind) or "" for kind in NUMBER_TYPES)
            switchboards[dn] = tuple(sorted({found for text in texts for found in _EXTENSIONS.findall(text)}))
    directory = dit.directory(context.name)
    own_books = directory.own_books(viewer.access[0]) if directory is not None else ()
    return Recording(
        context,
        viewer.login,
        tuple([book.name for book in own_books]),
        viewer.per_number,
        viewer.number_formatter.target if viewer.number_formatter is not None else None,
        binds=tuple(binds),
        searches=tuple(searches),
        entries=tuple(
            RecordedEntry(
                dn,
                {name: values for name, values in attributes.items() if values},
                switchboards=switchboards.get(dn, ()),
            )
            for dn, attributes in given.items()
        ),
    )


def _paired(
    messages: Iterable[RecordedMessage], begun_at: float
) -> tuple[list[RecordedBind], list[RecordedSearch], _Given]:
    binds: list[RecordedBind] = []
    searches: list[RecordedSearch] = []
    given: _Given = {}
    waiting: dict[tuple[int, int], tuple[RecordedMessage, Message, list[str]]] = {}
    bound: set[int] = set()  # the numbers of the connections that are bound

    def end(key: tuple[int, int], code: int | None) -> None:
        message, request, found = waiting.pop(key)
        at, connection = max(0.0, message.at - begun_at), message.connection
        if isinstance(request.request, BindRequest):
            binds.append(RecordedBind(at, connection, request.request.name, code))
            bound.discard(connection)
            if code == ResultCode.SUCCESS and request.request.name:
                bound.add(connection)
        elif isinstance(request.request, SearchRequest):
            controls = tuple(control.type for control in request.controls)
            is_bound = message.is_bound or connection in bound
            searches.append(RecordedSearch(at, connection, is_bound, request.request, controls, code, tuple(found)))

    for message in messages:
        if message.from_phone:
            request = decode(message.octets)
            waiting[message.connection, request.message_id] = message, request, []
            continue
        response = Response.read(message.octets)
        key = message.connection, response.message_id
        if key not in waiting:  # the request of this answer was left out
            continue
        if response.code is not None:
            end(key, response.code)
            continue
        waiting[key][2].append(response.dn)
        _add_entry(given, response)
    for key in tuple(waiting):
        end(key, None)
    return binds, searches, given


def _add_entry(given: _Given, response: Response) -> None:
    """Add the entry of a contact, or of a caller, without its objectClass and its photo."""
    named = _named(response.dn)
    if not named:
        return
    attributes = given.setdefault(response.dn, dict(named))
    for name, values in response.attributes:
        kind = attribute_type(name)
        # The number of an attribute does not replace the number in the DN of a caller's entry, because only the number
        # in the DN has the tenant's format.
        if values and kind is not None and _is_recorded(kind) and kind.name not in named:
            attributes[kind.name] = tuple(value.decode() for value in values)


def _filter_kinds(search_filter: Filter) -> Iterator[AttributeType]:
    for item in filter_items(search_filter):
        kind = attribute_type(getattr(item, "attribute", None) or "")
        yield from filter(_is_recorded, subtypes(kind) if kind is not None else ())


def _is_recorded(kind: AttributeType) -> bool:
    return not kind.operational and kind.name != "objectClass" and kind.comparison.family is not Family.BINARY


def _named(dn: str) -> Mapping[str, tuple[str, ...]]:
    """Return the attributes in the RDN of a contact or of a caller's entry; empty for any other entry."""
    rdn = next(iter(Dn.parse(dn).rdns), ())
    named = {kind.name: (value,) for name, value in rdn if (kind := attribute_type(name))}
    return named if "uid" in named or len(rdn) > 1 else {}


def _visible_entry(dn: str, dit: Dit, viewer: Viewer) -> Entry | None:
    """Return the entry of a DN; None if the entry is gone, or if the viewer can find the entry only by a number."""
    request = SearchRequest(dn, Scope.BASE_OBJECT, Present("objectClass"))
    with suppress(DirectoryError):
        return next(filter(None, search(dit, viewer, request)), None)
    return None


# The version of the format of a recording's file.
FORMAT = 2


def dump(recording: Recording) -> str:
    """Return the text of a recording's file."""
    context = recording.context
    header = {
        "format": FORMAT,
        "ldapgw": recording.version,
        "plain": recording.is_plain,
        "model": recording.model,
        "login": recording.login,
        "own_books": recording.own_books,
        "per_number": recording.per_number,
        "number_format": recording.number_format,
        "tenant": {
            "title": context.title,
            "base_dn": str(context.base),
            "region": context.region,
            "outside_line": context.outside_line,
            "area_code": context.area_code,
            "switchboard": context.switchboard,
            "number_format": context.number_format.value,
            "lenient": context.lenient,
            "strip": context.strip,
            "book_order": context.book_order,
            "attribute_aliases": dict(recording.attribute_aliases),
        },
        "left_out": recording.left_out,
        "cut": recording.is_cut,
    }
    requests = [*map(_bind_object, recording.binds), *map(_search_object, recording.searches)]
    requests.sort(key=lambda request: request["at"])
    objects = [header, *map(_entry_object, recording.entries), *requests]
    return "".join(json.dumps(each, ensure_ascii=False, separators=(",", ":")) + "\n" for each in objects)


def _entry_object(entry: RecordedEntry) -> dict[str, Any]:
    values = {"dn": entry.dn, "attributes": dict(entry.attributes)}
    values |= {"switchboards": entry.switchboards} if entry.switchboards else {}
    return {**values, "decoy": True} if entry.is_decoy else values


def _bind_object(bind: RecordedBind) -> dict[str, Any]:
    return {"at": round(bind.at, 3), "connection": bind.connection, "bind": bind.name, "code": bind.code}


def _search_object(search: RecordedSearch) -> dict[str, Any]:
    request, note = search.request, search.note
    values = {
        "at": round(search.at, 3),
        "connection": search.connection,
        "bound": search.is_bound,
        # The fields from `base` to `size_limit` are only for people.  `load` reads the request from the octets, where
        # letters keep the phone's encoding.
        "base": request.base,
        "scope": request.scope.name.lower(),
        "filter": to_string(request.filter),
        "attributes": request.attributes,
        "size_limit": request.size_limit,
        "controls": search.controls,
        "request": b64encode(encode_search(request)).decode(),
        "code": search.code,
        "found": search.found,
    }
    if note is not None:
        values["differs"] = {"missing": note.missing, "surplus": note.surplus, "code": note.code}
    return values


# The exceptions that are raised for JSON of an unexpected form.  `InvalidDn` is a ValueError.
_UNREADABLE = (AttributeError, KeyError, TypeError, ValueError, OverflowError, RecursionError)


def load(text: str) -> tuple[Recording, ...]:
    """Read the file of a recording, which has a part for each gateway.

    :raises UserError: when the text is no recording, or has a format that this version cannot read.
    """
    parts: list[tuple[Recording, list[RecordedEntry], list[RecordedBind], list[RecordedSearch]]] = []
    # Only LF separates lines here: `dump` does not escape other line separators in values, such as U+2028.
    for number, line in enumerate(text.removesuffix("\n").split("\n"), start=1):
        try:
            values = json.loads(line)
            if not parts or "format" in values:
                if values["format"] != FORMAT:
                    raise UserError(f"line {number}: this version of ldapgw can't read this recording")
                parts.append((_read_header(values), [], [], []))
                continue
            _, entries, binds, searches = parts[-1]
            if "dn" in values:
                entries.append(_read_entry(values))
            elif "bind" in values:
                at, connection, name = float(values["at"]), int(values["connection"]), str(values["bind"])
                binds.append(RecordedBind(at, connection, name, _code(values["code"])))
            else:
                searches.append(_read_search(values))
        except (*_UNREADABLE, ProtocolViolation):
            raise UserError(f"line {number}: this is no line of a recording") from None
    return tuple(
        replace(header, entries=tuple(entries), binds=tuple(binds), searches=tuple(searches))
        for header, entries, binds, searches in parts
    )


def _read_header(header: Mapping[str, Any]) -> Recording:
    tenant = header["tenant"]
    context = NamingContext(
        name="recorded",
        title=str(tenant["title"]),
        base=Dn.parse(tenant["base_dn"]),
        region=str(tenant["region"]),
        outside_line=str(tenant["outside_line"]),
        number_format=NumberFormat(tenant["number_format"]),
        lenient=bool(tenant["lenient"]),
        strip=_strings(tenant["strip"]),
        book_order=_strings(tenant["book_order"]),
        # Recordings of older versions lack the area code and the switchboard.
        area_code=str(tenant.get("area_code", "")),
        switchboard=bool(tenant.get("switchboard")),
    )
    return Recording(
        context=context,
        login=str(header["login"]),
        own_books=_strings(header["own_books"]),
        per_number=bool(header["per_number"]),
        number_format=NumberFormat(header["number_format"]) if header["number_format"] else None,
        model=str(header["model"]),
        attribute_aliases={str(alias): _known_name(name) for alias, name in tenant["attribute_aliases"].items()},
        version=str(header["ldapgw"]),
        is_plain=bool(header["plain"]),
        left_out=int(header["left_out"]),
        is_cut=bool(header["cut"]),
    )


def _known_name(name: object) -> str:
    """Return the name of an attribute.

    :raises ValueError: when there is no such attribute.
    """
    kind = attribute_type(str(name))
    if kind is None:
        raise ValueError(name)
    return kind.name


def _read_entry(values: Mapping[str, Any]) -> RecordedEntry:
    attributes = {str(name): _strings(texts) for name, texts in values["attributes"].items()}
    if not all(attributes.values()):
        raise ValueError(attributes.keys())
    return RecordedEntry(
        str(values["dn"]), attributes, bool(values.get("decoy")), _strings(values.get("switchboards", ()))
    )


def _read_search(values: Mapping[str, Any]) -> RecordedSearch:
    request = decode(b64decode(values["request"], validate=True)).request
    if not isinstance(request, SearchRequest):
        raise ProtocolViolation("request: not a search")
    note = values.get("differs")
    return RecordedSearch(
        float(values["at"]),
        int(values["connection"]),
        bool(values["bound"]),
        request,
        _strings(values["controls"]),
        _code(values["code"]),
        _strings(values["found"]),
        Difference(_strings(note["missing"]), _strings(note["surplus"]), _code(note["code"])) if note else None,
    )


def _code(value: Any) -> int | None:
    return None if value is None else int(value)


def _strings(values: Sequence[Any]) -> tuple[str, ...]:
    return tuple(map(str, values))
