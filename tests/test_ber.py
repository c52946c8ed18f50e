# SPDX-License-Identifier: MIT
"""BER, written and read back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldapgw import ber
from ldapgw.ber import BerReader
from ldapgw.errors import ProtocolViolation
from tests.support.examples import examples


@pytest.mark.parametrize(
    ("value", "octets"),
    [
        (0, "020100"),
        (1, "020101"),
        (127, "02017f"),
        (128, "02020080"),
        (-1, "0201ff"),
        (-128, "020180"),
        (-129, "0202ff7f"),
        (2147483647, "02047fffffff"),
        (-2147483648, "020480000000"),
    ],
)
def test_an_integer_takes_its_shortest_form(value, octets):
    """Both signs, at each border of a further octet."""
    assert ber.integer(value).hex() == octets
    assert BerReader.over(ber.integer(value)).integer("x") == value


@pytest.mark.parametrize(
    ("length", "head"),
    [(0, "0400"), (127, "047f"), (128, "048180"), (255, "0481ff"), (256, "04820100"), (70000, "0483011170")],
)
def test_a_length_takes_its_shortest_form(length, head):
    """Short form up to 127, then as few octets as will do."""
    assert ber.octets(bytes(length)) == bytes.fromhex(head) + bytes(length)
    assert BerReader.over(ber.octets(bytes(length))).octets("x") == bytes(length)


@given(st.integers(-(2**31), 2**31 - 1))
@settings(max_examples=examples(200), deadline=None)
def test_integers_round_trip(value):
    """Any INTEGER of LDAP is read as it was written."""
    reader = BerReader.over(ber.integer(value, ber.ENUMERATED))
    assert reader.integer("x", ber.ENUMERATED) == value
    assert not reader


@given(st.lists(st.one_of(st.binary(max_size=300), st.booleans())))
@settings(max_examples=examples(100), deadline=None)
def test_sequences_round_trip(values):
    """A sequence is read element by element to its end."""
    encoded = b"".join(ber.boolean(v) if isinstance(v, bool) else ber.octets(v) for v in values)
    sequence = BerReader.over(ber.tlv(ber.SEQUENCE, encoded)).enter(ber.SEQUENCE, "x")
    read = []
    while sequence:
        read.append(sequence.boolean("b") if sequence.peek() == ber.BOOLEAN else sequence.octets("o"))
    sequence.finish("x")
    assert read == values


@pytest.mark.parametrize(
    "octets", ["0482", "04820001", "0403aabb", "0480", "04ff", "0485000000000161", "1f0101", "04", ""]
)
def test_an_element_that_does_not_lie_within_its_parent_is_refused(octets):
    """Cut off, longer than its parent, indefinite, a length of too many octets, a tag of many octets."""
    with pytest.raises(ProtocolViolation, match=r"^name: "):
        BerReader.over(bytes.fromhex(octets)).element("name")


def test_a_length_in_more_octets_than_needed_is_legal():
    """BER allows what DER does not."""
    assert BerReader.over(bytes.fromhex("04840000000161")).octets("x") == b"a"


@pytest.mark.parametrize(
    ("octets", "read"),
    [
        ("0400", lambda r: r.integer("x")),
        ("0200", lambda r: r.integer("x")),
        ("02050000000001", lambda r: r.integer("x")),
        ("0100", lambda r: r.boolean("x")),
        ("0102ffff", lambda r: r.boolean("x")),
        ("020101", lambda r: r.finish("x")),
        ("3000", lambda r: r.enter(ber.SET, "x")),
    ],
    ids=["wrong tag", "no octet", "five octets", "empty boolean", "long boolean", "something left", "wrong container"],
)
def test_what_is_not_as_expected_is_refused(octets, read):
    """Every read names its field."""
    with pytest.raises(ProtocolViolation, match=r"^x: "):
        read(BerReader.over(bytes.fromhex(octets)))


def test_any_octet_but_zero_is_true():
    """As BER has it; old clients send 0x01."""
    assert [BerReader.over(bytes((1, 1, octet))).boolean("x") for octet in (0, 1, 255)] == [False, True, True]
    assert (ber.boolean(True), ber.boolean(False)) == (b"\x01\x01\xff", b"\x01\x01\x00")


def test_text_is_utf_8_or_else_latin_1():
    """Old phones send ISO 8859-1."""
    assert BerReader.over(ber.octets("ü".encode())).text("x") == "ü"
    assert BerReader.over(ber.octets("ü".encode("latin-1"))).text("x") == "ü"


def test_a_reader_goes_into_elements_and_knows_where_it_is():
    """Peek looks without reading, inside and rest take whatever comes."""
    reader = BerReader.over(bytes.fromhex("3003020105") + b"\x80\x02hi")
    assert reader.peek() == ber.SEQUENCE
    tag, inside = reader.inside("x")
    assert (tag, inside.integer("y")) == (ber.SEQUENCE, 5)
    assert reader.inside("z")[1].rest() == b"hi"
    assert reader.peek() == 0
    assert not reader
