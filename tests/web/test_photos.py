# SPDX-License-Identifier: MIT
"""Phones fetch a caller's photo over HTTP by the caller's number."""

from __future__ import annotations

import pytest

from ldapgw.ldap.admission import UNKNOWN_NUMBERS
from ldapgw.phones.book_reader import initials_png, photo_png
from tests.support.photo import jpeg
from tests.support.stage.book_clients import SECRET, Pbx, basic, bearer, serve
from tests.support.stage.web import Stage

ANNA, BOB, CARL, DORA = "+49301234567", "+49307654321", "+491717654321", "+49305556677"


@pytest.fixture
def stage() -> Stage:
    return serve(photo=jpeg())


def body(answer: bytes, status: int = 200) -> bytes:
    head, _, content = answer.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode()), head
    assert b"\r\nContent-Type: image/png\r\n" in head + b"\r\n"
    assert b"\r\nCache-Control: no-store\r\n" in head + b"\r\n"
    return content


@pytest.mark.parametrize("number", [ANNA, "%2B49301234567", "0301234567", "030%201234567", "01711234567"])
def test_the_photo_of_a_caller(stage: Stage, number: str) -> None:
    """A login and a secret get the photo for a number in any form."""
    for secret, headers in (("", basic()), ("", bearer()), (f"pbx.{SECRET}/", {})):
        assert body(Pbx(stage).get(f"/acme/photo/{secret}{number}.png", headers)) == photo_png(jpeg())


def test_initials_in_place_of_a_photo(stage: Stage) -> None:
    """The photo is of the contact that the phone may list, and not of the contact for callers' names alone."""
    assert Pbx(stage).ask(basic(), number="0301112222").endswith(b"\r\n\r\nAaron Caesar")
    for number, name in ((BOB, "Bob Bauer"), ("0301112222", "Zoe Zorn")):
        assert body(Pbx(stage).get(f"/acme/photo/{number}.png", basic())) == initials_png(name)


@pytest.mark.parametrize("number", [CARL, DORA, "+49309999999", "anonymous", "9" * 300])
def test_nobody(stage: Stage, number: str) -> None:
    """A caller of a book for callers' names, of a private book, an unknown number and other text have no photo."""
    assert body(Pbx(stage).get(f"/acme/photo/{number}.png", basic()), 404) == b""


def test_a_tenant_without_photos() -> None:
    assert body(Pbx(serve()).get(f"/acme/photo/{ANNA}.png", basic()), 404) == b""


def test_trying_all_numbers(stage: Stage) -> None:
    """Unknown numbers count as they do over LDAP, so the login gets no more names from books for callers."""
    phone = Pbx(stage)
    for number in range(int(UNKNOWN_NUMBERS)):
        phone.get(f"/acme/photo/0309{number:06}.png", basic())
    assert phone.ask(basic(), number="01717654321").startswith(b"HTTP/1.1 404 ")
    assert body(phone.get(f"/acme/photo/{ANNA}.png", basic())) == photo_png(jpeg())
