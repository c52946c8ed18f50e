# SPDX-License-Identifier: MIT
"""Our cookies: four, each for this host alone, none readable by a script (RFC 6265).

A session has one for each tenant, so that somebody can be signed in to two of them.  They differ by name: ``__Host-``
allows no path but ``/``.
"""

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

    SESSION = "ldapgw"  # and the tenant's name behind a dot
    BROWSER = "ldapgw-consent"  # binds a consent to the browser that began it
    NOTE = "ldapgw-note"  # what the next page says of what was just done
    LANGUAGE = "ldapgw-language"  # the one that a person has chosen


@dataclass(frozen=True, slots=True)
class Cookies:
    """Reads and writes them.

    :param secure: off on http, which is for loopback addresses alone: browsers refuse ``__Host-`` there.
    """

    secure: bool

    def set(self, cookie: Cookie, value: str, *, tenant: str = "", seconds: int | None = None) -> tuple[str, str]:
        """A header that sets a cookie; without `seconds` it lives as long as the browser.

        :param tenant: whose session it is; for `Cookie.SESSION` alone.
        """
        age = "" if seconds is None else f"; Max-Age={seconds}"
        secure = "; Secure" if self.secure else ""
        return "Set-Cookie", f"{self._name(cookie, tenant)}={value}; Path=/; HttpOnly; SameSite=Lax{age}{secure}"

    def clear(self, cookie: Cookie, *, tenant: str = "") -> tuple[str, str]:
        """A header that takes a cookie away."""
        return self.set(cookie, "", tenant=tenant, seconds=0)

    def read(self, headers: Iterable[str]) -> Mapping[Cookie, str]:
        """Our cookies among those of a request, but for sessions."""
        found = _sent(headers)
        ours = {cookie: self._name(cookie) for cookie in Cookie if cookie is not Cookie.SESSION}
        return {cookie: found[name] for cookie, name in ours.items() if name in found}

    def sessions(self, headers: Iterable[str], tenants: Iterable[str]) -> Mapping[str, str]:
        """The sessions among the cookies of a request, by the names of tenants."""
        found = _sent(headers)
        ours = {tenant: self._name(Cookie.SESSION, tenant) for tenant in tenants}
        return {tenant: found[name] for tenant, name in ours.items() if name in found}

    def _name(self, cookie: Cookie, tenant: str = "") -> str:
        name = f"{cookie}.{tenant}" if tenant else cookie.value
        return f"__Host-{name}" if self.secure else name


def _sent(headers: Iterable[str]) -> Mapping[str, str]:
    """All cookies of a request; a name that comes twice may be planted, and counts as not sent."""
    found: dict[str, list[str]] = {}
    for header in headers:
        for pair in header.split(";"):
            name, _, value = pair.strip().partition("=")
            found.setdefault(name, []).append(value)
    return {name: values[0] for name, values in found.items() if len(values) == 1}


def new_secret(random: Callable[[int], bytes]) -> str:
    """256 random bits for a cookie, a state, a nonce or a code verifier (RFC 7636 4.1)."""
    return base64.urlsafe_b64encode(random(32)).decode().rstrip("=")


def is_secret(value: str) -> bool:
    """Whether a text has the form of one."""
    return _SECRET.fullmatch(value) is not None
