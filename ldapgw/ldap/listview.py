# SPDX-License-Identifier: MIT
"""The virtual list view control, from BER and to BER (draft-ietf-ldapext-ldapv3-vlv-09).

No contextID is ever sent: a window is worked out anew each time and is exact.  So none that comes can be valid.
"""

from __future__ import annotations

from dataclasses import dataclass

from ldapgw.ber import ENUMERATED, OCTET_STRING, SEQUENCE, Reader, integer, tlv
from ldapgw.directory.window import AtLeast, Offset, Window
from ldapgw.errors import ProtocolViolation, ResultCode
from ldapgw.ldap.messages import Control

VIEW_REQUEST = "2.16.840.1.113730.3.4.9"
VIEW_RESPONSE = "2.16.840.1.113730.3.4.10"

_BY_OFFSET, _GREATER_THAN_OR_EQUAL = 0xA0, 0x81


@dataclass(frozen=True, slots=True)
class View:
    """A wish to see a window of the sorted list.

    :ivar context_id: as it was sent; empty: none.
    """

    window: Window
    critical: bool
    context_id: bytes = b""


def read_view(control: Control) -> View:
    """The wish that a request control holds.

    :raises ProtocolViolation: when its value is not what the draft says.
    """
    value = Reader.over(control.value or b"")
    request = value.enter(SEQUENCE, "virtualListViewRequest")
    value.finish("virtualListViewRequest")
    before, after = request.integer("beforeCount"), request.integer("afterCount")
    if before < 0 or after < 0:
        raise ProtocolViolation("beforeCount or afterCount: negative")
    window = Window(before, after, _target(request))
    context_id = request.octets("contextID") if request.peek() == OCTET_STRING else b""
    request.finish("virtualListViewRequest")
    return View(window, control.critical, context_id)


def _target(request: Reader) -> Offset | AtLeast:
    if request.peek() == _GREATER_THAN_OR_EQUAL:
        return AtLeast(request.octets("greaterThanOrEqual", _GREATER_THAN_OR_EQUAL))
    choice = request.enter(_BY_OFFSET, "byOffset")
    target = Offset(choice.integer("offset"), choice.integer("contentCount"))
    choice.finish("byOffset")
    return target


def view_response(code: ResultCode, position: int = 0, count: int = 0) -> Control:
    """What became of it: the target's position, and how many entries the list holds."""
    content = integer(position) + integer(count) + integer(code, ENUMERATED)
    return Control(VIEW_RESPONSE, value=tlv(SEQUENCE, content))
