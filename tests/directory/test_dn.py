# SPDX-License-Identifier: MIT
"""Distinguished names: read as phones write them, written so that anybody can read them."""

from __future__ import annotations

import contextlib
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldapgw.directory.dn import LONGEST, Dn, InvalidDn, escape, folded
from tests.support import work
from tests.support.examples import examples

# Hostile names: everything that RFC 4514 gives a meaning to, blanks, controls, and any other sign.
NAMES = st.text(
    st.one_of(st.sampled_from(' ,+"\\<>;#=\0\n\x7f'), st.characters(exclude_categories=["Cs"])), max_size=40
)


@settings(max_examples=examples(300), deadline=None)
@given(st.lists(NAMES, min_size=1, max_size=4))
def test_any_name_survives_its_dn(values: list[str]) -> None:
    """Escaped signs are read back, one by one."""
    dn = Dn(tuple((("ou", value),) for value in values))

    assert Dn.parse(str(dn)) == dn
    assert Dn.parse(str(dn)).key == dn.key


@settings(max_examples=examples(100), deadline=None)
@given(NAMES, NAMES)
def test_two_values_share_one_rdn(first: str, second: str) -> None:
    """A "+" parts values, unless it is one."""
    dn = Dn(((("cn", first), ("ou", second)), (("dc", "example"),)))

    assert Dn.parse(str(dn)) == dn


@settings(max_examples=examples(200), deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["cn", "OU", "dc", "2.5.4.3"]), st.text(alphabet="aZ 1=.-")), min_size=1))
def test_a_plain_dn_is_read_as_any(parts: list[tuple[str, str]]) -> None:
    """A DN without special signs is read in another way, to the same end."""
    plain = ",".join(f"{kind}={value}" for kind, value in parts)
    around = ",".join(f"{kind} = {value} " for kind, value in parts)
    assert Dn.parse(plain) == Dn.parse(around)


@given(st.text(alphabet=' ,+"\\<>;#=oucn12ab\0', max_size=60))
def test_any_text_is_a_dn_or_refused(text: str) -> None:
    """And the string form of what was read means the same."""
    try:
        dn = Dn.parse(text)
    except InvalidDn:
        return
    assert Dn.parse(str(dn)) == dn


@pytest.mark.parametrize(
    ("text", "rdns"),
    [
        ("", ()),
        ("   ", ()),
        ("DC=Acme", ((("dc", "Acme"),),)),
        ("commonName=a, OID.2.5.4.11 = b ", ((("cn", "a"),), (("ou", "b"),))),
        ("domainComponent=a;userid=b", ((("dc", "a"),), (("uid", "b"),))),
        ("x-own=1", ((("x-own", "1"),),)),
        ('cn="a, b" ,ou=c', ((("cn", "a, b"),), (("ou", "c"),))),
        ('cn="a\\"b"', ((("cn", 'a"b'),),)),
        ("cn=#04024869", ((("cn", "Hi"),),)),
        ("cn=\\4cu\\c4\\8di\\c4\\87", ((("cn", "Lučić"),),)),
        ("cn=a\\ ,ou=\\ b", ((("cn", "a "),), (("ou", " b"),))),
        ("cn=,ou=", ((("cn", ""),), (("ou", ""),))),
    ],
)
def test_writings(text: str, rdns: object) -> None:
    """Aliases, OIDs, blanks, semicolons, quotation marks, hex: RFC 4514 and what LDAPv2 had."""
    assert Dn.parse(text).rdns == rdns


@pytest.mark.parametrize(
    "text",
    ["desk1", "=a", "c n=a", "cn=a,", "cn=a\\", "cn=a\\zz", "cn=a\\4", 'cn="a', 'cn="a" b', "cn=<", 'cn=a"', "cn=a\0",
     "cn=#0402", "cn=#123", "cn=#0401ff", "cn=\\ff", "cn=\ud800", "cn=" + "a" * LONGEST, ",".join(["cn=a"] * 65)],
    ids=lambda text: repr(text[:20]),
)  # fmt: skip
def test_what_is_no_dn(text: str) -> None:
    """Is refused, with a phrase of ours."""
    with pytest.raises(InvalidDn):
        Dn.parse(text)


@pytest.mark.parametrize("sign", ['"', "\\", "=", "a", "\ud800"], ids=ascii)
def test_a_megabyte_is_refused_at_once(sign: str) -> None:
    """The longest that can be is read in as many steps as it has signs; so is a value escaped."""

    def read(text: str) -> None:
        with contextlib.suppress(InvalidDn):
            Dn.parse(text)

    with pytest.raises(InvalidDn):
        Dn.parse("cn=" + sign * 1_000_000)
    assert work.calls(lambda: read("cn=" + sign * 1_000_000)) < 100
    assert work.calls(lambda: read(("cn=" + escape(sign * LONGEST))[:LONGEST])) < 10 * LONGEST
    assert work.calls(lambda: escape(sign * 100_000)) < 500_000


def test_keys_ignore_what_does_not_matter() -> None:
    """Case, runs of blanks, the order within an RDN, and how an accent is encoded."""
    one = Dn.parse("cn=Zoe\u0308  B+ou=X,DC=Acme")
    other = Dn.parse("OU=x + CN=zoë b,dc=ACME")

    assert one.key == other.key
    assert one.key != Dn.parse("cn=zoe b+ou=x,dc=acme").key


def test_family() -> None:
    """A child, its parent, and a folded value."""
    base = Dn.parse("dc=acme,dc=example")

    assert str(base.child("ou", "a, b")) == "ou=a\\, b,dc=acme,dc=example"
    assert base.child("ou", "a").child("uid", "1").parent(2) == base
    assert folded(" A  B ") == "a b"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("a ", "a\\ "),
        (" a", "\\ a"),
        (" ", "\\ "),
        ("  ", "\\ \\ "),
        ("#1", "\\#1"),
        ("a#", "a\\#"),
        ("a=b", "a\\=b"),
        ("\n", "\\0a"),
    ],
)
def test_blanks_and_signs_at_the_ends_are_escaped(value: str, written: str) -> None:
    """RFC 4514 2.4."""
    assert escape(value) == written
    assert Dn.parse(f"cn={written}").rdns == ((("cn", value),),)


def test_a_name_can_be_sent_to_another_process() -> None:
    """Compiled too."""
    name = Dn.parse("ou=alice@acme.example,dc=acme,dc=example")
    assert pickle.loads(pickle.dumps(name)) == name
