# SPDX-License-Identifier: MIT
"""Search controls as a client writes them, and their responses as it reads them."""

from __future__ import annotations

from typing import Any

from ldapgw.ber import ENUMERATED, SEQUENCE, BerReader, boolean, integer, octets, tlv
from tests.support import pdu

PAGED, SORT, VIEW = "1.2.840.113556.1.4.319", "1.2.840.113556.1.4.473", "2.16.840.1.113730.3.4.9"
SORTED, VIEWED = "1.2.840.113556.1.4.474", "2.16.840.1.113730.3.4.10"


def page(size: int, cookie: bytes = b"", *, critical: bool | None = None) -> bytes:
    return pdu.control(PAGED, critical=critical, value=tlv(SEQUENCE, integer(size) + octets(cookie)))


def sort(*keys: str, critical: bool | None = None) -> bytes:
    """Keys as ``attribute``, ``-attribute`` and ``attribute:rule``."""
    listed = []
    for key in keys:
        attribute, _, rule = key.removeprefix("-").partition(":")
        asked = octets(attribute.encode()) + (octets(rule.encode(), 0x80) if rule else b"")
        listed.append(tlv(SEQUENCE, asked + (boolean(True, 0x81) if key.startswith("-") else b"")))
    return pdu.control(SORT, critical=critical, value=tlv(SEQUENCE, b"".join(listed)))


def view(
    before: int, after: int, target: tuple[int, int] | bytes, context: bytes | None = None, *, critical: bool = False
) -> bytes:
    """A target is an offset with a content count, or a value."""
    chosen = octets(target, 0x81) if isinstance(target, bytes) else tlv(0xA0, integer(target[0]) + integer(target[1]))
    value = integer(before) + integer(after) + chosen + (octets(context) if context is not None else b"")
    return pdu.control(VIEW, critical=critical, value=tlv(SEQUENCE, value))


def cookie(done: pdu.Response) -> bytes:
    """The cookie of a page; raises when there is no paged results control."""
    content = _content(done, PAGED)
    assert content is not None
    assert content.integer("size") == 0
    found = content.octets("cookie")
    content.finish("value")
    return found


def sort_result(done: pdu.Response) -> tuple[int, str] | None:
    """Code and attribute of the sort response; None where there is none."""
    if (content := _content(done, SORTED)) is None:
        return None
    code = content.integer("sortResult", ENUMERATED)
    attribute = content.octets("attributeType", 0x80).decode() if content else ""
    content.finish("value")
    return code, attribute


def view_result(done: pdu.Response) -> tuple[int, int, int] | None:
    """Target position, content count and code of the list view response; None where there is none."""
    if (content := _content(done, VIEWED)) is None:
        return None
    found = content.integer("targetPosition"), content.integer("contentCount"), content.integer("result", ENUMERATED)
    content.finish("value")
    return found


def _content(done: pdu.Response, control: str) -> BerReader | None:
    """The value of a control; None if the response has no such control."""
    value = dict(done.controls).get(control)
    return None if value is None else BerReader.over(value).enter(SEQUENCE, "value")


def controls_of(case: dict[str, Any]) -> list[bytes]:
    """The controls of a case, as its text has them; pages are asked for one after the other."""
    found = []
    for text in case["controls"]:
        kind, _, rest = text.partition(":")
        if kind == "sort":
            found.append(sort(*rest.split()))
        elif kind == "vlv":
            told = dict(part.split("=") for part in rest.split(","))
            target = told["ge"].encode() if "ge" in told else (int(told["offset"]), int(told["count"]))
            found.append(view(int(told["before"]), int(told["after"]), target))
    return found
