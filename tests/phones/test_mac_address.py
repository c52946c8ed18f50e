# SPDX-License-Identifier: MIT
"""MAC addresses as people write and read them."""

from __future__ import annotations

import pytest

from ldapgw.phones.mac_address import read_mac, show_mac


@pytest.mark.parametrize(
    ("text", "mac"),
    [
        ("00:15:65:AA:BB:CC", "001565aabbcc"),
        ("00-15-65-aa-bb-cc", "001565aabbcc"),
        ("0015.65aa.bbcc", "001565aabbcc"),
        ("00 15 65 AA BB CC", "001565aabbcc"),
        (" 001565AABBCC\t", "001565aabbcc"),
        ("", ""),
        (" ", ""),
    ],
)
def test_an_address_is_read_as_people_write_it(text: str, mac: str) -> None:
    assert read_mac(text) == mac


@pytest.mark.parametrize(
    "text", ["00:15:65:aa:bb", "00:15:65:aa:bb:cc:dd", "00:15:65:aa:bb:cg", "desk1", "0１1565aabbcc"]
)
def test_other_texts_are_no_addresses(text: str) -> None:
    with pytest.raises(ValueError, match="not a MAC address"):
        read_mac(text)


def test_an_address_is_shown_with_colons() -> None:
    assert (show_mac("001565aabbcc"), show_mac("")) == ("00:15:65:aa:bb:cc", "")
