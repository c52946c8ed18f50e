# SPDX-License-Identifier: MIT
"""Our cookies: four, each for this host alone, none readable by a script (RFC 6265)."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

# 256 random bits in base64url.
_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")


class Cookie(StrEnum):
    """What a cookie is for; its name, on https behind ``__Host-``."""

    SESSION = "ldapgw"
    BROWSER = "ldapgw-consent"  # binds a consent to the browser that began it
    NOTE = "ldapgw-note"  # what the next page says of what was just done
    LANGUAGE = "ldapgw-language"  # the one that a person has chosen


@dataclass(frozen=True, slots=True)
class Cookies:
    """Reads and writes them.

    :param secure: off on http, which is for loopback addresses alone: browsers refuse ``__Host-`` there.
    """

    secure: bool

    def set(self, cookie: Cookie, value: str, *, seconds: int | None = None) -> tuple[str, str]:
        """A header that sets a cookie; without `seconds` it lives as long as the browser."""
        age = "" if seconds is None else f"; Max-Age={seconds}"
        secure = "; Secure" if self.secure else ""
        return "Set-Cookie", f"{self._name(cookie)}={value}; Path=/; HttpOnly; SameSite=Lax{age}{secure}"

    def clear(self, cookie: Cookie) -> tuple[str, str]:
        """A header that takes a cookie away."""
        return self.set(cookie, "", seconds=0)

    def read(self, headers: Iterable[str]) -> Mapping[Cookie, str]:
        """Our cookies among those of a request; a name that comes twice counts as not sent."""
        found: dict[str, list[str]] = {}
        for header in headers:
            for pair in header.split(";"):
                name, _, value = pair.strip().partition("=")
                found.setdefault(name, []).append(value)
        ours = {cookie: found.get(self._name(cookie), []) for cookie in Cookie}
        return {cookie: values[0] for cookie, values in ours.items() if len(values) == 1}

    def _name(self, cookie: Cookie) -> str:
        return f"__Host-{cookie}" if self.secure else cookie.value


def new_secret(random: Callable[[int], bytes]) -> str:
    """256 random bits for a cookie, a state, a nonce or a code verifier (RFC 7636 4.1)."""
    return base64.urlsafe_b64encode(random(32)).decode().rstrip("=")


def is_secret(value: str) -> bool:
    """Whether a text has the form of one."""
    return _SECRET.fullmatch(value) is not None
