# SPDX-License-Identifier: MIT
"""Controls: what a client adds to a request (RFC 4511 4.1.11).

`KINDS` says which controls there are: the operations that each goes with, and what reads its value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ldapgw.ber import BOOLEAN, OCTET_STRING, SEQUENCE, Reader, boolean, octets, tlv
from ldapgw.errors import DirectoryError, ProtocolViolation, ResultCode
from ldapgw.ldap.limits import CONTROLS
from ldapgw.ldap.listview import VIEW_REQUEST, View, read_view
from ldapgw.ldap.messages import Control, Operation
from ldapgw.ldap.paging import PAGED_RESULTS, Page, read_page
from ldapgw.ldap.sort import SORT_REQUEST, Sort, read_sort

CONTROLS_TAG = 0xA0
# One takes 4 µs.
_MOST_READ = 1000
# RFC 3296
MANAGE_DSA_IT = "2.16.840.1.113730.3.4.2"


@dataclass(frozen=True, slots=True)
class ManageDsaIt:
    """Treat referrals as entries.  There are none here, so nothing is to be done."""


ControlValue = ManageDsaIt | Page | Sort | View


@dataclass(frozen=True, slots=True)
class Kind:
    """A control that works here.

    :ivar operations: those that it is appropriate for.
    :ivar read: what it asks for; raises `ProtocolViolation` when its value is not what the control's RFC says.
    """

    operations: frozenset[Operation]
    read: Callable[[Control], ControlValue]


def _manage_dsa_it(_control: Control) -> ManageDsaIt:
    return ManageDsaIt()


_SEARCH = frozenset((Operation.SEARCH,))

KINDS: Mapping[str, Kind] = {
    PAGED_RESULTS: Kind(_SEARCH, read_page),
    SORT_REQUEST: Kind(_SEARCH, read_sort),
    VIEW_REQUEST: Kind(_SEARCH, read_view),
    MANAGE_DSA_IT: Kind(
        frozenset(
            {
                Operation.SEARCH,
                Operation.COMPARE,
                Operation.ADD,
                Operation.DELETE,
                Operation.MODIFY,
                Operation.MODIFY_DN,
            }
        ),
        _manage_dsa_it,
    ),
}


def read(message: Reader) -> tuple[Control, ...]:
    """The controls that stand behind a request.

    More than anybody sends are read, so that `judge` can refuse them, up to where reading them would take milliseconds.

    :raises ProtocolViolation: when they cannot be read, or are far too many.
    """
    sequence = message.enter(CONTROLS_TAG, "controls")
    controls: list[Control] = []
    while sequence:
        if len(controls) == _MOST_READ:
            raise ProtocolViolation("controls: too many")
        content = sequence.enter(SEQUENCE, "control")
        kind = content.text("controlType")
        critical = content.boolean("criticality") if content.peek() == BOOLEAN else False
        value = content.octets("controlValue") if content.peek() == OCTET_STRING else None
        content.finish("control")
        controls.append(Control(kind, critical, value))
    return tuple(controls)


def write(controls: tuple[Control, ...]) -> bytes:
    """The controls of a reply, as they stand behind it."""
    return tlv(CONTROLS_TAG, b"".join(_encode(control) for control in controls)) if controls else b""


def _encode(control: Control) -> bytes:
    critical = boolean(control.critical) if control.critical else b""
    value = octets(control.value) if control.value is not None else b""
    return tlv(SEQUENCE, octets(control.type.encode()) + critical + value)


def judge(controls: tuple[Control, ...], operation: Operation) -> tuple[ControlValue, ...]:
    """The values of those controls that are to be honoured.

    RFC 4511 4.1.11: an unrecognized or inappropriate control fails the operation if it is critical and is ignored
    else.

    :raises DirectoryError: unavailableCriticalExtension; protocolError for a value that is wrong, and for a control
        that is there twice, of which nobody can say what is meant; adminLimitExceeded for more than anybody sends.
    """
    if len(controls) > CONTROLS:
        raise DirectoryError(ResultCode.ADMIN_LIMIT_EXCEEDED, "controls: too many")
    values = []
    seen = set()
    for control in controls:
        kind = KINDS.get(control.type)
        if kind is None or operation not in kind.operations:
            if control.critical:
                raise DirectoryError(ResultCode.UNAVAILABLE_CRITICAL_EXTENSION, "critical control is not supported")
            continue
        if control.type in seen:
            raise DirectoryError(ResultCode.PROTOCOL_ERROR, "the same control twice")
        seen.add(control.type)
        try:
            values.append(kind.read(control))
        except ProtocolViolation as violation:
            raise DirectoryError(ResultCode.PROTOCOL_ERROR, violation.diagnostic) from None
    return tuple(values)
