# SPDX-License-Identifier: MIT
"""Forms as browsers send them, and as nobody should."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldapgw.web.http import LARGEST_BODY, MOST_FIELDS, _form

MULTIPART = "multipart/form-data; boundary=x"


def part(name: str, value: bytes, more: str = "") -> bytes:
    head = f'--x\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'
    return head.encode() + value + b"\r\n"


END = b"--x--\r\n"
FILE = '; filename="client.json"\r\nContent-Type: application/json'


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (part("token", b"abc") + part("file", b'{"a": "\xc3\xa4"}', FILE), {"token": "abc", "file": '{"a": "ä"}'}),
        (part("file", b"\xff\x00", FILE), {"file": "\ufffd\0"}),
        (part("file", b"", '; filename=""'), {"file": ""}),
        (part("a", b"1") + part("a", b"2") + part("b", b"3"), {"b": "3"}),
        (part("a", b"1") + part("a", b"2", FILE), {}),
        (b"", {}),
        (part("a", b"1") * (MOST_FIELDS + 1), {}),
        (part("a", b"1" * LARGEST_BODY * 2), {}),
    ],
    ids=["a file", "not UTF-8", "no file", "twice", "a field and a file", "nothing", "too many", "too large"],
)
def test_a_multipart_form(body: bytes, fields: dict[str, str]) -> None:
    """A file is a field with its text; a field that comes twice is none."""
    assert _form(MULTIPART, body + END) == fields


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("application/x-www-form-urlencoded", {"a": "1"}),
        ("application/x-www-form-urlencoded; charset=utf-8", {"a": "1"}),
        ("text/plain", {}),
        ("multipart/form-data", {}),
        ("multipart/mixed; boundary=x", {}),
        ("", {}),
    ],
)
def test_what_is_a_form(kind: str, fields: dict[str, str]) -> None:
    """Nothing else is, whatever it looks like."""
    assert _form(kind, b"a=1") == fields


@settings(deadline=None)
@given(st.binary(max_size=300), st.sampled_from([b"", part("a", b"1"), part("file", b"{}", FILE)]))
def test_any_octets(octets: bytes, before: bytes) -> None:
    """They are fields or nothing, and never a fault."""
    assert isinstance(_form(MULTIPART, before + octets), dict)
