# SPDX-License-Identifier: MIT
"""Decodes the octets of a connection into requests: messages, operations and filters (RFC 4511 4.1.1 and 4.2 to 4.12).

A `Framer` splits the octets into whole LDAPMessages.  The framer checks the length in the header of a message, so a
message that claims to have 2 GiB costs no memory.  The time for splitting is linear in the number of octets.

`decode` is strict: every element lies within its parent, and every parent is consumed to its last octet.  A request
that cannot be decoded is a `ProtocolViolation` and ends the session.  A request that can be decoded but is wrong
becomes a `Rejected` request.  The answer to such a request is a result with the reason.

A table has a decoding function for each kind of filter.  The depth of a filter and the number of its terms are bounded,
so that recursive functions may walk the filter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from ldapgw.ber import CLASS, CONTEXT_SPECIFIC, ENUMERATED, INTEGER, OCTET_STRING, SEQUENCE, BerReader
from ldapgw.directory.entry import names_in
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
    estimated_cost,
)
from ldapgw.errors import DirectoryError, ProtocolViolation, ResultCode
from ldapgw.ldap import controls
from ldapgw.ldap.limits import ATTRIBUTES, FILTER_DEPTH, FILTER_EFFORT, FILTER_OCTETS, FILTER_TERMS
from ldapgw.ldap.messages import (
    AbandonRequest,
    BindRequest,
    CompareRequest,
    Empty,
    ExtendedRequest,
    Message,
    Operation,
    Rejected,
    Request,
    Result,
    Sasl,
    Simple,
)

# The first octet of a TLS handshake (RFC 8446 5.1).
TLS_HANDSHAKE: Final = 0x16
TLS_ON_PLAIN_PORT: Final = "TLS on the port for LDAP without TLS"

# The maximum number of octets of an encoded length: four octets can express 4 GiB.
_MAX_LENGTH_OCTETS: Final = 4

_SIMPLE, _SASL = 0x80, 0xA3
_REQUEST_NAME, _REQUEST_VALUE = 0x80, 0x81
_SCOPES: Final = {scope.value: scope for scope in Scope}
_LAST_DEREF: Final = 3

# The octets of an UnbindRequest before and after a messageID of one octet.
_UNBIND_START, _UNBIND_END = b"\x30\x05\x02\x01", b"\x42\x00"
_UNBIND_LENGTH: Final = len(_UNBIND_START) + 1 + len(_UNBIND_END)

# The tag of a BindRequest, and the position of the name in a message whose messageID has one octet.
_BIND, _NAME_START = Operation.BIND.value, 12

# The tags of the parts of filters.
_INITIAL, _ANY, _FINAL = 0x80, 0x81, 0x82
_RULE, _TYPE, _VALUE, _DN_ATTRIBUTES = 0x81, 0x82, 0x83, 0x84


class Framer:
    """A collector of octets, which returns whole messages.

    :param max_message: octets of the longest message that is accepted, including its header.
    :ivar partial: whether octets wait for `take`: whole messages, or the beginning of a message.
    """

    __slots__ = ("_buffer", "_max_message", "_taken", "partial")

    def __init__(self, max_message: int) -> None:
        self._buffer = bytearray()
        self._taken = 0
        self._max_message = max_message
        self.partial = False

    @property
    def size(self) -> int:
        """Return the number of octets that `take` has not returned."""
        return len(self._buffer) - self._taken

    def feed(self, data: bytes) -> None:
        if self._taken:
            del self._buffer[: self._taken]
            self._taken = 0
        self._buffer += data
        self.partial = bool(self._buffer)

    def take(self) -> bytes | None:
        """Return the next whole message, or None while the message is incomplete.

        :raises ProtocolViolation: if the octets are not an LDAPMessage, or the message is too long.
        """
        buffer, start = self._buffer, self._taken
        available = len(buffer) - start
        if available and buffer[start] != SEQUENCE:
            if buffer[start] == TLS_HANDSHAKE:
                raise ProtocolViolation(TLS_ON_PLAIN_PORT)
            raise ProtocolViolation("message: not an LDAPMessage")
        if available < 2:
            return None
        header, length = 2, buffer[start + 1]
        if length >= 0x80:
            length_octets = length & 0x7F
            if not 1 <= length_octets <= _MAX_LENGTH_OCTETS:
                raise ProtocolViolation("message: length is not definite")
            header += length_octets
            if available < header:
                return None
            length = int.from_bytes(buffer[start + 2 : start + header], "big")
        if header + length > self._max_message:
            raise ProtocolViolation("message: longer than accepted")
        if available < header + length:
            return None
        self._taken = start + header + length
        self.partial = available > header + length
        return bytes(buffer[start : self._taken])

    def discard(self) -> None:
        """Drop the octets that `take` has not returned."""
        self._buffer.clear()
        self._taken = 0
        self.partial = False


def message_ends(octets: bytes) -> list[int]:
    """Return the end offset of each LDAPMessage in octets that this server has encoded."""
    ends = []
    end, size = 0, len(octets)
    while end < size:
        length = octets[end + 1]
        end += 2
        if length >= 0x80:
            start, end = end, end + (length & 0x7F)
            length = int.from_bytes(octets[start:end], "big")
        end += length
        ends.append(end)
    return ends


def decode(octets: bytes) -> Message:
    """Decode one whole LDAPMessage.

    :raises ProtocolViolation: if the message is malformed; then the session must end (RFC 4511 4.1.1).
    """
    message = BerReader.over(octets).enter(SEQUENCE, "message")
    message_id = message.integer("messageID")
    if message_id <= 0:
        raise ProtocolViolation("messageID: out of range")
    tag, content = message.inside("protocolOp")
    decoder = _OPERATIONS.get(tag)
    if decoder is None:
        raise ProtocolViolation("protocolOp: not a request")
    operation, read = decoder
    message_controls = controls.read(message) if message.peek() == controls.CONTROLS_TAG else ()
    message.skip_extensions("message", controls.CONTROLS_TAG)
    request: Request
    try:
        request = read(content)
    except DirectoryError as error:
        request = Rejected(Result.of(error))
    return Message(message_id, operation, request, message_controls, octets if operation is Operation.SEARCH else b"")


def is_unbind(octets: bytes) -> bool:
    """Return whether the octets are one UnbindRequest in the usual encoding, which most phones send."""
    return (
        len(octets) == _UNBIND_LENGTH
        and octets.startswith(_UNBIND_START)
        and 0 < octets[4] < 0x80
        and octets.endswith(_UNBIND_END)
    )


def simple_bind(octets: bytes) -> tuple[int, str, bytes] | None:
    """Return the messageID, the name and the password of one simple BindRequest in the usual encoding.

    Return None if the octets are in another encoding, have no name or no password, or are not a BindRequest.
    """
    length = len(octets)
    if not _NAME_START < length < 0x82 or octets[5] != _BIND or not 0 < octets[4] < 0x80:
        return None
    name = octets[_NAME_START : _NAME_START + octets[_NAME_START - 1]]
    password = octets[_NAME_START + len(name) + 2 :]
    header = [SEQUENCE, length - 2, INTEGER, 1, octets[4], _BIND, length - 7, INTEGER, 1, 3, OCTET_STRING, len(name)]
    if not name or not password or octets != bytes(header) + name + bytes([_SIMPLE, len(password)]) + password:
        return None
    try:
        return octets[4], name.decode(), password
    except UnicodeDecodeError:
        return None


def _search(content: BerReader) -> SearchRequest:
    base = content.text("baseObject")
    scope = _SCOPES.get(content.integer("scope", ENUMERATED))
    deref = content.integer("derefAliases", ENUMERATED)
    size_limit = content.integer("sizeLimit")
    time_limit = content.integer("timeLimit")
    types_only = content.boolean("typesOnly")
    if scope is None:
        raise protocol_error("scope: unknown value")
    if not 0 <= deref <= _LAST_DEREF:
        raise protocol_error("derefAliases: unknown value")
    if size_limit < 0 or time_limit < 0:
        raise protocol_error("sizeLimit or timeLimit: negative")
    filter_ = decode_filter(content)
    attributes = _attributes(content.enter(SEQUENCE, "attributes"))
    content.skip_extensions("searchRequest")
    return SearchRequest(base, scope, filter_, size_limit, time_limit, types_only, attributes)


def _attributes(content: BerReader) -> tuple[str, ...]:
    attributes: list[str] = []
    names = 0
    while content:
        attributes.append(content.text("attributes"))
        names += max(1, len(names_in(attributes[-1])))  # some phones write several attributes into one string
        if names > ATTRIBUTES:
            raise DirectoryError(ResultCode.ADMIN_LIMIT_EXCEEDED, "attributes: too many")
    return tuple(attributes)


def _bind(content: BerReader) -> BindRequest:
    version = content.integer("version")
    name = content.text("name")
    tag, choice = content.inside("authentication")
    content.skip_extensions("bindRequest", _SIMPLE, _SASL)
    if tag == _SIMPLE:
        return BindRequest(version, name, Simple(choice.rest()))
    if tag == _SASL:
        mechanism = choice.text("mechanism")
        credentials = choice.octets("credentials") if choice.peek() == OCTET_STRING else None
        choice.skip_extensions("sasl")
        return BindRequest(version, name, Sasl(mechanism, credentials))
    return BindRequest(version, name, None)


def _compare(content: BerReader) -> CompareRequest:
    entry = content.text("entry")
    assertion = content.enter(SEQUENCE, "ava")
    content.skip_extensions("compareRequest")
    request = CompareRequest(entry, assertion.text("attributeDesc"), assertion.octets("assertionValue"))
    assertion.skip_extensions("ava")
    if len(request.value) > FILTER_OCTETS:
        raise DirectoryError(ResultCode.ADMIN_LIMIT_EXCEEDED, "assertionValue: too long")
    return request


def _extended(content: BerReader) -> ExtendedRequest:
    name = content.text("requestName", _REQUEST_NAME)
    value = content.octets("requestValue", _REQUEST_VALUE) if content.peek() == _REQUEST_VALUE else None
    content.skip_extensions("extendedRequest", _REQUEST_NAME, _REQUEST_VALUE)
    return ExtendedRequest(name, value)


def _abandon(content: BerReader) -> AbandonRequest:
    octets = content.rest()
    if not 1 <= len(octets) <= 4:
        raise ProtocolViolation("abandonRequest: integer of a wrong length")
    return AbandonRequest(int.from_bytes(octets, "big", signed=True))


def _unbind(content: BerReader) -> Empty:
    content.finish("unbindRequest")
    return Empty()


def _modification(content: BerReader) -> Empty:
    """Skip the content of a request that would change the directory, because every such request is refused."""
    content.rest()
    return Empty()


def cancel_id(value: bytes | None) -> int:
    """Return the messageID in the value of a Cancel request (RFC 3909 2.1).

    :raises DirectoryError: protocolError, if the value is malformed.
    """
    try:
        content = BerReader.over(value or b"")
        sequence = content.enter(SEQUENCE, "cancelRequestValue")
        content.finish("cancelRequestValue")
        message_id = sequence.integer("cancelID")
        sequence.finish("cancelRequestValue")
    except ProtocolViolation as violation:
        raise protocol_error(violation.diagnostic) from None
    return message_id


_OPERATIONS: Final[Mapping[int, tuple[Operation, Callable[[BerReader], Request]]]] = {
    operation.value: (operation, read)
    for operation, read in (
        (Operation.BIND, _bind),
        (Operation.UNBIND, _unbind),
        (Operation.SEARCH, _search),
        (Operation.MODIFY, _modification),
        (Operation.ADD, _modification),
        (Operation.DELETE, _modification),
        (Operation.MODIFY_DN, _modification),
        (Operation.COMPARE, _compare),
        (Operation.ABANDON, _abandon),
        (Operation.EXTENDED, _extended),
    )
}


class _Budget:
    """The number of terms that a filter may still have."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = FILTER_TERMS

    def spend(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise DirectoryError(ResultCode.ADMIN_LIMIT_EXCEEDED, "filter: too many terms")


# A filter of an unknown kind is decoded as a match with an unknown matching rule, because RFC 4511 4.5.1.7 demands that
# both are Undefined.  Later versions of the protocol may add kinds of filters, with context-specific tags.
_UNKNOWN_KIND: Final = Extensible("unknown", None, b"")


def decode_filter(parent: BerReader) -> Filter:
    """Decode the next element as a filter.

    :raises ProtocolViolation: if the filter cannot be decoded.
    :raises DirectoryError: if the filter is wrong, nested too deep, too long or too costly.
    """
    length = parent.next_length("filter")
    decoded = _filter(parent, 0, _Budget())
    if length > FILTER_OCTETS:
        raise DirectoryError(ResultCode.ADMIN_LIMIT_EXCEEDED, "filter: too long")
    if estimated_cost(decoded) > FILTER_EFFORT:
        raise DirectoryError(ResultCode.ADMIN_LIMIT_EXCEEDED, "filter: too costly")
    return decoded


def _filter(parent: BerReader, depth: int, budget: _Budget) -> Filter:
    budget.spend()
    tag, content = parent.inside("filter")
    decoder = _DECODERS.get(tag)
    if decoder is None:
        if tag & CLASS != CONTEXT_SPECIFIC:
            raise protocol_error("filter: unknown kind")
        return _UNKNOWN_KIND
    decoded = decoder(content, depth + 1, budget)
    content.finish("filter")
    return decoded


def _set(filter_class: Callable[[tuple[Filter, ...]], Filter]) -> Callable[[BerReader, int, _Budget], Filter]:
    """Return a function that decodes a set of filters into an `And` or `Or`."""

    def read_set(content: BerReader, depth: int, budget: _Budget) -> Filter:
        _check_depth(depth)
        terms = []
        while content:
            terms.append(_filter(content, depth, budget))
        return filter_class(tuple(terms))

    return read_set


def _not(content: BerReader, depth: int, budget: _Budget) -> Filter:
    _check_depth(depth)
    return Not(_filter(content, depth, budget))


def _assertion(filter_class: Callable[[str, bytes], Filter]) -> Callable[[BerReader, int, _Budget], Filter]:
    """Return a function that decodes an AttributeValueAssertion into a filter of the given class."""

    def read_assertion(content: BerReader, _depth: int, _budget: _Budget) -> Filter:
        decoded = filter_class(content.text("attributeDesc"), content.octets("assertionValue"))
        content.skip_extensions("filter")
        return decoded

    return read_assertion


def _substrings(content: BerReader, _depth: int, budget: _Budget) -> Filter:
    attribute = content.text("type")
    parts = content.enter(0x30, "substrings")
    initial: bytes | None = None
    final: bytes | None = None
    any_parts: list[bytes] = []
    if not parts:
        raise protocol_error("substrings: no part")
    first = True
    while parts:
        budget.spend()
        tag, part = parts.inside("substring")
        if final is not None or (tag == _INITIAL and not first):
            raise protocol_error("substrings: out of order")
        if tag == _INITIAL:
            initial = part.rest()
        elif tag == _ANY:
            any_parts.append(part.rest())
        elif tag == _FINAL:
            final = part.rest()
        else:
            raise protocol_error("substrings: unknown part")
        first = False
    content.skip_extensions("filter")
    return Substrings(attribute, initial, tuple(any_parts), final)


def _present(content: BerReader, _depth: int, _budget: _Budget) -> Filter:
    return Present(content.rest().decode("latin-1"))


def _extensible(content: BerReader, _depth: int, _budget: _Budget) -> Filter:
    rule = content.text("matchingRule", _RULE) if content.peek() == _RULE else None
    attribute = content.text("type", _TYPE) if content.peek() == _TYPE else None
    value = content.octets("matchValue", _VALUE)
    dn_attributes = content.boolean("dnAttributes", _DN_ATTRIBUTES) if content.peek() == _DN_ATTRIBUTES else False
    content.skip_extensions("filter", _RULE, _TYPE, _VALUE, _DN_ATTRIBUTES)
    if rule is None and attribute is None:
        raise protocol_error("extensibleMatch: neither rule nor type")
    return Extensible(rule, attribute, value, dn_attributes)


def _check_depth(depth: int) -> None:
    if depth > FILTER_DEPTH:
        raise protocol_error("filter: nested too deep")


def protocol_error(diagnostic: str) -> DirectoryError:
    return DirectoryError(ResultCode.PROTOCOL_ERROR, diagnostic)


_DECODERS: Final[dict[int, Callable[[BerReader, int, _Budget], Filter]]] = {
    0xA0: _set(And),
    0xA1: _set(Or),
    0xA2: _not,
    0xA3: _assertion(Equality),
    0xA4: _substrings,
    0xA5: _assertion(GreaterOrEqual),
    0xA6: _assertion(LessOrEqual),
    0x87: _present,
    0xA8: _assertion(Approximate),
    0xA9: _extensible,
}
