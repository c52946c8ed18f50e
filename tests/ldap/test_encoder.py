# SPDX-License-Identifier: MIT
"""Replies, as our own reader and as ldaptor's client sees them."""

from __future__ import annotations

import warnings

import pytest

from ldapgw.errors import ResultCode
from ldapgw.ldap.encoder import encode, message_head
from ldapgw.ldap.messages import SUCCESS, Control, Operation, Reply, Result, notice_of_disconnection
from tests.support import pdu

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from ldaptor.protocols import pureber, pureldap


def second_opinion(data):
    """The same octets through ldaptor's decoder."""
    context = pureldap.LDAPBERDecoderContext_TopLevel(
        inherit=pureldap.LDAPBERDecoderContext_LDAPMessage(
            fallback=pureldap.LDAPBERDecoderContext(fallback=pureber.BERDecoderContext()),
            inherit=pureldap.LDAPBERDecoderContext(fallback=pureber.BERDecoderContext()),
        )
    )
    message, used = pureber.berDecodeObject(context, data)
    assert used == len(data)
    return message


KINDS = [
    (Operation.BIND, 0x61, pureldap.LDAPBindResponse),
    (Operation.SEARCH, 0x65, pureldap.LDAPSearchResultDone),
    (Operation.MODIFY, 0x67, pureldap.LDAPModifyResponse),
    (Operation.ADD, 0x69, pureldap.LDAPAddResponse),
    (Operation.DELETE, 0x6B, pureldap.LDAPDelResponse),
    (Operation.MODIFY_DN, 0x6D, pureldap.LDAPModifyDNResponse),
    (Operation.COMPARE, 0x6F, pureldap.LDAPCompareResponse),
    (Operation.EXTENDED, 0x78, pureldap.LDAPExtendedResponse),
]


@pytest.mark.parametrize(("operation", "tag", "theirs"), KINDS, ids=[kind[0].name for kind in KINDS])
@pytest.mark.parametrize(
    "result",
    [
        SUCCESS,
        Result(),
        Result(ResultCode.NO_SUCH_OBJECT, "no such entry", "dc=acme,dc=exämple"),
        Result(ResultCode.CANCELED),
    ],
    ids=["success", "another success", "noSuchObject", "canceled"],
)
def test_each_operation_has_its_response(operation, tag, theirs, result):
    """RFC 4511 appendix B."""
    data = encode(Reply(300, operation, result))
    [read] = pdu.responses(data)
    assert read == pdu.Response(300, tag, result.code, result.matched_dn, result.diagnostic)
    message = second_opinion(data)
    assert (message.id, type(message.value), message.value.resultCode) == (300, theirs, result.code)


def test_an_extended_response_may_have_a_name_and_a_value():
    """An empty value is not the same as none."""
    [read] = pdu.responses(encode(Reply(1, Operation.EXTENDED, SUCCESS, name="1.2.3", value=b"")))
    assert (read.code, read.name, read.value) == (0, "1.2.3", b"")
    [read] = pdu.responses(encode(Reply(1, Operation.EXTENDED, SUCCESS)))
    assert (read.name, read.value) == ("", None)


def test_controls_stand_behind_the_response():
    """RFC 4511 4.1.1 puts the controls there."""
    message = second_opinion(
        encode(Reply(1, Operation.SEARCH, SUCCESS, controls=(Control("1.2", critical=True, value=b"v"),)))
    )
    assert message.controls == [(b"1.2", 255, b"v")]


def test_the_notice_of_disconnection_is_unsolicited():
    """RFC 4511 4.4.1: messageID 0 and its name."""
    [read] = pdu.responses(encode(notice_of_disconnection(ResultCode.PROTOCOL_ERROR, "message: not an LDAPMessage")))
    assert read == pdu.Response(0, 0x78, 2, "", "message: not an LDAPMessage", "1.3.6.1.4.1.1466.20036", None)


@pytest.mark.parametrize(
    ("length", "octets"), [(5, "3005"), (2047, "308207ff"), (2048, "30820800"), (70000, "3083011170")]
)
def test_envelopes_of_any_length(length, octets):
    """Ready ones and others look the same."""
    assert message_head(length).hex() == octets
