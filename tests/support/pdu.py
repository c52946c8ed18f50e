# SPDX-License-Identifier: MIT
"""Requests are written as octets, as a phone writes them, and replies are taken apart again."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ldapgw.ber import ENUMERATED, SEQUENCE, SET, BerReader, boolean, integer, octets, tlv

PRESENT = tlv(0x87, b"objectClass")


def message(message_id: int, request: bytes, controls: bytes = b"") -> bytes:
    return tlv(SEQUENCE, integer(message_id) + request + controls)


def control(oid: str, *, critical: bool | None = None, value: bytes | None = None) -> bytes:
    parts = octets(oid.encode())
    if critical is not None:
        parts += boolean(critical)
    if value is not None:
        parts += octets(value)
    return tlv(SEQUENCE, parts)


def controls(*parts: bytes) -> bytes:
    return tlv(0xA0, b"".join(parts))


def bind(name: str | bytes = "", password: bytes = b"", version: int = 3) -> bytes:
    raw = name.encode() if isinstance(name, str) else name
    return tlv(0x60, integer(version) + octets(raw) + octets(password, 0x80))


def sasl(mechanism: str, credentials: bytes | None = None) -> bytes:
    inner = octets(mechanism.encode()) + (octets(credentials) if credentials is not None else b"")
    return tlv(0x60, integer(3) + octets(b"") + tlv(0xA3, inner))


def search(
    base: str = "",
    scope: int = 0,
    filter_: bytes = PRESENT,
    attributes: tuple[str, ...] = (),
    *,
    size: int = 0,
    time: int = 0,
    deref: int = 0,
    types_only: bool = False,
) -> bytes:
    return tlv(
        0x63,
        octets(base.encode())
        + integer(scope, ENUMERATED)
        + integer(deref, ENUMERATED)
        + integer(size)
        + integer(time)
        + boolean(types_only)
        + filter_
        + tlv(SEQUENCE, b"".join(octets(name.encode()) for name in attributes)),
    )


def compare(entry: str, attribute: str, value: bytes) -> bytes:
    return tlv(0x6E, octets(entry.encode()) + tlv(SEQUENCE, octets(attribute.encode()) + octets(value)))


def extended(name: str, value: bytes | None = None) -> bytes:
    return tlv(0x77, octets(name.encode(), 0x80) + (octets(value, 0x81) if value is not None else b""))


def abandon(message_id: int) -> bytes:
    return integer(message_id, 0x50)


def cancel(message_id: int) -> bytes:
    return extended("1.3.6.1.1.8", tlv(SEQUENCE, integer(message_id)))


UNBIND = b"\x42\x00"
START_TLS = extended("1.3.6.1.4.1.1466.20037")
WHO_AM_I = extended("1.3.6.1.4.1.4203.1.11.3")


@dataclass(frozen=True)
class Response:
    """A reply as a client sees it.

    :ivar kind: its protocolOp's tag.
    :ivar code: resultCode; None for an entry.
    :ivar controls: the values of the response's controls by their types.
    """

    message_id: int
    kind: int
    code: int | None = None
    matched_dn: str = ""
    diagnostic: str = ""
    name: str = ""
    value: bytes | None = None
    dn: str = ""
    attributes: tuple[tuple[str, tuple[bytes, ...]], ...] = ()
    controls: tuple[tuple[str, bytes], ...] = ()


def responses(data: bytes) -> list[Response]:
    """All that came; raises when it is not whole messages."""
    reader = BerReader.over(data)
    found = []
    while reader:
        content = reader.enter(SEQUENCE, "message")
        message_id = content.integer("messageID")
        kind, operation = content.inside("protocolOp")
        sent = _controls(content.enter(0xA0, "controls")) if content else ()
        content.finish("message")
        read = {0x64: _entry, 0x79: _intermediate}.get(kind)
        one = read(message_id, operation) if read else _result(message_id, kind, operation)
        found.append(replace(one, controls=sent) if sent else one)
    return found


def _controls(sequence: BerReader) -> tuple[tuple[str, bytes], ...]:
    found = []
    while sequence:
        one = sequence.enter(SEQUENCE, "control")
        found.append((one.octets("controlType").decode(), one.octets("controlValue")))
        one.finish("control")
    return tuple(found)


def _entry(message_id: int, operation: BerReader) -> Response:
    dn = operation.octets("objectName").decode()
    listed = operation.enter(SEQUENCE, "attributes")
    operation.finish("entry")
    attributes = []
    while listed:
        attribute = listed.enter(SEQUENCE, "attribute")
        name, values, found = attribute.octets("type").decode(), attribute.enter(SET, "vals"), []
        while values:
            found.append(values.octets("value"))
        attributes.append((name, tuple(found)))
    return Response(message_id, 0x64, dn=dn, attributes=tuple(attributes))


def _intermediate(message_id: int, operation: BerReader) -> Response:
    name, value = operation.octets("responseName", 0x80).decode(), operation.octets("responseValue", 0x81)
    operation.finish("intermediate")
    return Response(message_id, 0x79, name=name, value=value)


def _result(message_id: int, kind: int, operation: BerReader) -> Response:
    code = operation.integer("resultCode", ENUMERATED)
    matched_dn = operation.octets("matchedDN").decode()
    diagnostic = operation.octets("diagnosticMessage").decode()
    name = operation.octets("responseName", 0x8A).decode() if operation.peek() == 0x8A else ""
    value = operation.octets("responseValue", 0x8B) if operation.peek() == 0x8B else None
    operation.finish("response")
    return Response(message_id, kind, code, matched_dn, diagnostic, name, value)


def uids(entries: list[Response]) -> list[str]:
    return [one.dn.split(",")[0].removeprefix("uid=") for one in entries]


def whole_messages(data: bytes | bytearray) -> int:
    """Count the octets at the start that are whole messages."""
    position = 0
    while position + 2 <= len(data):
        length, head = data[position + 1], 2
        if length & 0x80:
            head += length & 0x7F
            if position + head > len(data):
                break
            length = int.from_bytes(data[position + 2 : position + head], "big")
        if position + head + length > len(data):
            break
        position += head + length
    return position
