# SPDX-License-Identifier: MIT
"""The tests cover labels of phones, sign-in names made from labels, and MAC addresses in people's writings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldapgw.phones.description import MAX_LABEL, read_label, read_mac, show_mac, sign_in_name
from ldapgw.store.phones import is_valid_name


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("Büro von Alice, 2. OG", "buero-von-alice-2-og"),
        ("Bu\u0308ro", "buero"),
        ("Alice's office", "alices-office"),
        ("Alice’s office", "alices-office"),
        ("STRASSE / Straße", "strasse-strasse"),
        ("Ångström", "angstroem"),
        ("Кухня", "kukhnya"),
        ("受付", "shoufu"),
        ("desk_1.a", "desk_1.a"),
        ("a" + "_" * 61 + "bc", "a-bc"),
        ("- Lobby -", "lobby"),
        ("…!", "phone"),
        ("a" * 63 + " b", "a" * 63),
    ],
)
def test_a_name_is_made_from_a_label(label: str, name: str) -> None:
    assert sign_in_name(label, ()) == name


def test_a_name_that_is_taken_gets_a_number() -> None:
    """The name gets the first free number, and a long name is cut to make room."""
    assert sign_in_name("Lobby", {"lobby", "lobby-2"}) == "lobby-3"
    assert sign_in_name("a" * 64, {"a" * 64}) == "a" * 62 + "-2"


@given(st.text(), st.integers(0, 12))
def test_every_text_gives_a_name_that_is_allowed_and_free(text: str, count: int) -> None:
    taken: list[str] = []
    for _ in range(count):
        taken.append(sign_in_name(text, taken))
    assert len({*taken}) == count
    assert [name for name in taken if not is_valid_name(name) or name != name.lower()] == []


@pytest.mark.parametrize(
    ("text", "label"),
    [("  Büro\u00a0von  Alice ", "Büro von Alice"), ("", ""), ("x" * MAX_LABEL, "x" * MAX_LABEL)],
)
def test_a_label_is_stored_without_needless_blanks(text: str, label: str) -> None:
    assert read_label(text) == label


@pytest.mark.parametrize("text", ["x" * (MAX_LABEL + 1), "a\x00b", "a\u202eb"])
def test_a_label_that_cannot_be(text: str) -> None:
    """A label that is too long or has invisible characters is refused."""
    with pytest.raises(ValueError, match=r"."):
        read_label(text)


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
def test_a_mac_address_is_read_as_people_write_it(text: str, mac: str) -> None:
    assert read_mac(text) == mac


@pytest.mark.parametrize(
    "text", ["00:15:65:aa:bb", "00:15:65:aa:bb:cc:dd", "00:15:65:aa:bb:cg", "desk1", "0１1565aabbcc"]
)
def test_other_texts_are_no_mac_addresses(text: str) -> None:
    with pytest.raises(ValueError, match="not a MAC address"):
        read_mac(text)


def test_a_mac_address_is_shown_with_colons() -> None:
    assert (show_mac("001565aabbcc"), show_mac("")) == ("00:15:65:aa:bb:cc", "")
