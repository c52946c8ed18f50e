# SPDX-License-Identifier: MIT
"""Decodes requests from BER into messages (RFC 4511 4.1.1 and 4.2 to 4.12).

The decoder is strict: every element lies within its parent, and every parent is consumed to its last octet.  A request
that cannot be decoded is a `ProtocolViolation` and ends the session.  A request that can be decoded but is wrong
becomes a `Rejected` request, which is answered with the result that says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from ldapgw.ber import ENUMERATED, INTEGER, OCTET_STRING, SEQUENCE, BerReader
from ldapgw.directory.filter import Scope, SearchRequest
from ldapgw.errors import DirectoryError, ProtocolViolation, ResultCode
from ldapgw.ldap import controls, filter_decoder
from ldapgw.ldap.filter_decoder import protocol_error
from ldapgw.ldap.limits import ATTRIBUTES, FILTER_OCTETS
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

_SIMPLE, _SASL = 0x80, 0xA3
_REQUEST_NAME, _REQUEST_VALUE = 0x80, 0x81
_SCOPES: Final = {scope.value: scope for scope in Scope}
_LAST_DEREF: Final = 3

# The octets of an UnbindRequest before and after a messageID of one octet.
_UNBIND_START, _UNBIND_END = b"\x30\x05\x02\x01", b"\x42\x00"
_UNBIND_LENGTH: Final = len(_UNBIND_START) + 1 + len(_UNBIND_END)

# The tag of a BindRequest, and the position of its name after a messageID of one octet.
_BIND, _NAME_START = Operation.BIND.value, 12


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
    message_controls = controls.read(message) if message else ()
    message.finish("message")
    request: Request
    try:
        request = read(content)
    except DirectoryError as error:
        request = Rejected(Result.of(error))
    return Message(message_id, operation, request, message_controls, octets if operation is Operation.SEARCH else b"")


def is_unbind(octets: bytes) -> bool:
    """Return whether the octets are one UnbindRequest in the usual encoding, with which most phones end a session."""
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
    filter_ = filter_decoder.read(content)
    attributes = _attributes(content.enter(SEQUENCE, "attributes"))
    content.finish("searchRequest")
    return SearchRequest(base, scope, filter_, size_limit, time_limit, types_only, attributes)


def _attributes(content: BerReader) -> tuple[str, ...]:
    attributes: list[str] = []
    names = 0
    while content:
        attributes.append(content.text("attributes"))
        names += max(1, len(attributes[-1].split()))  # some phones write several names into one string
        if names > ATTRIBUTES:
            raise DirectoryError(ResultCode.ADMIN_LIMIT_EXCEEDED, "attributes: too many")
    return tuple(attributes)


def _bind(content: BerReader) -> BindRequest:
    version = content.integer("version")
    name = content.text("name")
    tag, choice = content.inside("authentication")
    content.finish("bindRequest")
    if tag == _SIMPLE:
        return BindRequest(version, name, Simple(choice.rest()))
    if tag == _SASL:
        mechanism = choice.text("mechanism")
        credentials = choice.octets("credentials") if choice else None
        choice.finish("sasl")
        return BindRequest(version, name, Sasl(mechanism, credentials))
    return BindRequest(version, name, None)


def _compare(content: BerReader) -> CompareRequest:
    entry = content.text("entry")
    assertion = content.enter(SEQUENCE, "ava")
    content.finish("compareRequest")
    request = CompareRequest(entry, assertion.text("attributeDesc"), assertion.octets("assertionValue"))
    assertion.finish("ava")
    if len(request.value) > FILTER_OCTETS:
        raise DirectoryError(ResultCode.ADMIN_LIMIT_EXCEEDED, "assertionValue: too long")
    return request


def _extended(content: BerReader) -> ExtendedRequest:
    name = content.text("requestName", _REQUEST_NAME)
    value = content.octets("requestValue", _REQUEST_VALUE) if content else None
    content.finish("extendedRequest")
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
