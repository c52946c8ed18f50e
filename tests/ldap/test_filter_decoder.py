# SPDX-License-Identifier: MIT
"""Filters from BER."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldapgw.ber import BerReader, tlv
from ldapgw.directory.filter import (
    And,
    Approximate,
    Equality,
    Extensible,
    Filter,
    GreaterOrEqual,
    LessOrEqual,
    Not,
    Or,
    Present,
    Substrings,
)
from ldapgw.errors import ProtocolViolation, ResultCode
from ldapgw.ldap.decoder import decode_filter
from ldapgw.ldap.limits import FILTER_OCTETS
from tests.support.examples import examples
from tests.support.filter_text import encode
from tests.support.results import refused


def read(data: bytes) -> Filter:
    reader = BerReader.over(data)
    found = decode_filter(reader)
    reader.finish("test")
    return found


NAMES = st.sampled_from(["cn", "sn", "telephoneNumber", "2.5.4.3", "cn;lang-de", ""])
VALUES = st.binary(max_size=5)
LEAVES = st.one_of(
    st.builds(Equality, NAMES, VALUES),
    st.builds(GreaterOrEqual, NAMES, VALUES),
    st.builds(LessOrEqual, NAMES, VALUES),
    st.builds(Approximate, NAMES, VALUES),
    st.builds(Present, NAMES),
    st.builds(Substrings, NAMES, VALUES, st.lists(VALUES, max_size=3).map(tuple), st.none() | VALUES),
    st.builds(Substrings, NAMES, st.none(), st.lists(VALUES, min_size=1, max_size=3).map(tuple), st.none() | VALUES),
    st.builds(Substrings, NAMES, st.none(), st.just(()), VALUES),
    st.builds(Extensible, st.none() | NAMES, NAMES, VALUES, st.booleans()),
    st.builds(Extensible, NAMES, st.none(), VALUES, st.booleans()),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(And, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Not, inner),
    ),
    max_leaves=12,
)


@given(TREES)
@settings(max_examples=examples(300), deadline=None)
def test_all_ten_kinds_round_trip(tree):
    """Any tree is read as it was written; tests/phones/explain/test_query.py reads what ldaptor has written."""
    assert read(encode(tree)) == tree


def nested(tag: int, depth: int) -> bytes:
    data = encode(Present("cn"))
    for _ in range(depth):
        data = tlv(tag, data)
    return data


def numbers(count: int) -> bytes:
    return encode(Or(tuple(Equality("mobile", b"0301234%03d" % at) for at in range(count))))


def long(octets: int) -> bytes:
    """Return a filter of this length."""
    return encode(Equality("cn", b"a" * (octets - len(b"\x04\x02cn\x04\x82\x00\x00"))))


TERM = encode(Present("cn"))
DEEP = (ResultCode.PROTOCOL_ERROR, "filter: nested too deep")
MANY = (ResultCode.ADMIN_LIMIT_EXCEEDED, "filter: too many terms")
# The limits, each with a filter that is read and a filter that is too much.
LIMITS = {
    "levels of and": (nested(0xA0, 50), nested(0xA0, 51), *DEEP),
    "levels of or": (nested(0xA1, 50), nested(0xA1, 990), *DEEP),
    "levels of not": (nested(0xA2, 50), nested(0xA2, 10_000), *DEEP),
    "terms, of which the operator is one": (tlv(0xA1, TERM * 999), tlv(0xA1, TERM * 1000), *MANY),
    "parts": (encode(Substrings("cn", None, (b"a",) * 999, None)), encode(Substrings("cn", None, (b"a",) * 1000, None)),
              *MANY),
    "octets, because folding is dear": (long(FILTER_OCTETS), long(FILTER_OCTETS + 1), ResultCode.ADMIN_LIMIT_EXCEEDED,
                                        "filter: too long"),
    "numbers, which are dear to make ready": (numbers(47), numbers(48), ResultCode.ADMIN_LIMIT_EXCEEDED,
                                              "filter: too costly"),
}  # fmt: skip


@pytest.mark.parametrize(("fits", "too_much", "code", "diagnostic"), LIMITS.values(), ids=LIMITS)
def test_so_much_is_read_and_more_is_refused_by_name(fits, too_much, code, diagnostic):
    """`tests/directory/test_filter.py` has what is dear to make ready."""
    assert encode(read(fits)) == fits
    with refused(code, diagnostic):
        read(too_much)


@pytest.mark.parametrize(
    ("data", "diagnostic"),
    [
        ("3000", "filter: unknown kind"),
        ("a4060402636e3000", "substrings: no part"),
        ("a40c0402636e3006800161800162", "substrings: out of order"),
        ("a40c0402636e3006810161800162", "substrings: out of order"),
        ("a40c0402636e3006820161810162", "substrings: out of order"),
        ("a4090402636e3003830161", "substrings: unknown part"),
        ("a903830178", "extensibleMatch: neither rule nor type"),
    ],
    ids=["kind", "no part", "two initial", "initial late", "any after final", "part", "no rule and no type"],
)
def test_what_can_be_read_but_is_wrong_is_the_searchs_own_error(data, diagnostic):
    """protocolError, and the session goes on."""
    with refused(ResultCode.PROTOCOL_ERROR, diagnostic):
        read(bytes.fromhex(data))


def test_a_kind_that_is_not_implemented_is_undefined():
    """RFC 4511 4.5.1.7.  Terms beside such a filter still count."""
    undefined = Extensible("unknown", None, b"")
    assert read(bytes.fromhex("aa00")) == undefined
    assert read(bytes.fromhex("a106aa008702636e")) == Or((undefined, Present("cn")))
    assert read(bytes.fromhex("a204aa020500")) == Not(undefined)


@pytest.mark.parametrize(
    "data",
    [
        "a200",
        "a2088702636e8702636e",
        "a30a0402636e040161040162",
        "a3040402636e",
        "a3050402636e04",
        "",
        "a4080402636e30048003",
    ],
    ids=["empty not", "not of two", "three parts", "no value", "cut off", "no filter", "part cut off"],
)
def test_what_cannot_be_read_ends_the_session(data):
    """An assertion could hide in what is left over."""
    with pytest.raises(ProtocolViolation):
        read(bytes.fromhex(data))
