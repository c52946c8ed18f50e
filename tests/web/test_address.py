# SPDX-License-Identifier: MIT
"""Whose request it is."""

from __future__ import annotations

import pytest

from ldapgw.web.http import client_address


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "found"),
    [
        ("192.0.2.1", (), "192.0.2.1"),
        ("192.0.2.1", ("203.0.113.7",), "192.0.2.1"),
        ("10.0.0.1", ("203.0.113.7",), "203.0.113.7"),
        ("10.0.0.1", (), "10.0.0.1"),
        ("10.0.0.1", ("198.51.100.1, 203.0.113.7",), "203.0.113.7"),
        ("10.0.0.1", ("198.51.100.1", "203.0.113.7"), "203.0.113.7"),
        ("10.0.0.1", ("203.0.113.7, 10.0.0.2",), "203.0.113.7"),
        ("10.0.0.1", ("10.0.0.3, 10.0.0.2",), "10.0.0.3"),
        ("10.0.0.1", ("2001:DB8::1",), "2001:db8::1"),
        ("10.0.0.1", ("[2001:db8::1]",), "2001:db8::1"),
        ("10.0.0.1", ("203.0.113.7, nonsense",), "10.0.0.1"),
        ("10.0.0.1", ("203.0.113.7\r\nfake: line, 10.0.0.2",), "10.0.0.2"),
        ("10.0.0.1", ("",), "10.0.0.1"),
        ("", ("203.0.113.7",), ""),
    ],
)
def test_the_nearest_address_that_is_no_proxy(peer: str, forwarded_for: tuple[str, ...], found: str) -> None:
    """Trusted proxies are believed, and only they; nothing but an address gets through."""
    assert client_address(peer, forwarded_for, lambda address: address.startswith("10.0.0.")) == found
