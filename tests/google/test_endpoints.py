# SPDX-License-Identifier: MIT
"""The tests cover the client's file from the Google console, and the redirect URIs that Google refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ldapgw.google.endpoints import Client, UnfitClientFile, is_redirect_uri_refused, read_client_file

WEB = {"client_id": "1-a.apps.example", "client_secret": "hush", "redirect_uris": ["https://phonebook.example.com/x"]}


@pytest.mark.parametrize(
    ("web", "uris"),
    [
        (WEB, ("https://phonebook.example.com/x",)),
        (WEB | {"redirect_uris": None}, ()),
        (WEB | {"redirect_uris": [1, "a"], "project_id": "p"}, ("a",)),
    ],
    ids=["whole", "no redirect URIs", "some that are none"],
)
def test_a_web_application_client(web: dict[str, Any], uris: tuple[str, ...]) -> None:
    """The file gives id, secret and redirect URIs, and no repr shows the secret."""
    found = read_client_file(json.dumps({"web": web}).encode())
    assert found == (Client("1-a.apps.example", "hush"), uris)
    assert "hush" not in repr(found)


@pytest.mark.parametrize(
    ("octets", "is_desktop"),
    [
        (json.dumps({"installed": WEB}).encode(), True),
        (b'{"type": "service_account", "private_key": "hush"}', False),
        (json.dumps({"web": WEB | {"client_secret": ""}}).encode(), False),
        (json.dumps({"web": WEB | {"client_id": 1}}).encode(), False),
        (b'{"web": []}', False),
        (b"[]", False),
        (b"", False),
        (b"\xff", False),
        (b"[" * 100_000, False),
    ],
    ids=["desktop", "service account", "no secret", "a number", "a list", "another list", "empty", "binary", "deep"],
)
def test_any_other_file(octets: bytes, is_desktop: bool) -> None:
    """The error shows nothing of the file, but recognizes a Desktop client."""
    with pytest.raises(UnfitClientFile) as caught:
        read_client_file(octets)
    assert caught.value.is_desktop is is_desktop
    assert "hush" not in str(caught.value)


HOSTS = {
    False: ["phonebook.acme.example", "localhost", "127.0.0.1", "127.1.2.3", "[::1]", "local.acme.example"],
    True: [
        *("192.168.1.10", "8.8.8.8", "[fd00::1]", "pbx", "phonebook.local", "Phonebook.LAN", "phonebook.lan."),
        *(f"phonebook.{end}" for end in ("home", "internal", "corp", "intern", "test", "invalid")),
    ],
}


@pytest.mark.parametrize(("host", "refused"), [(host, refused) for refused in HOSTS for host in HOSTS[refused]])
def test_redirect_uris_that_google_refuses(host: str, refused: bool) -> None:
    """Google refuses addresses other than loopback, bare names, and unknown public suffixes, on any port."""
    for port in ("", ":8443"):
        assert is_redirect_uri_refused(f"https://{host}{port}/oauth/callback") is refused
