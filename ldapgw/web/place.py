# SPDX-License-Identifier: MIT
"""Where browsers find the pages: all addresses come from ``public_url``, never from what a request says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

_DEFAULT_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Place:
    """The parts of ``public_url``.

    :ivar url: without a slash at the end.
    :ivar origin: scheme, host and port as browsers write them in ``Origin`` (RFC 6454 6.1).
    :ivar host: for the header ``Host``.
    :ivar path: what goes before every path of ours; empty unless a proxy serves us below a path and takes it off.
    """

    url: str
    origin: str
    host: str
    path: str
    secure: bool

    @classmethod
    def of(cls, public_url: str) -> Self:
        """:param public_url: https, or http on a loopback address."""
        parts = urlsplit(public_url.rstrip("/"))
        host = parts.hostname or ""
        host = f"[{host}]" if ":" in host else host
        if parts.port is not None and parts.port != _DEFAULT_PORTS.get(parts.scheme):
            host += f":{parts.port}"
        return cls(parts.geturl(), f"{parts.scheme}://{host}", host, parts.path, parts.scheme == "https")

    @property
    def redirect_uri(self) -> str:
        """Where Google sends browsers back to; registered there letter for letter."""
        return f"{self.url}/oauth/callback"

    def page(self, tenant: str) -> str:
        """The address of a tenant's page, for messages."""
        return f"{self.url}/{tenant}/"

    def path_of(self, tenant: str) -> str:
        """The path of a tenant's page, for links and redirects."""
        return f"{self.path}/{tenant}/"
