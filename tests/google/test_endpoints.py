# SPDX-License-Identifier: MIT
"""The OAuth client of a tenant, and what Google says of its redirect URI."""

from __future__ import annotations

import pytest

from ldapgw.google.endpoints import Client, is_redirect_uri_refused


def test_secret_hidden():
    """The repr shows the id alone."""
    assert repr(Client("id", "GOCSPX-secret")) == "Client(client_id='id')"


HOSTS = {
    "phonebook.acme.example": False,
    "localhost": False,
    "127.0.0.1": False,
    "127.1.2.3": False,
    "[::1]": False,
    "192.168.1.10": True,
    "8.8.8.8": True,
    "[fd00::1]": True,
    "pbx": True,
    "phonebook.local": True,
    "Phonebook.LAN": True,
    "phonebook.lan.": True,
    "phonebook.home": True,
    "phonebook.internal": True,
    "phonebook.corp": True,
    "phonebook.intern": True,
    "phonebook.test": True,
    "phonebook.invalid": True,
    "local.acme.example": False,
}


@pytest.mark.parametrize(("host", "refused"), HOSTS.items(), ids=list(HOSTS))
def test_redirect_uris_that_google_refuses(host: str, refused: bool) -> None:
    """Addresses other than loopback, bare names, and names that end in no public suffix; whatever the port is."""
    for port in ("", ":8443"):
        assert is_redirect_uri_refused(f"https://{host}{port}/oauth/callback") is refused
