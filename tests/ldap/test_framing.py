# SPDX-License-Identifier: MIT
"""Messages come out whole, however the network cut them."""

from __future__ import annotations

import time
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldapgw.ber import SEQUENCE, tlv
from ldapgw.errors import ProtocolViolation
from ldapgw.ldap.decoder import Framer, message_ends
from tests.support.examples import examples


def taken(framer: Framer) -> list[bytes]:
    messages = []
    while (message := framer.take()) is not None:
        messages.append(message)
    return messages


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=6), st.data())
@settings(max_examples=examples(100), deadline=None)
def test_every_way_of_splitting_the_stream_gives_the_same_messages(contents, data):
    """The stream may be cut anywhere, even within a header."""
    messages = [tlv(SEQUENCE, content) for content in contents]
    stream = b"".join(messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    framer = Framer(1000)
    found = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        framer.feed(stream[start:end])
        found += taken(framer)
    assert found == messages
    assert not framer.partial
    assert message_ends(stream) == [*accumulate(map(len, messages))]


def test_one_octet_at_a_time():
    """The finest cut there is; half a message shows as partial."""
    message = tlv(SEQUENCE, bytes(300))
    framer = Framer(1000)
    for position in range(len(message) - 1):
        framer.feed(message[position : position + 1])
        assert framer.take() is None
        assert framer.partial
    framer.feed(message[-1:])
    assert framer.take() == message
    assert not framer.partial


@pytest.mark.parametrize(
    ("octets", "diagnostic"),
    [
        ("47", "message: not an LDAPMessage"),
        ("10", "message: not an LDAPMessage"),
        ("3080", "message: length is not definite"),
        ("3085", "message: length is not definite"),
        ("30ff", "message: length is not definite"),
        ("30847fffffff", "message: longer than accepted"),
        ("308203e5", "message: longer than accepted"),
    ],
    ids=["HTTP", "primitive", "indefinite", "five octets of length", "reserved", "2 GiB", "one octet too long"],
)
def test_what_no_message_begins_with_is_refused_from_its_header_alone(octets, diagnostic):
    """Nothing is waited for and nothing is kept."""
    framer = Framer(1000)
    framer.feed(bytes.fromhex(octets))
    with pytest.raises(ProtocolViolation) as raised:
        framer.take()
    assert raised.value.diagnostic == diagnostic


def test_the_longest_message_is_taken():
    """The limit counts the header."""
    message = tlv(SEQUENCE, bytes(996))
    assert len(message) == 1000
    framer = Framer(1000)
    framer.feed(message)
    assert framer.take() == message


def test_a_length_in_more_octets_than_needed_is_taken():
    """Some clients always write four."""
    framer = Framer(1000)
    framer.feed(b"\x30\x84\x00\x00")
    assert framer.take() is None
    framer.feed(b"\x00\x02ab\x30\x00")
    assert taken(framer) == [b"\x30\x84\x00\x00\x00\x02ab", b"\x30\x00"]


def test_discard_forgets_what_came():
    """Octets in front of a TLS handshake are discarded."""
    framer = Framer(1000)
    framer.feed(b"\x30\x00\x30\x05ab")
    assert framer.take() == b"\x30\x00"
    framer.discard()
    assert not framer.partial
    assert framer.take() is None


def test_what_was_taken_is_dropped():
    """However long a connection lasts."""
    framer = Framer(1000)
    for _ in range(1000):
        framer.feed(tlv(SEQUENCE, bytes(100)) + b"\x30")
        assert len(taken(framer)) == 1
        framer.feed(b"\x00")
        assert taken(framer) == [b"\x30\x00"]
    assert len(framer._buffer) < 200


def test_many_small_messages_cost_what_they_weigh():
    """Ten times the messages take ten times the time, not a hundred times."""

    def cost(count: int) -> float:
        framer = Framer(1000)
        begun = time.process_time()
        framer.feed(b"\x30\x01a" * count)
        assert len(taken(framer)) == count
        return time.process_time() - begun

    cost(1000)
    assert cost(100_000) < 30 * max(cost(10_000), 0.001)
