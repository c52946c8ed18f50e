# SPDX-License-Identifier: MIT
"""Filters as text."""

from __future__ import annotations

import pytest

from ldapgw.directory.filter import Equality, written
from tests.directory.filtertext import read_filter


@pytest.mark.parametrize(
    "text",
    [
        "(cn=Jörg Müller)",
        "(|(cn=mue*)(sn=*mue*ll*er)(!(o=*x)))",
        "(&)",
        "(&(objectClass=*)(sn>=o)(sn<=zz)(cn~=meier))",
        "(cn:dn:2.5.13.5:=x)",
        "(:caseExactMatch:=x)",
        r"(cn=\28\29\2a\5c\00)",
        "(telephoneNumber=+49 30 1234567)",
        "(cn=)",
        "(|(cn=a**b))",
    ],
)
def test_what_is_read_is_written(text: str) -> None:
    """As RFC 4515 writes it."""
    assert written(read_filter(text)) == text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b"M\xfcller", r"(cn=M\fcller)"),
        ("\u202etxt.exe".encode(), r"(cn=\e2\80\aetxt.exe)"),
        (b"a\nb\x1b", r"(cn=a\0ab\1b)"),
        ("田中".encode(), "(cn=田中)"),
        (b"<script>", "(cn=<script>)"),
        (b"\xff)", r"(cn=\ff\29)"),
    ],
    ids=["Latin-1", "turned", "control", "letters", "markup", "octets"],
)
def test_what_cannot_be_seen_is_escaped(value: bytes, shown: str) -> None:
    """And letters are not, whatever their script; markup is the page's care."""
    assert written(Equality("cn", value)) == shown
