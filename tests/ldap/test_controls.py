# SPDX-License-Identifier: MIT
"""Controls: read, judged, written."""

from __future__ import annotations

import pytest

from ldapgw.ber import Reader
from ldapgw.errors import DirectoryError, ProtocolViolation, ResultCode
from ldapgw.ldap import controls
from ldapgw.ldap.controls import MANAGE_DSA_IT, ManageDsaIt
from ldapgw.ldap.messages import Control, Operation
from tests.ldap import pdu

UNKNOWN = "1.2.3.4"


@pytest.mark.parametrize(
    "control",
    [
        Control(UNKNOWN),
        Control(UNKNOWN, critical=True),
        Control(UNKNOWN, value=b""),
        Control(UNKNOWN, critical=True, value=b"\x30\x00"),
    ],
    ids=["bare", "critical", "empty value", "all"],
)
def test_controls_round_trip(control):
    """What is absent stays absent."""
    written = controls.write((control, control))
    reader = Reader.over(written)
    assert controls.read(reader) == (control, control)
    assert not reader


def test_no_controls_take_no_room():
    """An empty list is read, but never written."""
    assert controls.write(()) == b""
    assert controls.read(Reader.over(pdu.controls())) == ()


def test_criticality_may_be_said_to_be_false():
    """The default may be written out."""
    assert controls.read(Reader.over(pdu.controls(pdu.control(UNKNOWN, critical=False)))) == (Control(UNKNOWN),)


@pytest.mark.parametrize(
    "data",
    [
        "a0023000",
        "a003020101",
        "a10430020400",
        "a0083006040131020105",
        pdu.controls(pdu.control("1") * 33).hex(),
    ],
    ids=["no type", "no sequence", "other tag", "left over", "33 controls"],
)
def test_what_cannot_be_read_ends_the_session(data):
    """A list of controls is part of the envelope."""
    with pytest.raises(ProtocolViolation):
        controls.read(Reader.over(bytes.fromhex(data)))


@pytest.mark.parametrize("operation", [Operation.SEARCH, Operation.COMPARE, Operation.EXTENDED, Operation.BIND])
def test_an_unknown_control_counts_only_when_critical(operation):
    """RFC 4511 4.1.11."""
    assert controls.judge((Control(UNKNOWN),), operation) == ()
    with pytest.raises(DirectoryError) as raised:
        controls.judge((Control(UNKNOWN), Control(UNKNOWN, critical=True)), operation)
    assert raised.value.code is ResultCode.UNAVAILABLE_CRITICAL_EXTENSION


def test_manage_dsa_it_is_accepted_where_it_belongs():
    """There are no referrals to be managed; with a bind it makes no sense."""
    control = Control(MANAGE_DSA_IT, critical=True)
    assert controls.judge((control,), Operation.SEARCH) == (ManageDsaIt(),)
    with pytest.raises(DirectoryError) as raised:
        controls.judge((control,), Operation.BIND)
    assert raised.value.code is ResultCode.UNAVAILABLE_CRITICAL_EXTENSION


def test_a_value_that_is_wrong_is_the_operations_own_error(monkeypatch):
    """A control's value is inside an OCTET STRING: the message itself was well formed."""

    def refuse(value):
        raise ProtocolViolation("value: wrong")

    monkeypatch.setitem(controls.KINDS, UNKNOWN, controls.Kind(frozenset({Operation.SEARCH}), refuse))
    with pytest.raises(DirectoryError) as raised:
        controls.judge((Control(UNKNOWN),), Operation.SEARCH)
    assert (raised.value.code, raised.value.diagnostic) == (ResultCode.PROTOCOL_ERROR, "value: wrong")
