# SPDX-License-Identifier: MIT
"""What comes in and what goes out, as values: a `Call`, a `Reply`, and the `Refusal` that carries a reply."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ldapgw.errors import LdapgwError

Parameters = Mapping[str, tuple[str, ...]]
Headers = tuple[tuple[str, str], ...]

# As the People API sends them.
API_HEADERS: Headers = (
    ("Content-Type", "application/json; charset=UTF-8"),
    ("Vary", "Origin, X-Origin, Referer"),
    ("Cache-Control", "private"),
    ("Server", "ESF"),
)
# As the token and revocation endpoints send them.
TOKEN_HEADERS: Headers = (
    ("Content-Type", "application/json; charset=utf-8"),
    ("Cache-Control", "no-cache, no-store, max-age=0, must-revalidate"),
    ("Pragma", "no-cache"),
)


@dataclass(frozen=True, slots=True, repr=False)
class ApiRequest:
    """A request to one of Google's endpoints.

    :ivar query: the parameters of the URL, each with all its values.
    :ivar form: those of a form-encoded body.
    :ivar authorization: the header of that name, empty if there is none.
    """

    path: str
    query: Parameters = field(default_factory=dict)
    form: Parameters = field(default_factory=dict)
    authorization: str = ""

    @property
    def bearer(self) -> str:
        """The access token (RFC 6750 2.1); empty if there is none."""
        scheme, _, token = self.authorization.partition(" ")
        return token.strip() if scheme.lower() == "bearer" else ""


@dataclass(frozen=True, slots=True, repr=False)
class ApiReply:
    """An answer: status, headers, body."""

    status: int
    headers: Headers
    body: bytes

    @classmethod
    def of(cls, status: int, content: Any, headers: Headers) -> ApiReply:
        """JSON in UTF-8, or text as it stands."""
        text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False) + "\n"
        return cls(status, headers, text.encode())


class ApiRefusal(LdapgwError):
    """Raised when a call ends in an error of Google's."""

    def __init__(self, reply: ApiReply) -> None:
        super().__init__(f"HTTP {reply.status}")
        self.reply = reply
