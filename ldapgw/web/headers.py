# SPDX-License-Identifier: MIT
"""The headers that go with every answer, errors and redirects included (OWASP ASVS 5.0, chapter 3)."""

from __future__ import annotations

# No inline script, no frame, nothing from elsewhere.  Consent begins with a link, so no form needs to go to Google.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)

_ALWAYS = (
    ("Content-Security-Policy", CONTENT_SECURITY_POLICY),
    ("X-Content-Type-Options", "nosniff"),
    # The callback's address holds the code.
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
    # A consent may run in a pop-up, which has to reach the page that opened it.
    ("Cross-Origin-Opener-Policy", "same-origin-allow-popups"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)

# Half a year: long enough to count, short enough to come back from.
_HSTS = ("Strict-Transport-Security", "max-age=15768000")


def security_headers(*, secure: bool) -> tuple[tuple[str, str], ...]:
    """Names and values; an answer of its own kind may replace ``Cache-Control``.

    :param secure: whether browsers come by https; a browser would ignore HSTS on http (RFC 6797 8.1).
    """
    return (*_ALWAYS, _HSTS) if secure else _ALWAYS
