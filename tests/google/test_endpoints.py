# SPDX-License-Identifier: MIT
"""Google on a tenant's redirect URI."""

from __future__ import annotations

import pytest

from ldapgw.google.endpoints import is_redirect_uri_refused

HOSTS = {
    False: ["phonebook.acme.example", "localhost", "127.0.0.1", "127.1.2.3", "[::1]", "local.acme.example"],
    True: [
        *("192.168.1.10", "8.8.8.8", "[fd00::1]", "pbx", "phonebook.local", "Phonebook.LAN", "phonebook.lan."),
        *(f"phonebook.{end}" for end in ("home", "internal", "corp", "intern", "test", "invalid")),
    ],
}


@pytest.mark.parametrize(("host", "refused"), [(host, refused) for refused in HOSTS for host in HOSTS[refused]])
def test_redirect_uris_that_google_refuses(host: str, refused: bool) -> None:
    """Addresses other than loopback, bare names, and names that end in no public suffix; whatever the port is."""
    for port in ("", ":8443"):
        assert is_redirect_uri_refused(f"https://{host}{port}/oauth/callback") is refused
