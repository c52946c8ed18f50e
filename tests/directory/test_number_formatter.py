# SPDX-License-Identifier: MIT
"""Numbers in the format of a phone, made from entries in the tenant's format."""

from __future__ import annotations

from functools import cache
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldapgw.contact import Contact, Kind, Phone
from ldapgw.directory.caller_id import matching_numbers
from ldapgw.directory.entry import (
    PHONE_FORMATS,
    Entry,
    NumberFormatter,
    Selection,
    number_formatter,
    parse_written,
    select,
)
from ldapgw.directory.filter_matcher import prepare
from ldapgw.directory.inet_org_person import EntryFactory, ParentEntry
from ldapgw.directory.schema import NUMBER_TYPES
from ldapgw.numbers import Number
from ldapgw.numbers.phone_number import NumberFormat, format_number, parse
from tests.support.examples import examples
from tests.support.filter_text import read_filter
from tests.support.phonebook import BOOK, contacts, naming_context
from tests.support.phonebook.entries import answer, phone

E164, INTERNATIONAL, NATIONAL, TYPED, DIAL = NumberFormat
PAIRS = list(product(NumberFormat, PHONE_FORMATS))
NAMES = tuple(kind.name for kind in NUMBER_TYPES)

# As people type them: abroad, at home, with extensions, internal ones, numbers without a country, service codes.
TYPED_NUMBERS = ("+49 30 1234-567", "(030) 123 45 67", "0171/5550100", "+1 212 555 0199 ext. 204", "00 44 20 7946 0123",
                 "204", "*31#", "112", "2345678", "+49 30 1234567 Durchwahl 12", "1-800-FLOWERS", "0800 1234567",
                 "+54 9 11 2345 6789", "+379 06 698 12345")  # fmt: skip
E164_OF = {"030 1234567": "+49301234567", "0171 2345678": "+491712345678"}
NUMBERS = tuple(
    dict.fromkeys(
        [read for text in TYPED_NUMBERS if (read := parse(text, "DE"))]
        + [one.number for contact in contacts() for one in contact.phones]
    )
)


def written(number: Number, form: NumberFormat) -> str:
    return format_number(number, form, "DE", "0")


@cache
def formatter(source: NumberFormat, target: NumberFormat) -> NumberFormatter | None:
    return number_formatter(target, naming_context(number_format=source))


def entry_of(contact: Contact, form: NumberFormat, *, lenient: bool = True) -> Entry:
    """The contact's entry in a tenant of a format."""
    context = naming_context(number_format=form, lenient=lenient)
    place = ParentEntry(BOOK, "acme/alice")
    return EntryFactory(context, place, per_number=False).entries_of(contact).contact[0]


def numbers_of(entry: Entry, formatter: NumberFormatter | None = None) -> dict[str, tuple[bytes, ...]]:
    return {name: values for name in NAMES if (values := entry.attribute(name, formatter))}


def is_readable(number: Number, form: NumberFormat) -> bool:
    """Return True if a number that is written in a format is read as the same number again."""
    read = parse_written(written(number, form), form, "DE", "0")
    return read is not None and bool(read.e164) and read.e164 == number.e164


phones = st.lists(st.builds(Phone, st.sampled_from(Kind), st.sampled_from(NUMBERS)), max_size=6)


@settings(max_examples=examples(600), deadline=None)
@given(phones, st.sampled_from(PAIRS), st.booleans())
def test_a_phone_gets_what_a_tenant_of_its_format_would_get(
    phones: list[Phone], pair: tuple[NumberFormat, NumberFormat], lenient: bool
) -> None:
    """The tenant's format does not matter; strict matching reads the written number if it is readable."""
    source, target = pair
    held = [one for one in phones if lenient or is_readable(one.number, source)]
    contact = Contact("c1", name="Ada", phones=tuple(held))
    expected = numbers_of(entry_of(contact, target, lenient=lenient))
    assert numbers_of(entry_of(contact, source, lenient=lenient), formatter(source, target)) == expected


@pytest.mark.parametrize("pair", PAIRS, ids=" to ".join)
@pytest.mark.parametrize("lenient", [True, False], ids=["lenient", "strict"])
def test_internal_numbers_stay_as_they_are(pair: tuple[NumberFormat, NumberFormat], lenient: bool) -> None:
    source, target = pair
    contact = Contact("c1", name="Ada", phones=(phone(Kind.WORK, "204"), phone(Kind.WORK, "*31#")))
    entry = entry_of(contact, source, lenient=lenient)
    assert numbers_of(entry, formatter(source, target)) == {"telephoneNumber": (b"204", b"*31#")}


@pytest.mark.parametrize("lenient", [True, False], ids=["lenient", "strict"])
def test_numbers_that_become_equal_are_given_once(lenient: bool) -> None:
    """The tenant has them twice, because they are typed in two ways; their order stays."""
    typed = ("+49 30 1234567", "0171 2345678", "(030) 123 45 67")
    contact = Contact("c1", name="Ada", phones=tuple(phone(Kind.WORK, text) for text in typed))
    entry = entry_of(contact, TYPED, lenient=lenient)
    assert numbers_of(entry, formatter(TYPED, E164)) == {"telephoneNumber": (b"+49301234567", b"+491712345678")}


def test_the_encoding_has_the_format() -> None:
    """Of numbers alone, under the names that were asked for, and where all is asked for."""
    contact = Contact("c1", name="Ada", phones=(phone(Kind.WORK, "+49 30 1234567"), phone(Kind.FAX, "030 1234599")))
    entry, dial = entry_of(contact, E164), formatter(E164, DIAL)
    plain = answer(entry)
    [telephone, fax] = [b"00301234567"], [b"00301234599"]
    assert answer(entry, formatter=dial) == plain | {"telephoneNumber": telephone, "facsimileTelephoneNumber": fax}
    assert answer(entry, "cn", "FAX", formatter=dial) == {"cn": [b"Ada"], "FAX": fax}
    assert answer(entry, "fax", types_only=True, formatter=dial) == {"fax": []}
    assert entry.attribute("cn", dial) == (b"Ada",)
    assert entry.attribute("telephoneNumber") == (b"+49301234567",)


def test_a_selection_belongs_to_a_format() -> None:
    """Encoded messages are kept by selection: those of one format must not be given to a phone of another."""
    dial, national = formatter(E164, DIAL), formatter(E164, NATIONAL)
    selections = [select(("cn",), one) for one in (None, dial, national, None, NumberFormatter(DIAL, E164, "DE", "0"))]
    assert [selections.index(one) for one in selections] == [0, 1, 2, 0, 1]
    long = ("cn", "x" * 600)
    assert [select(long, one).formatter for one in (None, dial)] == [None, dial]
    assert Selection.parse(("cn",)).formatter is None


def test_the_tenants_format_costs_nothing() -> None:
    """A phone that is given it has no formatter."""
    context = naming_context(number_format=NATIONAL)
    assert number_formatter(None, context) is None
    assert number_formatter(NATIONAL, context) is None
    assert number_formatter(E164, context) == NumberFormatter(E164, NATIONAL, "DE", "0")


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("(telephoneNumber=030 1234567)", {"telephoneNumber": "030 1234567"}),
        ("(telephoneNumber=0171 2345678)", {"mobile": "0171 2345678"}),
        ("(mobile=+491712345678)", {"mobile": "0171 2345678"}),
        ("(|(mobile=+49307654321)(homePhone=+49301234567))", {"telephoneNumber": "030 1234567"}),
        ("(telephoneNumber=+49309999999)", {}),
        ("(cn=Ada*)", {}),
    ],
)
def test_the_number_that_was_found_has_the_format(text: str, numbers: dict[str, str]) -> None:
    """Phones and PBXs over HTTP get each kind of number in the format; another number or a name finds none."""
    contact = Contact("c1", name="Ada", phones=(phone(Kind.WORK, "+49 30 1234567"), phone(Kind.MOBILE, "0171 2345678")))
    prepared = prepare(read_filter(text), naming_context())
    for form, expected in ((NATIONAL, numbers), (E164, {name: E164_OF[number] for name, number in numbers.items()})):
        found = matching_numbers(entry_of(contact, E164), prepared.numbers, formatter(E164, form))
        assert found == {name: (number,) for name, number in expected.items()}


def test_a_number_is_found_with_strict_matching() -> None:
    contact = Contact("c1", name="Ada", phones=(phone(Kind.MOBILE, "0171 2345678"),))
    prepared = prepare(read_filter("(mobile=+491712345678)"), naming_context(lenient=False))
    found = matching_numbers(entry_of(contact, E164, lenient=False), prepared.numbers, formatter(E164, NATIONAL))
    assert found == {"mobile": ("0171 2345678",)}


@pytest.mark.parametrize("pair", [pair for pair in PAIRS if pair[0] is not TYPED], ids=" to ".join)
def test_the_tenants_format_comes_back(pair: tuple[NumberFormat, NumberFormat]) -> None:
    """From a phone's format, where the number can be read."""
    source, target = pair
    given = NumberFormatter(target, source, "DE", "0")
    numbers = [number for number in NUMBERS if is_readable(number, target)]
    restored = [given.original(written(number, target)) for number in numbers]
    assert restored == [written(number, source) for number in numbers]
    assert len(numbers) > len(NUMBERS) / 2
    assert given.original("204") == "204"
