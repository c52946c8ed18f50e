# SPDX-License-Identifier: MIT
"""Contacts and filters that Hypothesis draws."""

from __future__ import annotations

from hypothesis import strategies as st

from ldapgw.contact import Contact, Kind, Phone
from ldapgw.directory.filter import (
    And,
    Approximate,
    Equality,
    Extensible,
    Filter,
    GreaterOrEqual,
    LessOrEqual,
    Not,
    Or,
    Present,
    Substrings,
)
from ldapgw.numbers.phone_number import parse

NAMES = ["Jörg Müller", "Mueller, Anna", "O'Brien", "Иванов Борис", "Łukasz Żak", "山田 太郎", "Ärmel-Öz",
         "*** Bar ***", "a", "x y z", "Anna", "anna maria", "ΓΙΩΡΓΟΣ", "McDonald's", "Straße 5", "ﷺ", "42",
         "R2D2 c3po"]  # fmt: skip


NUMBERS = ["+49 30 1234567", "030 1234567", "1234567", "204", "+44 20 7946 0000", "0171 2345678", "*31#030 7654321",
           "+1-800-FLOWERS", "110", "+43 1 1234567", "030 1234567 x204", "0049 30 1234567", "+999 1230000"]  # fmt: skip


COMPANIES = ["", "Hotel **** Adler", "Müller GmbH", "ACME", "Äther & Söhne", "Ivory & Gips"]


def contact(at: int, name: str, numbers: list[str], company: str, mail: bool) -> Contact:
    given, _, family = name.partition(" ")
    read = [parse(text, "DE") for text in numbers]
    kinds = (Kind.WORK, Kind.MOBILE, Kind.HOME)
    phones = tuple(Phone(kinds[n % 3], number) for n, number in enumerate(read) if number)
    emails = (f"{given.lower()}@x.example",) if mail else ()
    return Contact(
        f"c{at}", name=name, given_name=given, family_name=family, organization=company, phones=phones, emails=emails
    )


contacts = st.lists(
    st.tuples(
        st.sampled_from(NAMES),
        st.lists(st.sampled_from(NUMBERS), max_size=3),
        st.sampled_from(COMPANIES),
        st.booleans(),
    ),
    max_size=12,
).map(lambda rows: [contact(at, *row) for at, row in enumerate(rows)])


attributes = st.sampled_from(
    ["cn", "sn", "givenName", "displayName", "o", "mail", "name", "telephoneNumber", "mobile", "homePhone", "uid",
     "objectClass", "shoeSize", "entryUUID", "labeledURI"]
)  # fmt: skip


whole = st.sampled_from([*NAMES, *NUMBERS, *COMPANIES, "mueller", "person", "top", "c1", "C2", "685537"])


pieces = st.one_of(
    whole,
    st.tuples(whole, st.integers(0, 8), st.integers(0, 8)).map(lambda cut: cut[0][cut[1] : cut[1] + cut[2]]),
    st.sampled_from(["mu", "an", "ив", "γι", "68", "030", "+49", "+999", "1234567", " ", "*", "20"]),
    st.sampled_from(["an mu", "mü an x", "m a", "z x", "anna a", "бо ив", "68056", "420", "o br", "gi iv ga", "a a"]),
)


values = pieces.map(str.encode)


parts = st.one_of(st.none(), values)


terms = st.one_of(
    st.builds(Equality, attributes, values),
    st.builds(Approximate, attributes, values),
    st.builds(Substrings, attributes, parts, st.lists(values, max_size=2).map(tuple), parts),
    st.builds(GreaterOrEqual, attributes, values),
    st.builds(LessOrEqual, attributes, values),
    st.builds(Present, attributes),
    st.builds(Extensible, st.one_of(st.none(), st.just("caseIgnoreMatch")), attributes, values, st.booleans()),
)

filters: st.SearchStrategy[Filter] = st.recursive(
    terms,
    lambda inner: st.one_of(
        st.builds(And, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Not, inner),
    ),
    max_leaves=4,
)
