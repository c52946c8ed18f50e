# SPDX-License-Identifier: MIT
"""The values of a call: `ApiRequest`, `ApiReply`, and `ApiRefusal`, the exception with an error reply."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ldapgw.errors import LdapgwError

Parameters = Mapping[str, tuple[str, ...]]
Headers = tuple[tuple[str, str], ...]

# The headers of the People API.
API_HEADERS: Headers = (
    ("Content-Type", "application/json; charset=UTF-8"),
    ("Vary", "Origin, X-Origin, Referer"),
    ("Cache-Control", "private"),
    ("Server", "ESF"),
)
# The headers of the token and revocation endpoints.
TOKEN_HEADERS: Headers = (
    ("Content-Type", "application/json; charset=utf-8"),
    ("Cache-Control", "no-cache, no-store, max-age=0, must-revalidate"),
    ("Pragma", "no-cache"),
)
# The headers of the published keys.
KEY_HEADERS: Headers = (
    ("Content-Type", "application/json; charset=UTF-8"),
    ("Cache-Control", "public, max-age=21600, must-revalidate, no-transform"),
)


@dataclass(frozen=True, slots=True, repr=False)
class ApiRequest:
    """A request to one of Google's endpoints.

    :ivar query: the parameters of the URL, each with all its values.
    :ivar form: the parameters of a form-encoded body.
    :ivar authorization: the value of the header ``Authorization``, or empty if the header is missing.
    """

    path: str
    query: Parameters = field(default_factory=dict)
    form: Parameters = field(default_factory=dict)
    authorization: str = ""

    @property
    def bearer(self) -> str:
        """Return the bearer token (RFC 6750 2.1), or "" if there is none."""
        scheme, _, token = self.authorization.partition(" ")
        return token.strip() if scheme.lower() == "bearer" else ""


@dataclass(frozen=True, slots=True, repr=False)
class ApiReply:
    """A reply of one of Google's endpoints."""

    status: int
    headers: Headers
    body: bytes

    @classmethod
    def of(cls, status: int, content: Any, headers: Headers, *, indent: int | None = None) -> ApiReply:
        """Make a reply with a text as the body, or with any other value as JSON.

        :param indent: see `json.dumps`.
        """
        text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, indent=indent) + "\n"
        # A lone surrogate cannot be encoded as UTF-8, so it becomes an escape sequence of JSON.
        return cls(status, headers, text.encode("utf-8", "backslashreplace"))


class ApiRefusal(LdapgwError):
    """Raised when a call ends with an error reply of Google."""

    def __init__(self, reply: ApiReply) -> None:
        super().__init__(f"HTTP {reply.status}")
        self.reply = reply
