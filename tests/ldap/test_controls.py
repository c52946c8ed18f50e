# SPDX-License-Identifier: MIT
"""Controls: read, judged, written."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldapgw.ber import SEQUENCE, BerReader, boolean, integer, octets, tlv
from ldapgw.directory.sort import AtLeast, Offset, SortKey, Window
from ldapgw.errors import DirectoryError, ProtocolViolation, ResultCode
from ldapgw.ldap import controls
from ldapgw.ldap.controls import (
    MANAGE_DSA_IT,
    PAGED_RESULTS,
    SORT_REQUEST,
    VLV_REQUEST,
    PagedResults,
    ServerSideSort,
    VirtualListView,
)
from ldapgw.ldap.messages import Control, Operation
from tests.support import pdu
from tests.support.examples import examples
from tests.support.results import refused

UNKNOWN = "1.2.3.4"


@pytest.mark.parametrize("critical", [False, True])
@pytest.mark.parametrize("value", [None, b"", b"\x30\x00"])
def test_controls_round_trip(critical, value):
    """Absent parts stay absent; the default of the criticality may be written out."""
    control = Control(UNKNOWN, critical, value)
    reader = BerReader.over(controls.write((control, control)))
    assert (controls.read(reader), bool(reader)) == ((control, control), False)
    assert controls.read(BerReader.over(pdu.controls(pdu.control(UNKNOWN, critical=critical, value=value)))) == (
        control,
    )


def test_no_controls_take_no_room():
    """An empty list is read, but never written."""
    assert controls.write(()) == b""
    assert controls.read(BerReader.over(pdu.controls())) == ()


@pytest.mark.parametrize(
    "data",
    [
        "a0023000",
        "a003020101",
        "a10430020400",
        "a0083006040131020105",
        pdu.controls(pdu.control("1") * 1001).hex(),
    ],
    ids=["no type", "no sequence", "other tag", "left over", "1001 controls"],
)
def test_what_cannot_be_read_ends_the_session(data):
    """A list of controls is part of the envelope."""
    with pytest.raises(ProtocolViolation):
        controls.read(BerReader.over(bytes.fromhex(data)))


@pytest.mark.parametrize("operation", [Operation.SEARCH, Operation.BIND])
def test_more_controls_than_anybody_sends_are_refused(operation):
    """By the operation's own answer."""
    assert controls.check_controls(controls.read(BerReader.over(pdu.controls(pdu.control("1") * 32))), operation) == ()
    found = controls.read(BerReader.over(pdu.controls(pdu.control("1") * 1000)))
    with refused(ResultCode.ADMIN_LIMIT_EXCEEDED):
        controls.check_controls(found, operation)


@pytest.mark.parametrize("operation", [Operation.SEARCH, Operation.COMPARE, Operation.EXTENDED, Operation.BIND])
def test_an_unknown_control_counts_only_when_critical(operation):
    """RFC 4511 4.1.11."""
    assert controls.check_controls((Control(UNKNOWN),), operation) == ()
    with refused(ResultCode.UNAVAILABLE_CRITICAL_EXTENSION):
        controls.check_controls((Control(UNKNOWN), Control(UNKNOWN, critical=True)), operation)


def test_manage_dsa_it_is_accepted_where_it_belongs():
    """There are no referrals to be managed; with a bind it makes no sense."""
    control = Control(MANAGE_DSA_IT, critical=True)
    assert controls.check_controls((control,), Operation.SEARCH) == (None,)
    with refused(ResultCode.UNAVAILABLE_CRITICAL_EXTENSION):
        controls.check_controls((control,), Operation.BIND)


PAGE = tlv(SEQUENCE, integer(10) + octets(b"cookie"))
KEYS = tlv(
    SEQUENCE,
    tlv(SEQUENCE, octets(b"sn") + octets(b"2.5.13.3", 0x80) + boolean(True, 0x81)) + tlv(SEQUENCE, octets(b"cn")),
)
BY_OFFSET = tlv(SEQUENCE, integer(0) + integer(31) + tlv(0xA0, integer(1) + integer(0)))
BY_VALUE = tlv(SEQUENCE, integer(1) + integer(2) + octets(b"schmidt", 0x81) + octets(b"context"))


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (PAGED_RESULTS, PAGE, PagedResults(10, b"cookie")),
        (SORT_REQUEST, KEYS, ServerSideSort((SortKey("sn", "2.5.13.3", reverse=True), SortKey("cn")), critical=True)),
        (VLV_REQUEST, BY_OFFSET, VirtualListView(Window(0, 31, Offset(1, 0)), critical=True)),
        (
            VLV_REQUEST,
            BY_VALUE,
            VirtualListView(Window(1, 2, AtLeast(b"schmidt")), critical=True, context_id=b"context"),
        ),
    ],
    ids=["paged", "sort", "offset", "value"],
)
def test_what_search_controls_ask_for(kind, value, expected):
    """Each in the words of its RFC; out of place they are refused like any other."""
    control = Control(kind, critical=True, value=value)
    assert controls.check_controls((control,), Operation.SEARCH) == (expected,)
    for operation in (Operation.COMPARE, Operation.BIND, Operation.EXTENDED, Operation.MODIFY, Operation.ABANDON):
        with refused(ResultCode.UNAVAILABLE_CRITICAL_EXTENSION):
            controls.check_controls((control,), operation)
        assert controls.check_controls((replace(control, critical=False),), operation) == ()


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *((kind, value) for kind in (PAGED_RESULTS, SORT_REQUEST, VLV_REQUEST) for value in (None, b"", b"junk")),
        *((kind, tlv(SEQUENCE, b"")) for kind in (PAGED_RESULTS, SORT_REQUEST, VLV_REQUEST)),
        *(
            (kind, value + b"\x05\x00")
            for kind, value in ((PAGED_RESULTS, PAGE), (SORT_REQUEST, KEYS), (VLV_REQUEST, BY_OFFSET))
        ),
        *(
            (kind, tlv(SEQUENCE, value[2:] + b"\x05\x00"))
            for kind, value in (
                (PAGED_RESULTS, PAGE),
                (SORT_REQUEST, KEYS),
                (VLV_REQUEST, BY_OFFSET),
                (VLV_REQUEST, BY_VALUE),
            )
        ),
        (PAGED_RESULTS, tlv(SEQUENCE, integer(-1) + octets(b""))),
        (PAGED_RESULTS, tlv(SEQUENCE, integer(2**31) + octets(b""))),
        (PAGED_RESULTS, tlv(SEQUENCE, integer(1))),
        (SORT_REQUEST, tlv(SEQUENCE, tlv(SEQUENCE, b""))),
        (SORT_REQUEST, tlv(SEQUENCE, tlv(SEQUENCE, octets(b"sn") + octets(b"x", 0x82)))),
        (SORT_REQUEST, tlv(SEQUENCE, tlv(SEQUENCE, octets(b"sn") + boolean(True, 0x81) + octets(b"x", 0x80)))),
        (VLV_REQUEST, tlv(SEQUENCE, integer(-1) + integer(0) + tlv(0xA0, integer(1) + integer(0)))),
        (VLV_REQUEST, tlv(SEQUENCE, integer(0) + integer(-1) + tlv(0xA0, integer(1) + integer(0)))),
        (VLV_REQUEST, tlv(SEQUENCE, integer(0) + integer(0))),
        (VLV_REQUEST, tlv(SEQUENCE, integer(0) + integer(0) + tlv(0xA0, integer(1)))),
        (VLV_REQUEST, tlv(SEQUENCE, integer(0) + integer(0) + tlv(0xA0, integer(1) * 3))),
    ],
)
def test_search_controls_that_cannot_be_read(kind, value):
    """One that is critical fails the search; another one is ignored, as a control that is not known is."""
    broken = Control(kind, value=value)
    with refused(ResultCode.PROTOCOL_ERROR):
        controls.check_controls((replace(broken, critical=True),), Operation.SEARCH)
    manage = Control(MANAGE_DSA_IT)
    assert controls.check_controls((broken, manage), Operation.SEARCH) == (None,)


@pytest.mark.parametrize("kind", sorted(controls.SUPPORTED_CONTROLS))
def test_the_same_control_twice_is_a_protocol_error(kind):
    """Nobody can say which is meant; unknown ones are ignored however often they come."""
    value = {PAGED_RESULTS: PAGE, SORT_REQUEST: KEYS, VLV_REQUEST: BY_OFFSET}.get(kind)
    assert (
        len(controls.check_controls((Control(kind, value=value), Control(UNKNOWN), Control(UNKNOWN)), Operation.SEARCH))
        == 1
    )
    with refused(ResultCode.PROTOCOL_ERROR, "the request has the same control twice"):
        controls.check_controls(
            (Control(kind, value=value), Control(UNKNOWN), Control(kind, value=value)), Operation.SEARCH
        )


@settings(max_examples=examples(300), deadline=None)
@given(st.sampled_from([PAGED_RESULTS, SORT_REQUEST, VLV_REQUEST]), st.binary(max_size=40) | st.builds(
    lambda value, at, octet: value[:at] + bytes((octet,)) + value[at + 1 :],
    st.sampled_from([PAGE, KEYS, BY_OFFSET, BY_VALUE]), st.integers(0, 40), st.integers(0, 255),
))  # fmt: skip
def test_any_value_is_read_or_refused(kind, value):
    """Nothing else comes of hostile octets."""
    try:
        [found] = controls.check_controls((Control(kind, critical=True, value=value),), Operation.SEARCH)
    except DirectoryError as error:
        assert error.code is ResultCode.PROTOCOL_ERROR  # noqa: PT017 - either outcome is right
    else:
        assert isinstance(found, PagedResults | ServerSideSort | VirtualListView)


def test_a_value_that_is_wrong_is_the_operations_own_error():
    """A control's value is inside an OCTET STRING: the message itself was well formed."""

    def refuse(value):
        raise ProtocolViolation("value: wrong")

    registry = {UNKNOWN: controls.SupportedControl(frozenset({Operation.SEARCH}), refuse)}
    with refused(ResultCode.PROTOCOL_ERROR, "value: wrong"):
        controls.check_controls((Control(UNKNOWN, critical=True),), Operation.SEARCH, registry)
