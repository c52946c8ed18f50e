# SPDX-License-Identifier: MIT
"""Decodes and checks an ``id_token``, which says which Google user has consented.

The token comes directly from the token endpoint over TLS, so its claims are checked but its signature is not
(OpenID Connect Core 1.0, 3.1.3.7, step 6), unless a proxy inspects that connection (`ldapgw.google.keys`).  The key of
an account is ``sub`` alone, because an address can pass to another user.
"""

from __future__ import annotations

import base64
import hmac
import re
from dataclasses import dataclass

import msgspec

from ldapgw.errors import BadResponse

SKEW = 60.0  # seconds that the two clocks may differ
LARGEST = 16 * 1024  # octets; tokens of Google have 1.2 KiB

_GOOGLE = ("https://accounts.google.com", "accounts.google.com")
_SUB = re.compile(r"[\x21-\x7e]{1,255}")
_WORD = re.compile(r"[^\s\x00-\x1f\x7f]{0,320}")


@dataclass(frozen=True, slots=True)
class Identity:
    """A Google user.

    :ivar sub: never changes and is never assigned to another user; case-sensitive.
    :ivar email: empty if the scope was not requested; may pass to another user some day.
    :ivar hd: the Workspace domain; empty for a consumer account, whatever the domain of its address.
    """

    sub: str
    email: str = ""
    email_verified: bool = False
    hd: str = ""


class _Claims(msgspec.Struct):
    iss: str
    aud: str | list[str]
    exp: float
    sub: str
    azp: str = ""
    nonce: str = ""
    email: str = ""
    email_verified: bool = False
    hd: str = ""


def read_identity(id_token: str, *, issuer: str, client_id: str, nonce: str | None, now: float) -> Identity:
    """Decode and check an ``id_token`` (OpenID Connect Core 1.0, 2 and 3.1.3.7).

    :param nonce: the nonce of the authorization request; None if there was no such request, as on a refresh.
    :param now: seconds since the epoch.
    :raises BadResponse: if the token is unreadable, for another client, of another flow, or expired.
    """
    claims = _claims(id_token)
    if claims.iss not in (_GOOGLE if issuer in _GOOGLE else (issuer,)):
        raise BadResponse("id_token of another issuer")
    if client_id not in ([claims.aud] if isinstance(claims.aud, str) else claims.aud):
        raise BadResponse("id_token for another client")
    # A token for several audiences must name the one that requested it.
    if claims.azp != client_id and (claims.azp or not isinstance(claims.aud, str)):
        raise BadResponse("id_token for another party")
    if claims.exp + SKEW <= now:
        raise BadResponse("id_token expired: check the machine's clock")
    if nonce is not None and not hmac.compare_digest(claims.nonce.encode(), nonce.encode()):
        raise BadResponse("id_token of another flow")
    if not (_SUB.fullmatch(claims.sub) and _WORD.fullmatch(claims.email) and _WORD.fullmatch(claims.hd)):
        raise BadResponse("id_token with an impossible user")
    return Identity(claims.sub, claims.email, claims.email_verified, claims.hd)


def _claims(id_token: str) -> _Claims:
    """Decode the payload, the second of the three parts of a JWS (RFC 7515 3.1)."""
    parts = id_token.split(".") if len(id_token) <= LARGEST else ()
    if len(parts) != 3:
        raise BadResponse("id_token is not a JWT")
    try:
        octets = base64.b64decode(parts[1] + "=" * (-len(parts[1]) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(octets, type=_Claims)
    except (ValueError, RecursionError):
        raise BadResponse("id_token cannot be read") from None
