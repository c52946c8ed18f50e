# SPDX-License-Identifier: MIT
"""Converts controls of requests and replies (RFC 4511 4.1.11) between BER and values.

The server supports paged results (RFC 2696), server-side sorting (RFC 2891), virtual list views
(draft-ietf-ldapext-ldapv3-vlv-09) and ManageDsaIT (RFC 3296).  `SUPPORTED_CONTROLS` has the operations and the decoder
of each control; another package adds controls to a server with `ldapgw.ldap.server.LdapFactory.add_controls`.

The server keeps no state between two pages: the cookie contains the resume key, after which the next page begins.  A
seal (HMAC) over resume key, search and login keeps clients from forging a cookie, and from using a cookie for another
search.  All gateways with the same key file accept the cookie, so a client can continue at another gateway.

The server computes each window of a virtual list view anew, and so sends no contextID.  A request with a contextID is
refused.
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

PAGED_RESULTS: Final = "1.2.840.113556.1.4.319"
SORT_REQUEST: Final = "1.2.840.113556.1.4.473"
SORT_RESPONSE: Final = "1.2.840.113556.1.4.474"
VLV_REQUEST: Final = "2.16.840.1.113730.3.4.9"
VLV_RESPONSE: Final = "2.16.840.1.113730.3.4.10"
# RFC 3296
MANAGE_DSA_IT: Final = "2.16.840.1.113730.3.4.2"

CONTROLS_TAG: Final = 0xA0
# The maximum number of controls that are decoded; more controls end the session.  Decoding a control takes 4 µs.
_MAX_DECODED: Final = 1000
# The number of octets of a cookie's seal.  Half of a SHA-256 is long enough that nobody can guess a seal.
_SEAL_LENGTH: Final = 16

_ORDERING_RULE, _REVERSE_ORDER, _ATTRIBUTE_TYPE = 0x80, 0x81, 0x80
_BY_OFFSET, _GREATER_THAN_OR_EQUAL = 0xA0, 0x81


def _sequence(control: Control, name: str) -> BerReader:
    """Return a reader over the content of the sequence that is the value of a control."""
    value = BerReader.over(control.value or b"")
    content = value.enter(SEQUENCE, name)
    value.finish(name)
    return content


# --- paged results (RFC 2696) ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PagedResults:
    """A request for one page (RFC 2696 2).

    :ivar size: entries in the page; 0 together with a cookie says that the client wants no more pages.
    :ivar cookie: the cookie of the previous page; empty in the request for the first page.
    """

    size: int
    cookie: bytes = field(repr=False)


def read_page(control: Control) -> PagedResults:
    """Decode the value of a paged results control (RFC 2696 2).

    :raises ProtocolViolation: if the value is malformed.
    """
    content = _sequence(control, "pagedResults")
    page = PagedResults(content.integer("size"), content.octets("cookie"))
    content.finish("pagedResults")
    if page.size < 0:
        raise ProtocolViolation("size: negative")
    return page


def page_response(cookie: bytes) -> Control:
    """Return the control of a page, with 0 (unknown) as the estimated number of entries."""
    return Control(PAGED_RESULTS, value=tlv(SEQUENCE, integer(0) + octets(cookie)))


class PageCookies:
    """Makes and opens the page cookies of one search by one login.

    :param key: a secret that all gateways with the same key file have, so that each gateway can continue a search.
    :param search: the parts of a request that have to be the same in the request for the next page.
    """

    __slots__ = ("_key", "_search")

    def __init__(self, key: bytes, search: Hashable) -> None:
        self._key = key
        self._search = sha256(repr(search).encode("utf-8", "surrogatepass")).digest()

    def seal(self, resume_key: bytes) -> bytes:
        """Return the cookie of a page that ends at a resume key."""
        return self._seal(resume_key) + resume_key

    def open(self, cookie: bytes) -> bytes:
        """Return the resume key in a cookie.

        :raises DirectoryError: unwillingToPerform, if the cookie does not belong to this search.
        """
        resume_key = cookie[_SEAL_LENGTH:]
        if not hmac.compare_digest(cookie[:_SEAL_LENGTH], self._seal(resume_key)):
            raise DirectoryError(ResultCode.UNWILLING_TO_PERFORM, "the cookie does not belong to this search")
        return resume_key

    def _seal(self, resume_key: bytes) -> bytes:
        return hmac.digest(self._key, self._search + resume_key, "sha256")[:_SEAL_LENGTH]


# --- server-side sorting (RFC 2891) ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ServerSideSort:
    """A request to sort the entries (RFC 2891 1.1).

    :ivar keys: at least one sort key; the most significant key comes first.
    """

    keys: tuple[SortKey, ...]
    critical: bool


def read_sort(control: Control) -> ServerSideSort:
    """Decode the value of a sort control (RFC 2891 1.1).

    :raises ProtocolViolation: if the value is malformed.
    """
    sequence = _sequence(control, "sortKeyList")
    keys: list[SortKey] = []
    while sequence and len(keys) <= MOST_KEYS:  # one key beyond the limit is enough to refuse all keys
        key = sequence.enter(SEQUENCE, "sortKey")
        attribute = key.text("attributeType")
        rule = key.text("orderingRule", _ORDERING_RULE) if key.peek() == _ORDERING_RULE else None
        reverse = key.boolean("reverseOrder", _REVERSE_ORDER) if key else False
        key.finish("sortKey")
        keys.append(SortKey(attribute, rule, reverse))
    if not keys:
        raise ProtocolViolation("sortKeyList: no sort key")
    return ServerSideSort(tuple(keys), control.critical)


def sort_response(code: ResultCode, attribute: str = "") -> Control:
    """Return the control with the result of sorting (RFC 2891 1.2).

    :param attribute: the attribute of the sort key that caused the error, as the client sent it; empty if no sort key
        caused an error.
    """
    attribute_type = octets(attribute.encode("utf-8", "surrogatepass"), _ATTRIBUTE_TYPE) if attribute else b""
    return Control(SORT_RESPONSE, value=tlv(SEQUENCE, integer(code, ENUMERATED) + attribute_type))


# --- virtual list views (draft-ietf-ldapext-ldapv3-vlv-09) ----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class VirtualListView:
    """A request for a window of the sorted list.

    :ivar context_id: the contextID as it was sent; empty if the request has no contextID.
    """

    window: Window
    critical: bool
    context_id: bytes = b""


def read_vlv(control: Control) -> VirtualListView:
    """Decode the value of a virtual list view control.

    :raises ProtocolViolation: if the value is malformed.
    """
    request = _sequence(control, "virtualListViewRequest")
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


def vlv_response(code: ResultCode, position: int = 0, count: int = 0) -> Control:
    """Return the control with the result of a list view.

    :param position: the position of the target; the first position is 1.
    :param count: the number of entries in the list.
    """
    content = integer(position) + integer(count) + integer(code, ENUMERATED)
    return Control(VLV_RESPONSE, value=tlv(SEQUENCE, content))


# --- all controls ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SupportedControl:
    """A control that this server supports.

    :ivar read: decodes the value of the control; raises `ProtocolViolation` if the value is malformed.  If the
        implementation of the control answers searches itself, `read` returns a
        `ldapgw.ldap.search_controls.AnsweringControl`.
    """

    operations: frozenset[Operation]
    read: Callable[[Control], object]


_SEARCH: Final = frozenset((Operation.SEARCH,))

SUPPORTED_CONTROLS: Final[Mapping[str, SupportedControl]] = {
    PAGED_RESULTS: SupportedControl(_SEARCH, read_page),
    SORT_REQUEST: SupportedControl(_SEARCH, read_sort),
    VLV_REQUEST: SupportedControl(_SEARCH, read_vlv),
    # A request to treat referrals as entries (RFC 3296 3).  There are no referrals, so there is nothing to do.
    MANAGE_DSA_IT: SupportedControl(
        _SEARCH | {Operation.COMPARE, Operation.ADD, Operation.DELETE, Operation.MODIFY, Operation.MODIFY_DN},
        lambda _control: None,
    ),
}


def read(message: BerReader) -> tuple[Control, ...]:
    """Decode the controls of a request.

    :raises ProtocolViolation: if the controls are malformed, or there are more than a thousand.
    """
    sequence = message.enter(CONTROLS_TAG, "controls")
    controls: list[Control] = []
    while sequence:
        if len(controls) == _MAX_DECODED:
            raise ProtocolViolation("controls: too many")
        content = sequence.enter(SEQUENCE, "control")
        control_type = content.text("controlType")
        critical = content.boolean("criticality") if content.peek() == BOOLEAN else False
        value = content.octets("controlValue") if content.peek() == OCTET_STRING else None
        content.skip_extensions("control")
        controls.append(Control(control_type, critical, value))
    return tuple(controls)


def write(controls: tuple[Control, ...]) -> bytes:
    """Encode the controls of a reply; return no octets if there are no controls."""
    return tlv(CONTROLS_TAG, b"".join(_encode(control) for control in controls)) if controls else b""


def _encode(control: Control) -> bytes:
    critical = boolean(control.critical) if control.critical else b""
    value = octets(control.value) if control.value is not None else b""
    return tlv(SEQUENCE, octets(control.type.encode()) + critical + value)


def check_controls(
    controls: tuple[Control, ...],
    operation: Operation,
    registry: Mapping[str, SupportedControl] = SUPPORTED_CONTROLS,
) -> tuple[object, ...]:
    """Return the values of the controls of a request that apply to the operation.

    A control that is malformed, or not supported for the operation, is ignored unless the control is critical (RFC 4511
    4.1.11).

    :raises DirectoryError: adminLimitExceeded for too many controls; unavailableCriticalExtension for a critical
        control that is not supported; protocolError for a malformed critical control, or for a control that occurs
        twice.
    """
    if len(controls) > CONTROLS:
        raise DirectoryError(ResultCode.ADMIN_LIMIT_EXCEEDED, "controls: too many")
    values: list[object] = []
    seen = set()
    for control in controls:
        supported = registry.get(control.type)
        if supported is None or operation not in supported.operations:
            if control.critical:
                raise DirectoryError(ResultCode.UNAVAILABLE_CRITICAL_EXTENSION, "critical control is not supported")
            continue
        if control.type in seen:
            raise DirectoryError(ResultCode.PROTOCOL_ERROR, "the request has the same control twice")
        seen.add(control.type)
        try:
            values.append(supported.read(control))
        except ProtocolViolation as violation:
            if control.critical:
                raise DirectoryError(ResultCode.PROTOCOL_ERROR, violation.diagnostic) from None
    return tuple(values)
