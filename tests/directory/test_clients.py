# SPDX-License-Identifier: MIT
"""Clients: whom an address stands for, and how often each may do something."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from ldapgw.directory.clients import MAX_BUCKETS, TokenBuckets, is_in_local_network, network_of, normalize_address


@pytest.mark.parametrize(
    ("host", "address", "counted"),
    [
        ("192.0.2.1", "192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1", "192.0.2.1"),
        ("2001:DB8::1:2", "2001:db8::1:2", "2001:db8::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::1", "fe80::/64"),
        ("", "", ""),
        ("unknown", "unknown", "unknown"),
    ],
)
def test_an_address_has_one_spelling(host: str, address: str, counted: str) -> None:
    """IPv4 on an IPv6 socket is IPv4; an IPv6 host has a whole /64."""
    assert normalize_address(host) == address
    assert network_of(host) == counted


@pytest.mark.parametrize(
    ("address", "is_local"),
    [("192.168.1.7", True), ("fd00::7", True), ("fe80::1", True), ("8.8.4.4", False), ("2a00:1450::1", False)],
)
def test_which_addresses_are_of_local_networks(address: str, is_local: bool) -> None:
    assert is_in_local_network(address) == is_local


def test_a_burst_and_then_a_steady_rate() -> None:
    """A client gets its tokens after the wait; no more than the burst is ever saved up."""
    clock = Clock()
    buckets = TokenBuckets(3, 2.0, clock.seconds)

    def taken_at(*times: float) -> list[float]:
        waits = []
        for time in times:
            clock.advance(time - clock.seconds())
            waits.append(buckets.take("a"))
        return waits

    assert taken_at(0.0, 0.0, 0.0, 0.0, 0.0) == [0, 0, 0, 2.0, 2.0]
    assert taken_at(1.0, 2.0, 3.0, 4.0) == [1.0, 0, 1.0, 0]
    assert taken_at(1000.0, 1000.0, 1000.0, 1000.0) == [0, 0, 0, 2.0]


def test_a_clock_that_is_set_back_takes_no_tokens() -> None:
    now = [1000.0]
    buckets = TokenBuckets(3, 2.0, lambda: now[0])
    assert [buckets.take("a"), buckets.take("a")] == [0, 0]
    now[0] = 0.0
    assert [buckets.take("a"), buckets.take("a")] == [0, 2.0]


def test_tokens_come_back_and_can_be_owed() -> None:
    """A full bucket takes no more tokens, and is not kept."""
    buckets = TokenBuckets(3, 1.0, Clock().seconds)
    buckets.add("a", -5)
    assert (len(buckets), buckets.take("a", 2)) == (1, 4.0)
    buckets.add("a", 5)
    assert (len(buckets), buckets.take("a", 4)) == (0, 1.0)
    buckets.add("a", 5)
    assert [buckets.take("a", 3), buckets.take("a")] == [0, 1.0]


def test_buckets_are_of_one_key_and_bounded() -> None:
    """The bucket that was used longest ago is forgotten."""
    buckets = TokenBuckets(1, 60.0, Clock().seconds)
    assert [buckets.take(key) for key in ("0", "0", "1")] == [0, 60.0, 0]
    for number in range(MAX_BUCKETS):
        buckets.take(str(number))
    buckets.take("0")
    buckets.take("new")
    assert len(buckets) == MAX_BUCKETS
    assert buckets.take("0") > 0
    assert buckets.take("1") == 0
