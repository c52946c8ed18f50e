# SPDX-License-Identifier: MIT
"""Controls: what a client adds to a request (RFC 4511 4.1.11).

`KINDS` says which controls there are: the operations that each goes with, and what reads its value.

The paged results control (RFC 2696): its value, and the cookie.

The server remembers nothing between two pages: the cookie says behind which place the next one begins.  It is sealed
with a key that lives as long as the process, together with the search and the login that it belongs to; so a client can
neither make one nor use it for anything else, and one from before a restart is refused.

The sort control, from BER and to BER (RFC 2891).

The virtual list view control, from BER and to BER (draft-ietf-ldapext-ldapv3-vlv-09).

No contextID is ever sent: a window is worked out anew each time and is exact.  So none that comes can be valid.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from ldapgw.ber import BOOLEAN, ENUMERATED, OCTET_STRING, SEQUENCE, BerReader, boolean, integer, octets, tlv
from ldapgw.directory.sort import MOST_KEYS, AtLeast, Offset, SortKey, Window
from ldapgw.errors import DirectoryError, ProtocolViolation, ResultCode
from ldapgw.ldap.limits import CONTROLS
from ldapgw.ldap.messages import Control, Operation

PAGED_RESULTS = "1.2.840.113556.1.4.319"

# Octets of the seal: half of SHA-256, which nobody guesses.
SEAL: Final = 16


@dataclass(frozen=True, slots=True)
class PagedResults:
    """A wish for one page.

    :ivar size: entries; 0 with a cookie: no more pages are wanted.
    :ivar cookie: as the page before gave it; empty: the first page.
    """

    size: int
    cookie: bytes = field(repr=False)


def read_page(control: Control) -> PagedResults:
    """The wish that a request control holds.

    :raises ProtocolViolation: when its value is not what the RFC says.
    """
    value = BerReader.over(control.value or b"")
    content = value.enter(SEQUENCE, "pagedResults")
    value.finish("pagedResults")
    page = PagedResults(content.integer("size"), content.octets("cookie"))
    content.finish("pagedResults")
    if page.size < 0:
        raise ProtocolViolation("size: negative")
    return page


def page_response(cookie: bytes) -> Control:
    """What goes with a page; 0 is the estimate of somebody who does not know how many there are."""
    return Control(PAGED_RESULTS, value=tlv(SEQUENCE, integer(0) + octets(cookie)))


class Cookies:
    """Makes and opens the cookies of one search of one login.

    :param key: of the process; nobody else has it.
    :param search: everything that has to be the same at the next page.
    """

    __slots__ = ("_key", "_search")

    def __init__(self, key: bytes, search: Hashable) -> None:
        self._key = key
        self._search = sha256(repr(search).encode("utf-8", "surrogatepass")).digest()

    def seal(self, place: bytes) -> bytes:
        """The cookie that stands for a place."""
        return self._seal(place) + place

    def open(self, cookie: bytes) -> bytes:
        """The place that a cookie stands for.

        :raises DirectoryError: unwillingToPerform, when it is not one of this search's.
        """
        place = cookie[SEAL:]
        if not hmac.compare_digest(cookie[:SEAL], self._seal(place)):
            raise DirectoryError(ResultCode.UNWILLING_TO_PERFORM, "the cookie does not belong to this search")
        return place

    def _seal(self, place: bytes) -> bytes:
        return hmac.digest(self._key, self._search + place, "sha256")[:SEAL]


SORT_REQUEST = "1.2.840.113556.1.4.473"
SORT_RESPONSE = "1.2.840.113556.1.4.474"

_ORDERING_RULE, _REVERSE_ORDER, _ATTRIBUTE_TYPE = 0x80, 0x81, 0x80


@dataclass(frozen=True, slots=True)
class ServerSideSort:
    """A wish to have the entries sorted.

    :ivar keys: the most important first; at least one.
    """

    keys: tuple[SortKey, ...]
    critical: bool


def read_sort(control: Control) -> ServerSideSort:
    """The wish that a request control holds.

    :raises ProtocolViolation: when its value is not what the RFC says.
    """
    value = BerReader.over(control.value or b"")
    sequence = value.enter(SEQUENCE, "sortKeyList")
    value.finish("sortKeyList")
    keys: list[SortKey] = []
    while sequence and len(keys) <= MOST_KEYS:  # one too many says that they are too many
        key = sequence.enter(SEQUENCE, "sortKey")
        attribute = key.text("attributeType")
        rule = key.text("orderingRule", _ORDERING_RULE) if key.peek() == _ORDERING_RULE else None
        reverse = key.boolean("reverseOrder", _REVERSE_ORDER) if key else False
        key.finish("sortKey")
        keys.append(SortKey(attribute, rule, reverse))
    if not keys:
        raise ProtocolViolation("sortKeyList: none")
    return ServerSideSort(tuple(keys), control.critical)


def sort_response(code: ResultCode, attribute: str = "") -> Control:
    """What became of it.

    :param attribute: the key that was the trouble, as it was sent; empty: none was.
    """
    kind = octets(attribute.encode("utf-8", "surrogatepass"), _ATTRIBUTE_TYPE) if attribute else b""
    return Control(SORT_RESPONSE, value=tlv(SEQUENCE, integer(code, ENUMERATED) + kind))


VIEW_REQUEST = "2.16.840.1.113730.3.4.9"
VIEW_RESPONSE = "2.16.840.1.113730.3.4.10"

_BY_OFFSET, _GREATER_THAN_OR_EQUAL = 0xA0, 0x81


@dataclass(frozen=True, slots=True)
class VirtualListView:
    """A wish to see a window of the sorted list.

    :ivar context_id: as it was sent; empty: none.
    """

    window: Window
    critical: bool
    context_id: bytes = b""


def read_view(control: Control) -> VirtualListView:
    """The wish that a request control holds.

    :raises ProtocolViolation: when its value is not what the draft says.
    """
    value = BerReader.over(control.value or b"")
    request = value.enter(SEQUENCE, "virtualListViewRequest")
    value.finish("virtualListViewRequest")
    before, after = request.integer("beforeCount"), request.integer("afterCount")
    if before < 0 or after < 0:
        raise ProtocolViolation("beforeCount or afterCount: negative")
    window = Window(before, after, _target(request))
    context_id = request.octets("contextID") if request.peek() == OCTET_STRING else b""
    request.finish("virtualListViewRequest")
    return VirtualListView(window, control.critical, context_id)


def _target(request: BerReader) -> Offset | AtLeast:
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


CONTROLS_TAG = 0xA0
# One takes 4 µs.
_MOST_READ = 1000
# RFC 3296
MANAGE_DSA_IT = "2.16.840.1.113730.3.4.2"


@dataclass(frozen=True, slots=True)
class ManageDsaIt:
    """Treat referrals as entries.  There are none here, so nothing is to be done."""


ControlValue = ManageDsaIt | PagedResults | ServerSideSort | VirtualListView


@dataclass(frozen=True, slots=True)
class SupportedControl:
    """A control that works here.

    :ivar operations: those that it is appropriate for.
    :ivar read: what it asks for; raises `ProtocolViolation` when its value is not what the control's RFC says.
    """

    operations: frozenset[Operation]
    read: Callable[[Control], ControlValue]


def _manage_dsa_it(_control: Control) -> ManageDsaIt:
    return ManageDsaIt()


_SEARCH = frozenset((Operation.SEARCH,))

SUPPORTED_CONTROLS: Mapping[str, SupportedControl] = {
    PAGED_RESULTS: SupportedControl(_SEARCH, read_page),
    SORT_REQUEST: SupportedControl(_SEARCH, read_sort),
    VIEW_REQUEST: SupportedControl(_SEARCH, read_view),
    MANAGE_DSA_IT: SupportedControl(
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


def read(message: BerReader) -> tuple[Control, ...]:
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


def check_controls(controls: tuple[Control, ...], operation: Operation) -> tuple[ControlValue, ...]:
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
        kind = SUPPORTED_CONTROLS.get(control.type)
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
