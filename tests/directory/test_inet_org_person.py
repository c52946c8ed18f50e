# SPDX-License-Identifier: MIT
"""A contact's attributes: what stands for what, in which order, and what is left out."""

from __future__ import annotations

import pytest

from ldapgw.contact import Address, Contact, Kind, Phone, Sharing
from ldapgw.directory import inet_org_person
from ldapgw.directory.book import build_book
from ldapgw.directory.inet_org_person import numbers_of, other_names, shown_name, texts_of
from ldapgw.numbers.phone_number import NumberFormat
from tests.support.phonebook import naming_context
from tests.support.phonebook.entries import phone

CONTEXT = naming_context()
WORK, MAIN, OTHER = (phone(Kind(kind), f"+49 30 123456{at}") for at, kind in enumerate(("work", "main", "other")))
MOBILE, HOME = phone(Kind.MOBILE, "0171 2345678"), phone(Kind.HOME, "030 7654321")
FAX, PAGER = phone(Kind.FAX, "030 1112223"), phone(Kind.PAGER, "030 4445556")


def written(contact: Contact, form: NumberFormat = NumberFormat.E164) -> dict[str, list[str]]:
    """The number attributes as they are shown."""
    return {name: list(held) for name, held in numbers_of(contact, naming_context(number_format=form)).items()}


@pytest.mark.parametrize(
    ("phones", "expected"),
    [
        ((), {}),
        (
            (OTHER, MOBILE, WORK, MAIN, HOME, FAX, PAGER),
            {
                "telephoneNumber": ["+49301234562", "+49301234560", "+49301234561"],
                "mobile": ["+491712345678"],
                "homePhone": ["+49307654321"],
                "facsimileTelephoneNumber": ["+49301112223"],
                "pager": ["+49304445556"],
            },
        ),
        ((HOME, MOBILE), {"telephoneNumber": ["+49307654321"], "homePhone": ["+49307654321"],
                          "mobile": ["+491712345678"]}),
        ((FAX, PAGER, MOBILE), {"telephoneNumber": ["+491712345678"], "facsimileTelephoneNumber": ["+49301112223"],
                                "pager": ["+49304445556"], "mobile": ["+491712345678"]}),
        ((FAX, PAGER), {"telephoneNumber": ["+49304445556"], "facsimileTelephoneNumber": ["+49301112223"],
                        "pager": ["+49304445556"]}),
        ((FAX,), {"telephoneNumber": ["+49301112223"], "facsimileTelephoneNumber": ["+49301112223"]}),
        ((WORK, phone(Kind.MAIN, "0301234560")), {"telephoneNumber": ["+49301234560"]}),
    ],
    ids=["none", "all", "no-work", "deaf-ones", "only-deaf", "only-fax", "twice"],
)  # fmt: skip
def test_numbers(phones: tuple[Phone, ...], expected: dict[str, list[str]]) -> None:
    """Each kind has its attribute; telephoneNumber is never empty, and holds a fax only as a last resort."""
    assert written(Contact("c", phones=phones)) == expected


def test_numbers_are_written_in_the_tenants_format() -> None:
    """The setting `number_format` chooses the format."""
    assert [written(Contact("c", phones=(WORK,)), form)["telephoneNumber"] for form in NumberFormat] == [
        ["+49301234560"],
        ["+49 30 1234560"],
        ["030 1234560"],
        ["+49 30 1234560"],
        ["00301234560"],
    ]


@pytest.mark.parametrize(
    ("contact", "name", "sn"),
    [
        (Contact("c", name="Ada King", family_name="King", given_name="Ada"), "Ada King", "King"),
        (Contact("c", name="Ada King"), "Ada King", "King"),
        (Contact("c", name="Mama", given_name="Mama"), "Mama", "Mama"),
        (Contact("c", organization="Acme GmbH"), "Acme GmbH", "Acme GmbH"),
        (Contact("c", phones=(MOBILE,), emails=("a@b.example",)), "+491712345678", "+491712345678"),
        (Contact("c", emails=("a@b.example",)), "a@b.example", "a@b.example"),
        (Contact("c", addresses=(Address(city="Köln", postal_code="50667"),)), "50667 Köln", "50667 Köln"),
        (Contact("c", title="Chef"), "", ""),
        (Contact("c", addresses=(Address(),)), "", ""),
    ],
    ids=["name", "no-family-name", "one-word", "company", "number", "mail", "address", "nothing", "empty-address"],
)
def test_names(contact: Contact, name: str, sn: str) -> None:
    """Both cn and sn are never empty, unless nothing could be shown at all."""
    shown = shown_name(contact, numbers_of(contact, CONTEXT))
    texts = texts_of(contact, shown)

    assert (shown, texts.get("cn", ("",))[0], texts.get("displayName", ("",))[0]) == (name, name, name)
    assert texts.get("sn", ("",))[0] == sn


@pytest.mark.parametrize(
    ("given", "initials"),
    [("Karl-Otto Ägidius", "K. Ä."), ("太郎", None), ("3PO 🐶 ölaf", "Ö."), ("", None)],
)
def test_initials(given: str, initials: str | None) -> None:
    """As RFC 4519 writes them, for scripts that have capitals."""
    assert texts_of(Contact("c", name="x", given_name=given), "x").get("initials") == (initials and (initials,))


def test_addresses() -> None:
    """Parts in their attributes, the whole with its lines parted by "$"; one country, two capitals."""
    contact = Contact(
        "c",
        addresses=(
            Address(("Weg 1 $\\", "Berlin"), "Weg 1", "Berlin", "BE", "12345", "Germany"),
            Address(country_code="öö"),
            Address((), "Rue 2", "Paris", "", "75001", "fr"),
            Address((), "", "", "", "", "de"),
        ),
    )

    texts = texts_of(contact, "x")

    assert {name: texts[name] for name in ("street", "l", "st", "postalCode", "c", "postalAddress")} == {
        "street": ("Weg 1", "Rue 2"),
        "l": ("Berlin", "Paris"),
        "st": ("BE",),
        "postalCode": ("12345", "75001"),
        "c": ("FR",),
        "postalAddress": ("Weg 1 \\24\\5C$Berlin", "öö", "Rue 2$75001 Paris$fr", "de"),
    }  # fmt: skip


def test_other_names() -> None:
    """Nicknames and readings, and the name as a list has it: family name first."""
    contact = Contact("c", name="Ada King", given_name="Ada", family_name="King", also=("Enchantress",))

    assert other_names(contact) == ("Enchantress", "King Ada")
    assert other_names(Contact("c", name="Acme", also=("A.",))) == ("A.",)


def test_values_are_packed_once_until_they_are_forgotten() -> None:
    """Contacts of two books share the values of a name; a deleted contact leaves nothing behind."""
    inet_org_person.forget_values()
    for key in ("alice", "bob"):
        person = Contact("c1", given_name="Ada", family_name="Zander", name="Ada Zander")
        build_book(CONTEXT, key, f"{key}@acme.example", Sharing.PRIVATE, [person], {}, per_number=False)
    assert inet_org_person._cached_pack.cache_info().hits > 0
    inet_org_person.forget_values()
    assert inet_org_person._cached_pack.cache_info().currsize == 0
