# SPDX-License-Identifier: MIT
"""Cookies as they are written and read."""

from __future__ import annotations

import os

import pytest

from ldapgw.web.cookies import Cookie, Cookies, is_secret, new_secret


@pytest.mark.parametrize(
    ("secure", "value"),
    [
        (True, "__Host-ldapgw=x; Path=/; HttpOnly; SameSite=Lax; Max-Age=60; Secure"),
        (False, "ldapgw=x; Path=/; HttpOnly; SameSite=Lax; Max-Age=60"),
    ],
)
def test_how_a_cookie_is_set(secure: bool, value: str) -> None:
    """With ``__Host-`` and Secure on https, without both on http."""
    assert Cookies(secure=secure).set(Cookie.SESSION, "x", seconds=60) == ("Set-Cookie", value)


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ([], {}),
        (["__Host-ldapgw=x"], {Cookie.SESSION: "x"}),
        (["a=b; __Host-ldapgw=x;__Host-ldapgw-consent=y=z"], {Cookie.SESSION: "x", Cookie.BROWSER: "y=z"}),
        (["a=b", "__Host-ldapgw-note=x"], {Cookie.NOTE: "x"}),
        (["ldapgw=x"], {}),
        (["__Host-ldapgw=x; __Host-ldapgw=y"], {}),
        (["__Host-ldapgw=x", "__Host-ldapgw=x"], {}),
        (["__Host-ldapgw"], {Cookie.SESSION: ""}),
        ([";;=; =x;"], {}),
    ],
)
def test_which_cookies_are_read(headers: list[str], found: dict[Cookie, str]) -> None:
    """Ours, by their whole name; one that comes twice may be planted, and counts as none."""
    assert Cookies(secure=True).read(headers) == found


def test_a_secret_has_256_bits() -> None:
    """It is as long as RFC 7636 asks a verifier to be, and has its signs alone."""
    asked: list[int] = []

    def random(length: int) -> bytes:
        asked.append(length)
        return os.urandom(length)

    assert is_secret(new_secret(random))
    assert asked == [32]


@pytest.mark.parametrize("value", ["", "A" * 42, "A" * 44, "A" * 42 + "=", "A" * 42 + "\n", "ä" * 43])
def test_what_is_no_secret(value: str) -> None:
    """It is not even looked up."""
    assert not is_secret(value)
