# SPDX-License-Identifier: MIT
"""Cookies as they are written and read."""

from __future__ import annotations

import os

import pytest

from ldapgw.web.http import Cookie, Cookies, is_secret, new_secret


@pytest.mark.parametrize(
    ("secure", "value"),
    [
        (True, "__Host-ldapgw.acme=x; Path=/; HttpOnly; SameSite=Lax; Max-Age=60; Secure"),
        (False, "ldapgw.acme=x; Path=/; HttpOnly; SameSite=Lax; Max-Age=60"),
    ],
)
def test_how_a_cookie_is_set(secure: bool, value: str) -> None:
    """With ``__Host-`` and Secure on https, without both on http."""
    assert Cookies(secure=secure).set(Cookie.SESSION, "x", tenant="acme", seconds=60) == ("Set-Cookie", value)


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ([], {}),
        (["__Host-ldapgw-language=x"], {Cookie.LANGUAGE: "x"}),
        (["a=b; __Host-ldapgw-note=x;__Host-ldapgw-consent=y=z"], {Cookie.NOTE: "x", Cookie.BROWSER: "y=z"}),
        (["a=b", "__Host-ldapgw-note=x"], {Cookie.NOTE: "x"}),
        (["ldapgw-note=x"], {}),
        (["__Host-ldapgw-note=x; __Host-ldapgw-note=y"], {}),
        (["__Host-ldapgw-note=x", "__Host-ldapgw-note=x"], {}),
        (["__Host-ldapgw-note"], {Cookie.NOTE: ""}),
        ([";;=; =x;"], {}),
    ],
)
def test_which_cookies_are_read(headers: list[str], found: dict[Cookie, str]) -> None:
    """Ours, by their whole name; one that comes twice may be planted, and counts as none."""
    assert Cookies(secure=True).read(headers) == found


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("__Host-ldapgw.acme=x; a=b; __Host-ldapgw.globex=y", {"acme": "x", "globex": "y"}),
        ("__Host-ldapgw.acme=x; __Host-ldapgw.acme=y", {}),
        ("__Host-ldapgw.nobody=x; __Host-ldapgw=y; ldapgw.acme=z; __Host-ldapgw.=z", {}),
    ],
    ids=["both", "twice", "none of ours"],
)
def test_which_sessions_are_read(header: str, found: dict[str, str]) -> None:
    """One for each tenant of ours."""
    assert Cookies(secure=True).sessions([header], ["acme", "globex"]) == found


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
