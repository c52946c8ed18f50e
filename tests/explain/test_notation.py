# SPDX-License-Identifier: MIT
"""Filters as text."""

from __future__ import annotations

import pytest

from ldapgw.directory.filters import Equality, Extensible, Filter, Substrings
from ldapgw.explain.notation import text_of
from ldapgw.ldap.fence import read_filter
from tests.directory.phonebook import CASES

FILTERS = [
    "(cn=*)", "(cn=a*)", "(cn=*a)", "(cn=*a*b*)", "(cn=a*b*c)", "(cn>=a)", "(cn<=a)", "(cn~=a)", "(!(cn=a))",
    "(&(cn=a)(|(sn=b)(!(o=c))))", "(cn:=a)", "(cn:dn:=a)", "(cn:caseExactMatch:=a)", "(:dn:2.5.13.2:=a)",
    r"(cn=\28\29\2a\5c\00)", r"(cn=\fc)", "(cn=ü)", "(cn=)",
]  # fmt: skip


@pytest.mark.parametrize("text", FILTERS)
def test_a_filter_is_written_as_it_is_read(text: str) -> None:
    """Every kind, every sign that has a meaning of its own, and octets that are no UTF-8."""
    assert text_of(read_filter(text)) == text


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_what_is_written_is_read_as_the_same(case: dict[str, str]) -> None:
    """All filters that phones are known to send."""
    sought = read_filter(case["filter"])
    assert read_filter(text_of(sought)) == sought


@pytest.mark.parametrize(
    ("sought", "text"),
    [
        (Substrings("cn", b"", (), None), "(cn=*)"),
        (Substrings("cn", None, (), b""), "(cn=*)"),
        (Extensible("2.5.13.2", None, b"\xff"), r"(:2.5.13.2:=\ff)"),
        (Equality("cn", "\ud800".encode("utf-8", "surrogatepass")), r"(cn=\ed\a0\80)"),
    ],
    ids=["empty initial", "empty final", "rule alone", "half a pair"],
)
def test_what_no_text_was_read_for_can_be_written(sought: Filter, text: str) -> None:
    """A phone's BER can hold what a text cannot."""
    assert text_of(sought) == text
