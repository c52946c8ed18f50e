# SPDX-License-Identifier: MIT
"""Reads the JSON file of an OAuth client, as downloaded from the Google console."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from ldapgw.errors import UserError


class UnfitClientFile(UserError):
    """Raised when octets are not the file of a Web application client.

    :ivar is_desktop: whether the file is that of a Desktop client, the usual mistake.
    """

    def __init__(self, problem: str, *, is_desktop: bool = False) -> None:
        super().__init__(problem)
        self.is_desktop = is_desktop


@dataclass(frozen=True, slots=True)
class ClientFile:
    """The content of the file.

    :ivar redirect_uris: the redirect URIs registered at the time of the download.
    """

    client_id: str
    client_secret: str = field(repr=False)
    redirect_uris: tuple[str, ...] = ()


def read_client_file(octets: bytes) -> ClientFile:
    """Decode the file.

    :raises UnfitClientFile: if `octets` are anything else.
    """
    try:
        content = json.loads(octets)
    except (ValueError, RecursionError):
        content = None
    if isinstance(content, dict) and "installed" in content:
        raise UnfitClientFile(
            "is for a Desktop client; create one of the type Web application in the Google console", is_desktop=True
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
    return ClientFile(web["client_id"], web["client_secret"], redirect_uris)
