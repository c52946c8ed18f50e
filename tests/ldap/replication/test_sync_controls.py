# SPDX-License-Identifier: MIT
"""The controls and messages of content synchronization (RFC 4533) in BER."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldapgw.ber import ENUMERATED, SEQUENCE, boolean, integer, octets, tlv
from ldapgw.errors import ProtocolViolation
from ldapgw.ldap.messages import Control
from ldapgw.ldap.replication.provider import (
    MAX_COOKIE,
    SYNC_INFO,
    SYNC_REQUEST,
    SYNC_STATE,
    SyncCookie,
    SyncRequestValue,
    SyncState,
    deleted_entries,
    read_sync,
    refresh_end,
    sync_done,
    sync_entry,
)
from ldapgw.ldap.replication.replica_entry import Csn
from tests.support import pdu

CSN = Csn(1_795_570_200_123_456, 0x0123AB_CDEF45)
UUID = bytes(range(16))


def control(value: bytes | None, *, critical: bool = True) -> Control:
    return Control(SYNC_REQUEST, critical, value)


def value(mode: int, rest: bytes = b"") -> bytes:
    return tlv(SEQUENCE, integer(mode, ENUMERATED) + rest)


@pytest.mark.parametrize(
    ("octets_of_value", "expected"),
    [
        (value(1), SyncRequestValue(persist=False, critical=True)),
        (value(3), SyncRequestValue(persist=True, critical=True)),
        (value(3, octets(b"rid=001")), SyncRequestValue(persist=True, critical=True, cookie=b"rid=001")),
        (value(1, octets(b"")), SyncRequestValue(persist=False, critical=True, cookie=b"")),
        (value(1, boolean(True)), SyncRequestValue(persist=False, critical=True)),
        (value(1, octets(b"x") + boolean(False)), SyncRequestValue(persist=False, critical=True, cookie=b"x")),
    ],
)
def test_request(octets_of_value: bytes, expected: SyncRequestValue) -> None:
    assert read_sync(control(octets_of_value)) == expected


@pytest.mark.parametrize(
    "octets_of_value",
    [
        None,
        b"",
        value(0),
        value(2),
        value(4),
        tlv(SEQUENCE, b""),
        tlv(SEQUENCE, integer(1)),
        value(1) + b"\x00",
        value(1, integer(1)),
        value(1, boolean(True) + octets(b"late")),
        value(1, octets(b"x") + octets(b"y")),
        value(3)[:-1],
        b"\x30\x80\x0a\x01\x01\x00\x00",
    ],
)
def test_malformed_request(octets_of_value: bytes | None) -> None:
    with pytest.raises(ProtocolViolation):
        read_sync(control(octets_of_value))


@given(st.binary(max_size=40))
def test_hostile_request(octets_of_value: bytes) -> None:
    """Octets are a request, or refused with the error for that."""
    for given_octets in (octets_of_value, tlv(SEQUENCE, octets_of_value), value(3, octets_of_value)):
        try:
            read = read_sync(control(given_octets))
        except ProtocolViolation:
            continue
        assert isinstance(read, SyncRequestValue)


@given(st.sampled_from([1, 3]), st.none() | st.binary(max_size=200), st.booleans())
def test_any_request(mode: int, cookie: bytes | None, hint: bool) -> None:
    rest = (b"" if cookie is None else octets(cookie)) + (boolean(hint) if hint else b"")
    expected = SyncRequestValue(mode == 3, critical=False, cookie=cookie)
    assert read_sync(control(value(mode, rest), critical=False)) == expected


@pytest.mark.parametrize(
    ("cookie", "expected"),
    [
        (b"", SyncCookie()),
        (b"rid=001", SyncCookie("001")),
        (b"rid=001,csn=" + str(CSN).encode(), SyncCookie("001", CSN)),
        (b"csn=" + str(CSN).encode(), SyncCookie("", CSN)),
        (b"rid=7,sid=002,csn=" + str(CSN).encode(), SyncCookie("7", CSN)),
        # Of several server ids, ours counts; of several of ours, the last one.
        (f"rid=001,csn=20301125013000.123456Z#000000#002#000000;{CSN}".encode(), SyncCookie("001", CSN)),
        (f"rid=001,csn={Csn(0, 1)};{CSN}".encode(), SyncCookie("001", CSN)),
        (b"rid=001,csn=nonsense", SyncCookie("001")),
        (b"rid=12345", SyncCookie()),
        (f"rid=001,{'x' * MAX_COOKIE},csn={CSN}".encode(), SyncCookie("001")),
        ("rid=٠٠١".encode(), SyncCookie()),
        (b"\xff\xfe", SyncCookie()),
    ],
)
def test_cookie(cookie: bytes, expected: SyncCookie) -> None:
    assert SyncCookie.parse(cookie) == expected


@given(st.binary(max_size=100) | st.text(alphabet="ridcsn=,;0123456789#.Zabcdef", max_size=100).map(str.encode))
def test_hostile_cookie(cookie: bytes) -> None:
    """A replica with a cookie that nobody gave out gets everything: the cookie is no error."""
    assert isinstance(SyncCookie.parse(cookie), SyncCookie)


@given(st.integers(0, 999), st.integers(0, 253_402_300_799_999_999), st.integers(0, (1 << 48) - 1))
def test_cookie_comes_back(rid: int, microseconds: int, state: int) -> None:
    cookie = SyncCookie(f"{rid:03}", Csn(microseconds, state))
    assert cookie.csn is not None
    assert SyncCookie.parse(cookie.at(cookie.csn)) == cookie
    assert SyncCookie.parse(SyncCookie().at(cookie.csn)) == SyncCookie("", cookie.csn)


def test_messages() -> None:
    """Each message as RFC 4533 2.3 to 2.5 writes it."""
    entry = tlv(0x64, octets(b"cn=a") + tlv(SEQUENCE, b""))
    messages = (
        sync_entry(1, entry, SyncState.ADD, UUID, None),
        sync_entry(1, entry, SyncState.DELETE, UUID, b"c"),
        refresh_end(1, b"c", refresh_deletes=False),
        refresh_end(300, b"c", refresh_deletes=True),
        deleted_entries(1, [UUID, UUID]),
    )
    first, last, present, delete, names = pdu.responses(b"".join(messages))
    assert first.controls == ((SYNC_STATE, b"\x30\x15\x0a\x01\x01\x04\x10" + UUID),)
    assert last.controls == ((SYNC_STATE, b"\x30\x18\x0a\x01\x03\x04\x10" + UUID + b"\x04\x01c"),)
    assert (first.dn, first.attributes) == ("cn=a", ())
    assert {one.name for one in (present, delete, names)} == {SYNC_INFO}
    assert (present.value, delete.value) == (b"\xa2\x03\x04\x01c", b"\xa1\x03\x04\x01c")
    assert (delete.message_id, names.value) == (300, b"\xa3\x29\x01\x01\xff\x31\x24" + (b"\x04\x10" + UUID) * 2)


def test_done() -> None:
    assert sync_done(b"c", refresh_deletes=False).value == b"\x30\x03\x04\x01c"
    assert sync_done(b"c", refresh_deletes=True).value == b"\x30\x06\x04\x01c\x01\x01\xff"
