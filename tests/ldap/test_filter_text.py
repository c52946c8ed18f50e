# SPDX-License-Identifier: MIT
"""Filter texts, read by ldaptor and repaired."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ldapgw.directory.filter import (
    And,
    Approximate,
    Equality,
    Extensible,
    GreaterOrEqual,
    LessOrEqual,
    Not,
    Or,
    Present,
    to_string,
)
from ldapgw.directory.filter import Substrings as Sub
from ldapgw.errors import UserError
from ldapgw.ldap.filter_text import read_filter


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(cn=a)", Equality("cn", b"a")),
        ("  (cn=a b) ", Equality("cn", b"a b")),
        ("(cn>=a)", GreaterOrEqual("cn", b"a")),
        ("(cn<=a)", LessOrEqual("cn", b"a")),
        ("(cn~=a)", Approximate("cn", b"a")),
        ("(cn=*)", Present("cn")),
        ("(cn=a*)", Sub("cn", b"a", (), None)),
        ("(cn=*a*b*)", Sub("cn", None, (b"a", b"b"), None)),
        ("(cn=a**b)", Sub("cn", b"a", (), b"b")),
        ("(cn=**)", Present("cn")),
        ("(!(cn=a))", Not(Equality("cn", b"a"))),
        ("(|(cn=a)(&(sn=b)(o=c)))", Or((Equality("cn", b"a"), And((Equality("sn", b"b"), Equality("o", b"c")))))),
        ("(cn:dn:2.5.13.2:=x)", Extensible("2.5.13.2", "cn", b"x", dn_attributes=True)),
        ("(:caseIgnoreMatch:=x)", Extensible("caseIgnoreMatch", None, b"x")),
        ("(cn=Müller)", Equality("cn", "Müller".encode())),
        (r"(cn=M\c3\bcller)", Equality("cn", "Müller".encode())),
        (r"(cn=M\fcller)", Equality("cn", b"M\xfcller")),
        (r"(cn=*\2a\28\29\5c*)", Sub("cn", None, (b"*()\\",), None)),
        (r"(cn=\00)", Equality("cn", b"\x00")),
        ("(cn=日本*)", Sub("cn", "日本".encode(), (), None)),
        ("(cn=)", Equality("cn", b"")),
        ("(|(telephoneNumber=)(mobile=))", Or((Equality("telephoneNumber", b""), Equality("mobile", b"")))),
        ("(cn=a=)", Equality("cn", b"a=")),
        ("(&)", And(())),
        ("(|)", Or(())),
        ("(&(cn=a)(!(|)))", And((Equality("cn", b"a"), Not(Or(()))))),
        ("(cn;lang-de=a)", Equality("cn;lang-de", b"a")),
    ],
)
def test_a_text_becomes_a_tree(text, expected):
    """RFC 4515, and what people write for it."""
    assert read_filter(text) == expected


@pytest.mark.parametrize(
    ("text", "position"),
    [
        *(("", 1), ("cn=a", 1), ("((cn=a)", 2), ("(cn=a)(sn=b)", 7), (r"(cn=\zz)", 6), ("(cn=(a)", 5), ("()", 2)),
        *((r"(&(&)(cn=\zz))", 6), (r"(&(sn=)(cn=\zz))", 8), ("(cn=(&))", 5)),
    ],
)
def test_what_is_no_filter_is_a_plain_line(text, position):
    """With the place where it goes wrong."""
    with pytest.raises(UserError) as raised:
        read_filter(text)
    assert raised.value.problems == (f"This is not a filter: it cannot be read from position {position} on.",)


@pytest.mark.parametrize("text", ["(!" * 60 + "(cn=a)" + ")" * 60, "(!" * 5000 + "(cn=a)" + ")" * 5000])
def test_a_filter_beyond_our_limits_is_a_plain_line(text):
    """However deep it goes."""
    with pytest.raises(UserError, match="nested too deep"):
        read_filter(text)


def test_every_filter_that_a_phone_is_known_to_send_is_read():
    """The recorded requests; and what is read is written so that it is read as the same."""
    cases = json.loads((Path(__file__).parents[1] / "data" / "phones.json").read_text())["cases"]
    read = [read_filter(case["filter"]) for case in cases]
    assert [read_filter(to_string(one)) for one in read] == read
