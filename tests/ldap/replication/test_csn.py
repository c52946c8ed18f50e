# SPDX-License-Identifier: MIT
"""Change sequence numbers as OpenLDAP writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldapgw.ldap.replication.replica_entry import Csn

# From the year 1000 to 9999.
TIMES = st.integers(-30_610_224_000_000_000, 253_402_300_799_999_999)
STATES = st.integers(0, (1 << 48) - 1)


@given(st.builds(Csn, TIMES, STATES))
def test_written_and_read(csn: Csn) -> None:
    """A number is read as it was written, in the length that OpenLDAP expects."""
    assert (Csn.parse(str(csn)), len(str(csn))) == (csn, 40)


@given(st.builds(Csn, TIMES, STATES), st.builds(Csn, TIMES, STATES))
def test_order(one: Csn, other: Csn) -> None:
    """The texts have the order of the times, as OpenLDAP compares texts."""
    if one.microseconds != other.microseconds:
        assert (one < other) is (str(one) < str(other))


def test_form() -> None:
    assert str(Csn(1_795_570_200_123_456, 0x0123AB_CDEF45)) == "20261125013000.123456Z#0123ab#001#cdef45"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "20261125013000.123456Z#000000#001#00000",
        "20261125013000.123456Z#000000#002#000000",
        "20261125013000.123456Z#00000G#001#000000",
        "20261325013000.123456Z#000000#001#000000",
        "20261125013000Z#000000#001#000000",
        "20261125013000.123456Z#000000#001#000000 ",
        "٢0261125013000.123456Z#000000#001#000000",
        "00001125013000.123456Z#000000#001#000000",
    ],
)
def test_malformed(text: str) -> None:
    """A malformed number, or a number of another server, is refused."""
    assert Csn.parse(text) is None


@given(st.text(alphabet="0123456789abcdefZ#.", max_size=60))
def test_any_text(text: str) -> None:
    """No text makes reading fail."""
    csn = Csn.parse(text)
    assert csn is None or str(csn) == text
