# SPDX-License-Identifier: MIT
"""Requests from BER: read, rejected, or the end of the session."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldapgw.ber import OCTET_STRING, SEQUENCE, integer, octets, tlv
from ldapgw.directory.filter import Equality, Extensible, Present, Scope, SearchRequest, Substrings
from ldapgw.errors import ProtocolViolation, ResultCode
from ldapgw.ldap.decoder import cancel_id, decode, is_unbind, simple_bind
from ldapgw.ldap.encoder import encode_search
from ldapgw.ldap.messages import (
    AbandonRequest,
    BindRequest,
    CompareRequest,
    Control,
    Empty,
    ExtendedRequest,
    Message,
    Operation,
    Rejected,
    Sasl,
    Simple,
)
from tests.support import pdu
from tests.support.examples import examples
from tests.support.results import refused

FILTER = Present("objectClass")


@pytest.mark.parametrize("message_id", [1, 127])
def test_an_unbind_is_told_by_its_octets(message_id):
    """With a short messageID; none that has one octet of another kind in it."""
    whole = pdu.message(message_id, pdu.UNBIND)
    assert is_unbind(whole)
    others = [whole[:at] + bytes([octet]) + whole[at + 1 :] for at in range(len(whole)) for octet in range(256)]
    told = {one for one in others if is_unbind(one)}
    assert told == {pdu.message(at, pdu.UNBIND) for at in range(1, 128)}
    assert not any(is_unbind(one) for one in (b"", whole[:-1], whole * 2, pdu.message(128, pdu.UNBIND)))


@pytest.mark.parametrize("message_id", [1, 127])
def test_a_simple_bind_is_told_by_its_octets(message_id: int) -> None:
    """With a short messageID, and nothing unusual; whatever is told so, reads so."""
    whole = pdu.message(message_id, pdu.bind("desk1", b"secret"))
    assert simple_bind(whole) == (message_id, "desk1", b"secret")
    others = [whole[:at] + bytes([octet]) + whole[at + 1 :] for at in range(len(whole)) for octet in range(256)]
    told = {one: found for one in others if (found := simple_bind(one))}
    read = {one: decode(one) for one in told}
    assert read == {
        one: Message(at, Operation.BIND, BindRequest(3, name, Simple(password)))
        for one, (at, name, password) in told.items()
    }
    # Another messageID, and for each letter of name and password another one: of a name, ASCII alone.
    assert len(told) == 1 + (127 - 1) + 5 * 127 + 6 * 255


@pytest.mark.parametrize(
    "octets_",
    [
        b"",
        pdu.message(1, pdu.bind("desk1", b"secret"))[:-1],
        pdu.message(1, pdu.bind("desk1", b"secret")) * 2,
        pdu.message(128, pdu.bind("desk1", b"secret")),
        pdu.message(1, pdu.bind("desk1", b"secret"), pdu.controls(pdu.control("1.2.3"))),
        pdu.message(1, pdu.bind("desk1", b"secret", 2)),
        pdu.message(1, pdu.bind("desk1", b"")),
        pdu.message(1, pdu.bind("", b"secret")),
        pdu.message(1, pdu.bind("Jörg".encode("latin-1"), b"secret")),
        pdu.message(1, pdu.bind("desk1", b"x" * 120)),
        b"\x30\x80" + pdu.message(1, pdu.bind("desk1", b"x" * 111))[3:],
        pdu.message(1, pdu.sasl("PLAIN", b"\0a\0b")),
        pdu.message(1, pdu.UNBIND),
        pdu.message(1, pdu.search("dc=example", 2)),
        pdu.message(0x60, pdu.search("dc=example,dc=com" * 8, 2)),
    ],
)
def test_what_else_comes_is_no_simple_bind(octets_: bytes) -> None:
    """It takes the long way."""
    assert simple_bind(octets_) is None


@pytest.mark.parametrize(
    ("request_", "operation", "expected"),
    [
        (pdu.bind("desk1", b"secret"), Operation.BIND, BindRequest(3, "desk1", Simple(b"secret"))),
        (pdu.bind("Jörg".encode("latin-1"), b"x", 2), Operation.BIND, BindRequest(2, "Jörg", Simple(b"x"))),
        (pdu.bind(version=128), Operation.BIND, BindRequest(128, "", Simple(b""))),
        (pdu.sasl("PLAIN", b"\0a\0b"), Operation.BIND, BindRequest(3, "", Sasl("PLAIN", b"\0a\0b"))),
        (pdu.sasl("EXTERNAL"), Operation.BIND, BindRequest(3, "", Sasl("EXTERNAL", None))),
        (tlv(0x60, b"\x02\x01\x03\x04\x00\x89\x01x"), Operation.BIND, BindRequest(3, "", None)),
        (pdu.UNBIND, Operation.UNBIND, Empty()),
        (
            pdu.search("dc=acme", 2, attributes=("cn", "sn"), size=50, time=5, deref=3, types_only=True),
            Operation.SEARCH,
            SearchRequest("dc=acme", Scope.WHOLE_SUBTREE, FILTER, 50, 5, types_only=True, attributes=("cn", "sn")),
        ),
        (pdu.search(), Operation.SEARCH, SearchRequest("", Scope.BASE_OBJECT, FILTER)),
        (pdu.compare("dc=acme", "cn", b"\xff"), Operation.COMPARE, CompareRequest("dc=acme", "cn", b"\xff")),
        (pdu.abandon(7), Operation.ABANDON, AbandonRequest(7)),
        (pdu.extended("1.2.3"), Operation.EXTENDED, ExtendedRequest("1.2.3")),
        (pdu.extended("1.2.3", b""), Operation.EXTENDED, ExtendedRequest("1.2.3", b"")),
        (tlv(0x66, b"anything"), Operation.MODIFY, Empty()),
        (tlv(0x68, b""), Operation.ADD, Empty()),
        (tlv(0x4A, b"cn=x"), Operation.DELETE, Empty()),
        (tlv(0x6C, b"\xff"), Operation.MODIFY_DN, Empty()),
    ],
)
def test_requests_are_read(request_, operation, expected):
    """Each operation, with and without what is optional in it."""
    assert decode(pdu.message(9, request_)) == Message(9, operation, expected)
    with_control = pdu.message(2147483647, request_, pdu.controls(pdu.control("1.2", critical=True)))
    assert decode(with_control) == Message(2147483647, operation, expected, (Control("1.2", critical=True),))


@pytest.mark.parametrize(
    ("request_", "code", "diagnostic"),
    [
        (pdu.search(scope=3), ResultCode.PROTOCOL_ERROR, "scope: unknown value"),
        (pdu.search(deref=9), ResultCode.PROTOCOL_ERROR, "derefAliases: unknown value"),
        (pdu.search(deref=-1), ResultCode.PROTOCOL_ERROR, "derefAliases: unknown value"),
        (pdu.search(size=-1), ResultCode.PROTOCOL_ERROR, "sizeLimit or timeLimit: negative"),
        (pdu.search(time=-5), ResultCode.PROTOCOL_ERROR, "sizeLimit or timeLimit: negative"),
        (pdu.search(filter_=b"\x30\x00"), ResultCode.PROTOCOL_ERROR, "filter: unknown kind"),
        (pdu.search(attributes=("cn",) * 257), ResultCode.ADMIN_LIMIT_EXCEEDED, "attributes: too many"),
        (pdu.search(attributes=("cn " * 128, "sn " * 129)), ResultCode.ADMIN_LIMIT_EXCEEDED, "attributes: too many"),
        (pdu.search(attributes=("cn," * 128, "sn," * 129)), ResultCode.ADMIN_LIMIT_EXCEEDED, "attributes: too many"),
        (pdu.compare("", "cn", b"x" * 4097), ResultCode.ADMIN_LIMIT_EXCEEDED, "assertionValue: too long"),
    ],
)
def test_what_can_be_read_but_is_wrong_gets_the_operations_own_answer(request_, code, diagnostic):
    """RFC 4511 4.1.1: otherwise … an appropriate response."""
    message = decode(pdu.message(1, request_))
    assert isinstance(message.request, Rejected)
    assert (message.request.result.code, message.request.result.diagnostic) == (code, diagnostic)


def test_256_attributes_and_comparisons_of_4_kib_are_read():
    """One tool is known to ask for 35 attributes; what is compared may be as long as a filter."""
    assert len(decode(pdu.message(1, pdu.search(attributes=("cn",) * 256))).request.attributes) == 256
    assert decode(pdu.message(1, pdu.compare("", "cn", b"x" * 4096))).request.value == b"x" * 4096


ANY = octets(b"")
UNREADABLE = {
    "empty": b"\x30\x00",
    "no messageID": tlv(SEQUENCE, pdu.UNBIND),
    "messageID 0": pdu.message(0, pdu.search()),
    "messageID -1": pdu.message(-1, pdu.search()),
    "messageID 2^31": tlv(SEQUENCE, b"\x02\x05\x00\x80\x00\x00\x00" + pdu.search()),
    "empty messageID": tlv(SEQUENCE, b"\x02\x00" + pdu.search()),
    "BOOLEAN messageID": tlv(SEQUENCE, b"\x01\x01\x01" + pdu.search()),
    "no operation": tlv(SEQUENCE, integer(1)),
    "tag of two octets": pdu.message(1, b"\x7f\x23\x00"),
    "a response": pdu.message(1, tlv(0x65, b"")),
    "empty search": pdu.message(1, tlv(0x63, b"")),
    "empty bind": pdu.message(1, tlv(0x60, b"")),
    "SASL of nothing": pdu.message(1, tlv(0x60, integer(3) + ANY + b"\xa3\x00")),
    "bind with more": pdu.message(1, tlv(0x60, integer(3) + ANY + octets(b"", 0x80) + b"\x04\x00")),
    "SASL with more": pdu.message(1, tlv(0x60, integer(3) + ANY + tlv(0xA3, octets(b"X") + ANY + ANY))),
    "unbind with more": pdu.message(1, b"\x42\x01x"),
    "abandon of nothing": pdu.message(1, b"\x50\x00"),
    "abandon of five octets": pdu.message(1, b"\x50\x05\x00\x00\x00\x00\x01"),
    "empty compare": pdu.message(1, tlv(0x6E, b"")),
    "assertion with more": pdu.message(1, tlv(0x6E, ANY + tlv(SEQUENCE, ANY * 3))),
    "compare with more": pdu.message(1, tlv(0x6E, ANY + tlv(SEQUENCE, ANY * 2) + ANY)),
    "empty extended": pdu.message(1, tlv(0x77, b"")),
    "extended with more": pdu.message(1, tlv(0x77, octets(b"1", 0x80) + octets(b"", 0x81) + octets(b"", 0x81))),
    "two passwords": pdu.message(1, tlv(0x60, integer(3) + ANY + octets(b"a", 0x80) + octets(b"b", 0x80))),
    "controls twice": pdu.message(1, pdu.search(), pdu.controls() + pdu.controls()),
    "cut off behind the end": pdu.message(1, tlv(0x63, pdu.search()[2:] + b"\x8b\x05x")),
    "two filters under not": pdu.message(1, pdu.search(filter_=tlv(0xA2, b"\x87\x01a" * 2))),
    "constructed string": pdu.message(1, pdu.search()[:2] + b"\x24" + pdu.search()[3:]),
    "search with more": pdu.message(1, tlv(0x63, pdu.search()[2:] + octets(b"x"))),
    "controls of another tag": pdu.message(1, pdu.search(), b"\x30\x00"),
    "message with more": pdu.message(1, pdu.search(), pdu.controls() + b"\x04\x00"),
}


@pytest.mark.parametrize("octets_", UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_ends_the_session(octets_):
    """RFC 4511 4.1.1: tag, messageID, structure or lengths are wrong."""
    with pytest.raises(ProtocolViolation) as raised:
        decode(octets_)
    assert ": " in raised.value.diagnostic


EXTENSION = b"\x8b\x01x"
NAMED = octets(b"cn") + octets(b"x")
EXTENDED = {
    "message": (pdu.UNBIND, Empty(), EXTENSION),
    "bind": (tlv(0x60, integer(3) + ANY + octets(b"x", 0x80) + EXTENSION), BindRequest(3, "", Simple(b"x"))),
    "SASL": (tlv(0x60, integer(3) + ANY + tlv(0xA3, octets(b"X") + EXTENSION)), BindRequest(3, "", Sasl("X", None))),
    "search": (tlv(0x63, pdu.search()[2:] + EXTENSION), SearchRequest("", Scope.BASE_OBJECT, FILTER)),
    "compare": (tlv(0x6E, ANY + tlv(SEQUENCE, NAMED + EXTENSION) + EXTENSION), CompareRequest("", "cn", b"x")),
    "extended": (tlv(0x77, octets(b"1", 0x80) + EXTENSION), ExtendedRequest("1", None)),
    "assertion": (
        pdu.search(filter_=tlv(0xA3, NAMED + EXTENSION)),
        SearchRequest("", Scope.BASE_OBJECT, Equality("cn", b"x")),
    ),
    "substrings": (
        pdu.search(filter_=tlv(0xA4, octets(b"cn") + tlv(SEQUENCE, octets(b"x", 0x80)) + EXTENSION)),
        SearchRequest("", Scope.BASE_OBJECT, Substrings("cn", b"x", (), None)),
    ),
    "extensible": (
        pdu.search(filter_=tlv(0xA9, octets(b"cn", 0x82) + octets(b"x", 0x83) + EXTENSION)),
        SearchRequest("", Scope.BASE_OBJECT, Extensible(None, "cn", b"x")),
    ),
}


@pytest.mark.parametrize("case", EXTENDED.values(), ids=EXTENDED)
def test_an_element_of_a_later_version_is_ignored(case) -> None:
    """RFC 4511 4: an element with an unknown tag behind the last one, in each kind of SEQUENCE."""
    request, expected, *behind = case
    control = tlv(0xA0, tlv(SEQUENCE, octets(b"1.2") + EXTENSION))
    for controls, found in ((b"", ()), (control, (Control("1.2"),))):
        message = decode(pdu.message(1, request, controls + b"".join(behind)))
        assert (message.request, message.controls) == (expected, found)


def test_a_cancel_names_a_message():
    """RFC 3909 2.1."""
    assert cancel_id(tlv(SEQUENCE, integer(5))) == 5


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"\x30\x00",
        tlv(SEQUENCE, integer(5) * 2),
        tlv(SEQUENCE, integer(5)) + b"\x04\x00",
        tlv(OCTET_STRING, b"5"),
    ],
)
def test_a_cancel_that_names_none_is_a_protocol_error(value):
    """Its value lies within an OCTET STRING, so the session goes on."""
    with refused(ResultCode.PROTOCOL_ERROR):
        cancel_id(value)


@given(
    st.builds(
        SearchRequest,
        base=st.text(st.characters(codec="utf-8"), max_size=8),
        scope=st.sampled_from(Scope),
        filter=st.just(Present("cn")),
        size_limit=st.integers(0, 2**31 - 1),
        time_limit=st.integers(0, 2**31 - 1),
        types_only=st.booleans(),
        attributes=st.lists(st.sampled_from(["cn", "*", "1.1"]), max_size=3).map(tuple),
    ),
    st.integers(1, 2**31 - 1),
)
@settings(max_examples=examples(100), deadline=None)
def test_search_requests_round_trip(request: SearchRequest, message_id: int) -> None:
    """All of a request that is encoded is decoded as it was, and its messageID."""
    message = decode(encode_search(request, message_id))
    assert (message.message_id, message.request, message.controls) == (message_id, request, ())
