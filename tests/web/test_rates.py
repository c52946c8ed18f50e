# SPDX-License-Identifier: MIT
"""How often somebody may do something."""

from __future__ import annotations

import pytest

from ldapgw.web.http import MOST_BUCKETS, Rates, network_of


def test_a_burst_and_then_a_steady_rate() -> None:
    """What was waited for is what is had; more than the burst is never saved up."""
    rates = Rates(3, 2.0)
    assert [rates.take("a", 0.0) for _ in range(5)] == [0, 0, 0, 2.0, 2.0]
    assert [rates.take("a", now) for now in (1.0, 2.0, 3.0, 4.0)] == [1.0, 0, 1.0, 0]
    assert [rates.take("a", 1000.0) for _ in range(4)] == [0, 0, 0, 2.0]


def test_each_has_its_own() -> None:
    """One who asks too often holds up nobody else."""
    rates = Rates(1, 60.0)
    assert [rates.take(key, 0.0) for key in ("a", "a", "b")] == [0, 60.0, 0]


def test_only_so_many_are_kept() -> None:
    """The one that asked longest ago is forgotten."""
    rates = Rates(1, 60.0)
    for number in range(MOST_BUCKETS):
        rates.take(str(number), 0.0)
    rates.take("0", 1.0)
    rates.take("new", 1.0)
    assert len(rates._buckets) == MOST_BUCKETS
    assert rates.take("0", 1.0) > 0
    assert rates.take("1", 1.0) == 0


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("", ""),
        ("nonsense", "nonsense"),
    ],
)
def test_whom_an_address_stands_for(address: str, network: str) -> None:
    """IPv4: itself; IPv6: the network that a customer gets."""
    assert network_of(address) == network
