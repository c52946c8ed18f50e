# SPDX-License-Identifier: MIT
"""Page tokens and sync tokens: signed positions in a list, so that the sandbox need not store them.

A client cannot forge a token.  A token contains a fingerprint of the account, the method and all parameters of the call
that returned the token, because Google accepts a token only for calls with the same parameters.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import astuple, dataclass

_MAC_LENGTH = 12


@dataclass(frozen=True, slots=True)
class ListToken:
    """A position in a list.

    :ivar kind: ``page`` or ``sync``.
    :ivar call: fingerprint of account, method and parameters.
    :ivar generation: the account's generation of sync tokens; tokens of earlier generations have expired.
    :ivar full_at: the beginning of the full sync from which the token descends.
    :ivar issued_at: the time at which the token was issued.
    :ivar base: the revision at the beginning of this sync, after which the next sync starts.
    :ivar position: the revision of the last record returned.
    :ivar incremental: whether the list contains deleted records and no totals.
    """

    kind: str
    call: str
    generation: int
    full_at: float
    issued_at: float
    base: int
    position: int
    incremental: bool

    def seal(self, key: bytes) -> str:
        """Return the token as text, signed with the key."""
        content = json.dumps(astuple(self), separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(_mac(key, content) + content).decode()


def unseal(token: str, key: bytes) -> ListToken | None:
    """Return the content of a token, or None if the signature does not match."""
    try:
        octets = base64.urlsafe_b64decode(token.encode())
    except ValueError:
        return None
    mac, content = octets[:_MAC_LENGTH], octets[_MAC_LENGTH:]
    if not hmac.compare_digest(mac, _mac(key, content)):
        return None
    return ListToken(*json.loads(content))


def _mac(key: bytes, content: bytes) -> bytes:
    return hmac.digest(key, content, hashlib.sha256)[:_MAC_LENGTH]
