# SPDX-License-Identifier: MIT
"""LDIF, read by python-ldap."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldapgw.cli.export import ldif
from ldapgw.directory.entry import special_entry
from tests.support.phonebook import awkward
from tests.support.phonebook.listening import library


def records(data: bytes) -> list[tuple[str, dict[str, list[bytes]]]]:
    """The records of a file."""
    reader = library("ldif", "needs python-ldap: scripts/setup")
    parser = reader.LDIFRecordList(io.BytesIO(data))
    parser.parse()
    assert parser.version == 1
    return parser.all_records


def test_every_entry_is_read_as_it_is() -> None:
    """Awkward names, many scripts, all attributes; no line is longer than 76 octets."""
    entries = awkward.entries(awkward.make_dit(lenient=True))
    data = b"".join(ldif(entries))
    kinds = ("objectClass", "cn", "sn", "givenName", "o", "ou", "mail", "uid", "telephoneNumber", "postalAddress",
             "labeledURI")  # fmt: skip
    found = [(dn, {name: values for name, values in held.items() if name in kinds}) for dn, held in records(data)]
    expected = [
        (entry.dn, {name: list(values) for name in kinds if (values := entry.attribute(name))}) for entry in entries
    ]
    assert found == expected
    assert max(map(len, data.split(b"\n"))) <= 76


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=200))
def test_any_value_comes_through(value: str) -> None:
    """Line breaks, blanks at either end, colons, whatever the length."""
    entry = special_entry("dc=example", {"o": (value,)}, {}, lenient=False)
    assert records(b"".join(ldif([entry]))) == [("dc=example", {"o": [value.encode()]})]


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("plain", b"o: plain"),
        ("ü", b"o:: w7w="),
        (" x", b"o:: IHg="),
        ("x ", b"o:: eCA="),
        (":x", b"o:: Ong="),
        ("<x", b"o:: PHg="),
        ("a:b<c", b"o: a:b<c"),
        ("a\nb", b"o:: YQpi"),
    ],
)
def test_what_a_line_cannot_hold_is_written_in_base64(value: str, line: bytes) -> None:
    """RFC 2849's SAFE-STRING, and no blank at the end that an editor would lose."""
    entry = special_entry("dc=example", {"o": (value,)}, {}, lenient=False)
    assert b"".join(ldif([entry])).split(b"\n")[3] == line
