# SPDX-License-Identifier: MIT
"""Where browsers find us."""

from __future__ import annotations

import pytest

from ldapgw.web.http import Place


@pytest.mark.parametrize(
    ("url", "origin", "host", "path", "secure"),
    [
        ("https://x.example", "https://x.example", "x.example", "", True),
        ("https://X.Example:443", "https://x.example", "x.example", "", True),
        ("https://x.example:8443/", "https://x.example:8443", "x.example:8443", "", True),
        ("https://x.example/book/", "https://x.example", "x.example", "/book", True),
        ("http://localhost:8080", "http://localhost:8080", "localhost:8080", "", False),
        ("http://127.0.0.1:80", "http://127.0.0.1", "127.0.0.1", "", False),
        ("http://[::1]:8080", "http://[::1]:8080", "[::1]:8080", "", False),
    ],
)
def test_the_parts_of_public_url(url: str, origin: str, host: str, path: str, secure: bool) -> None:
    """The origin is written as browsers write it."""
    place = Place.of(url)
    assert (place.origin, place.host, place.path, place.secure) == (origin, host, path, secure)


def test_addresses() -> None:
    """The redirect URI is the configured text, letter for letter."""
    place = Place.of("https://X.example:443/book")
    assert place.redirect_uri == "https://X.example:443/book/oauth/callback"
    assert place.page("acme") == "https://X.example:443/book/acme/"
    assert place.path_of("acme") == "/book/acme/"
