# SPDX-License-Identifier: MIT
"""Google's addresses, the proxy, a tenant's OAuth client and redirect URI, and the kinds of data that calls are for.

The client can come from the JSON file that the Google console offers (`read_client_file`).
"""

from __future__ import annotations

import ipaddress
import json
import re
from base64 import b64encode
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self
from urllib.parse import quote, unquote, urlsplit

from ldapgw.errors import UserError

# The last labels of host names that companies use in their own networks.  These labels are no public suffixes (RFC
# 2606, RFC 6762, RFC 8375).
_PRIVATE_DOMAINS = frozenset(("corp", "home", "intern", "internal", "invalid", "lan", "local", "localdomain", "test"))


_PROXY_PORT = 3128
_PROXY_FORM = "expected http://proxy:3128"

# The addresses of photos on Google's image hosts.
_PHOTO_URL = re.compile(r"https://[a-z0-9-]+(?:\.[a-z0-9-]+)*\.(?:googleusercontent|ggpht)\.com/[!-~]+")


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The URLs of Google or of the sandbox, with https, or with http on a loopback address.

    :ivar people_api: the URL of the People API without a path, such as ``https://people.googleapis.com``.
    :ivar admin_api: the URL of the Directory API of the Admin SDK, without a path.
    :ivar issuer: the issuer of an ``id_token``, such as ``https://accounts.google.com``.
    """

    authorization_endpoint: str
    token_endpoint: str
    revocation_endpoint: str
    people_api: str
    issuer: str
    admin_api: str = "https://admin.googleapis.com"

    def has_photo(self, url: str) -> bool:
        """Return whether photos may be fetched from a URL: its host must be Google's image host or the sandbox."""
        if self.people_api.startswith("http://"):
            return url.startswith(f"{self.people_api}/")
        return _PHOTO_URL.fullmatch(url) is not None


@dataclass(frozen=True, slots=True)
class Client:
    """A tenant's OAuth client, as registered in its Google project; its ``repr`` omits the secret."""

    client_id: str
    client_secret: str = field(repr=False)

    @property
    def project(self) -> str:
        """Return the number of the Google project, which is the beginning of the client ID."""
        return self.client_id.partition("-")[0]


class UnfitClientFile(UserError):
    """Raised when octets are not the file of a Web application client.

    :ivar is_desktop: whether the file belongs to a Desktop client, which is the usual mistake.
    """

    def __init__(self, problem: str, *, is_desktop: bool = False) -> None:
        super().__init__(problem)
        self.is_desktop = is_desktop


def read_client_file(octets: bytes) -> tuple[Client, tuple[str, ...]]:
    """Decode the file of a client.

    :returns: the client, and the redirect URIs that were registered at the time of the download.
    :raises UnfitClientFile: if `octets` are not the file of a Web application client.
    """
    try:
        content = json.loads(octets)
    except (ValueError, RecursionError):
        content = None
    if isinstance(content, dict) and "installed" in content:
        raise UnfitClientFile(
            "is for a Desktop client; create a client of the type Web application in the Google console",
            is_desktop=True,
        )
    web = content.get("web") if isinstance(content, dict) else None
    if not isinstance(web, dict) or not all(
        isinstance(web.get(key), str) and web[key] for key in ("client_id", "client_secret")
    ):
        raise UnfitClientFile(
            "expected the JSON file of a Web application client, as downloaded from the Google console"
        )
    uris = web.get("redirect_uris")
    redirect_uris = tuple(uri for uri in uris if isinstance(uri, str)) if isinstance(uris, list) else ()
    return Client(web["client_id"], web["client_secret"]), redirect_uris


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy that carries connections to Google.

    :ivar authorization: the value of the header ``Proxy-Authorization``, or empty to send no such header.
    """

    host: str
    port: int
    authorization: str = field(default="", repr=False)

    @classmethod
    def parse(cls, url: str) -> Self:
        """Parse a URL such as ``http://user:password@proxy:3128``.

        :raises ValueError: if the URL has another form; the message contains no part of the URL.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            # Python's message has a part of the URL, which can be the password if the host is missing.
            raise ValueError(_PROXY_FORM) from None
        has_path = parts.path not in ("", "/") or parts.query or parts.fragment
        if (
            parts.scheme != "http"
            or not parts.hostname
            or has_path
            or not url.isascii()
            or not url.isprintable()
            or " " in url
        ):
            raise ValueError(_PROXY_FORM)
        credentials = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        authorization = f"Basic {b64encode(credentials.encode()).decode()}" if parts.username else ""
        return cls(parts.hostname, port or _PROXY_PORT, authorization)


def contact_page(uid: str, account: str) -> str:
    """Return the address of a contact's page in Google Contacts, or empty if the person is not the account's contact.

    :param uid: see `ldapgw.contact.Contact.uid`.
    :param account: the e-mail address of the account, because a browser may be signed in to several accounts.
    """
    if not uid.startswith("c"):
        return ""
    return f"https://contacts.google.com/person/{quote(uid)}?authuser={quote(account)}"


def is_redirect_uri_refused(redirect_uri: str) -> bool:
    """Return whether Google refuses to register a redirect URI because of its host.

    Google allows loopback addresses, ``localhost``, and names that end in a public suffix
    (https://developers.google.com/identity/protocols/oauth2/web-server, "URI validation").
    """
    host = (urlsplit(redirect_uri).hostname or "").rstrip(".")
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        pass
    name, _, last = host.rpartition(".")
    return host != "localhost" and (not name or last in _PRIVATE_DOMAINS)


class CallSource(StrEnum):
    """The kind of data that a call to Google reads or changes; the gateway counts its calls by this kind.

    The users and the groups belong to a Workspace.
    """

    CONTACTS = "contacts"
    OTHER_CONTACTS = "other_contacts"
    DIRECTORY = "directory"
    LABELS = "labels"
    USERS = "users"
    GROUPS = "groups"
    PHOTOS = "photos"
    TOKENS = "tokens"
    REVOCATION = "revocation"
    KEYS = "keys"
