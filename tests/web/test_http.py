# SPDX-License-Identifier: MIT
"""A request has the client's address, cookies and forms as values; a public URL has its parts."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldapgw.web.http import (
    MAX_BODY_SIZE,
    MAX_FORM_FIELDS,
    Cookie,
    HttpCookies,
    HttpRequest,
    PublicUrl,
    _parse_form,
    client_address,
    is_secret,
    new_secret,
)


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "found"),
    [
        ("192.0.2.1", (), "192.0.2.1"),
        ("192.0.2.1", ("203.0.113.7",), "192.0.2.1"),
        ("10.0.0.1", ("203.0.113.7",), "203.0.113.7"),
        ("10.0.0.1", (), "10.0.0.1"),
        ("10.0.0.1", ("198.51.100.1, 203.0.113.7",), "203.0.113.7"),
        ("10.0.0.1", ("198.51.100.1", "203.0.113.7"), "203.0.113.7"),
        ("10.0.0.1", ("203.0.113.7, 10.0.0.2",), "203.0.113.7"),
        ("10.0.0.1", ("10.0.0.3, 10.0.0.2",), "10.0.0.3"),
        ("10.0.0.1", ("2001:DB8::1",), "2001:db8::1"),
        ("10.0.0.1", ("[2001:db8::1]",), "2001:db8::1"),
        ("10.0.0.1", ("203.0.113.7, nonsense",), "unknown"),
        ("10.0.0.1", ("203.0.113.7:1234",), "203.0.113.7"),
        ("10.0.0.1", ("203.0.113.7:1234, 10.0.0.2:80",), "203.0.113.7"),
        ("10.0.0.1", ("[2001:db8::1]:443",), "2001:db8::1"),
        ("10.0.0.1", ("[2001:db8::1]443",), "unknown"),
        ("10.0.0.1", ("8.8.8.8, unknown",), "unknown"),
        ("10.0.0.1", ("203.0.113.7, ",), "203.0.113.7"),
        ("10.0.0.1", ("203.0.113.7\r\nfake: line, 10.0.0.2",), "unknown"),
        ("10.0.0.1", ("",), "10.0.0.1"),
        ("", ("203.0.113.7",), ""),
        ("::ffff:192.0.2.1", (), "192.0.2.1"),
        ("::ffff:10.0.0.1", ("::ffff:203.0.113.7",), "203.0.113.7"),
        ("10.0.0.1", ("fe80::1%" + 99 * "A",), "fe80::1"),
    ],
)
def test_the_nearest_address_that_is_no_proxy(peer: str, forwarded_for: tuple[str, ...], found: str) -> None:
    """The function believes only trusted proxies, and returns nothing but addresses."""
    assert client_address(peer, forwarded_for, lambda address: address.startswith("10.0.0.")) == found


@pytest.mark.parametrize(
    ("secure", "value"),
    [
        (True, "__Host-ldapgw.acme=x; Path=/; HttpOnly; SameSite=Lax; Max-Age=60; Secure"),
        (False, "ldapgw.acme=x; Path=/; HttpOnly; SameSite=Lax; Max-Age=60"),
    ],
)
def test_how_a_cookie_is_set(secure: bool, value: str) -> None:
    """A cookie has ``__Host-`` and Secure on HTTPS, and neither on HTTP."""
    assert HttpCookies(secure=secure).set(Cookie.SESSION, "x", tenant="acme", seconds=60) == ("Set-Cookie", value)


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ([], {}),
        (["__Host-ldapgw-language=x"], {Cookie.LANGUAGE: "x"}),
        (["a=b; __Host-ldapgw-note=x;__Host-ldapgw-consent=y=z"], {Cookie.FLASH_MESSAGE: "x", Cookie.BROWSER: "y=z"}),
        (["a=b", "__Host-ldapgw-note=x"], {Cookie.FLASH_MESSAGE: "x"}),
        (["ldapgw-note=x"], {}),
        (["__Host-ldapgw-note=x; __Host-ldapgw-note=y"], {}),
        (["__Host-ldapgw-note=x", "__Host-ldapgw-note=x"], {}),
        (["__Host-ldapgw-note"], {Cookie.FLASH_MESSAGE: ""}),
        ([";;=; =x;"], {}),
    ],
)
def test_which_cookies_are_read(headers: list[str], found: dict[Cookie, str]) -> None:
    """Only cookies with our whole names are read; a cookie that comes twice may be planted, and is not read."""
    assert HttpCookies(secure=True).read(headers) == found


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
    assert HttpCookies(secure=True).sessions([header], ["acme", "globex"]) == found


def test_a_secret_has_256_bits() -> None:
    """A secret has 32 random octets, and the length and characters that RFC 7636 asks of a verifier."""
    asked: list[int] = []

    def random(length: int) -> bytes:
        asked.append(length)
        return os.urandom(length)

    assert is_secret(new_secret(random))
    assert asked == [32]


@pytest.mark.parametrize("value", ["", "A" * 42, "A" * 44, "A" * 42 + "=", "A" * 42 + "\n", "ä" * 43])
def test_what_is_no_secret(value: str) -> None:
    """Values with another length or other characters are not looked up."""
    assert not is_secret(value)


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
        (part("a", b"1") * (MAX_FORM_FIELDS + 1), {}),
        (part("a", b"1" * MAX_BODY_SIZE * 2), {}),
    ],
    ids=["a file", "not UTF-8", "no file", "twice", "a field and a file", "nothing", "too many", "too large"],
)
def test_a_multipart_form(body: bytes, fields: dict[str, str]) -> None:
    """A file is a field with its text; a field that comes twice is left out."""
    assert _parse_form(MULTIPART, body + END)[0] == fields


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
    assert _parse_form(kind, b"a=1")[0] == fields


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"a=%C3%A4&b=%E4", {"a": "ä", "b": "ä"}),
        (b"\xc3\xa4=1&\xe4%E4=2", {"ä": "1", "ää": "2"}),
        (b"a=%C3%A4&a=%E4", {}),
        (b"a=%&b=%zz+%F0%9F%98%80", {"a": "%", "b": "%zz 😀"}),
    ],
    ids=["in percent signs", "in octets", "twice", "no encoding"],
)
def test_the_encodings_of_a_form(body: bytes, fields: dict[str, str]) -> None:
    """A field that is not UTF-8 is read as ISO 8859-1, and changes no other field."""
    assert _parse_form("application/x-www-form-urlencoded", body)[0] == fields


@settings(deadline=None)
@given(st.binary(max_size=300), st.sampled_from([b"", part("a", b"1"), part("file", b"{}", FILE)]))
def test_any_octets(octets: bytes, before: bytes) -> None:
    assert isinstance(_parse_form(MULTIPART, before + octets)[0], dict)


@pytest.mark.parametrize(
    ("url", "origin", "path", "secure"),
    [
        ("https://x.example", "https://x.example", "", True),
        ("https://X.Example:443", "https://x.example", "", True),
        ("https://x.example:8443/", "https://x.example:8443", "", True),
        ("https://x.example/book/", "https://x.example", "/book", True),
        ("http://localhost:8080", "http://localhost:8080", "", False),
        ("http://127.0.0.1:80", "http://127.0.0.1", "", False),
        ("http://[::1]:8080", "http://[::1]:8080", "", False),
    ],
)
def test_the_parts_of_public_url(url: str, origin: str, path: str, secure: bool) -> None:
    """The origin has the form that browsers send."""
    place = PublicUrl.parse(url)
    assert (place.origin, place.path, place.secure) == (origin, path, secure)


def test_addresses() -> None:
    """The redirect URI begins with the configured text, letter for letter."""
    place = PublicUrl.parse("https://X.example:443/book")
    assert place.redirect_uri == "https://X.example:443/book/oauth/callback"
    assert place.tenant_url("acme") == "https://X.example:443/book/acme/"
    assert place.tenant_path("acme") == "/book/acme/"


@pytest.mark.parametrize(
    ("header", "is_current"),
    [
        ('"a1"', True),
        ('W/"a1"', True),
        ('"b2", W/"a1"', True),
        ("*", True),
        ('"a1b2"', False),
        ('"b2"', False),
        ("", False),
    ],
)
def test_entity_tags_that_a_client_has(header: str, is_current: bool) -> None:
    """The header has a list or a star (RFC 9110 13.1.2); weak and strong tags are compared alike."""
    request = HttpRequest(headers={"if-none-match": header})
    assert [request.has_current(tag) for tag in ('"a1"', 'W/"a1"')] == [is_current] * 2
