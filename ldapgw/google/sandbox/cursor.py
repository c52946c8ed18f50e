# SPDX-License-Identifier: MIT
"""Page tokens and sync tokens: where a list goes on, sealed, so that the sandbox remembers none of them.

A client cannot read or make one.  It names the account, the method and all parameters of the call that gave it,
because Google takes it for no other.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import astuple, dataclass

_SEAL = 12


@dataclass(frozen=True, slots=True)
class ListToken:
    """A place in a list.

    :ivar kind: ``page`` or ``sync``.
    :ivar call: fingerprint of account, method and parameters.
    :ivar generation: of the account's sync tokens; an earlier one is expired.
    :ivar full_at: when the full sync began that this goes back to.
    :ivar issued_at: when this token was given.
    :ivar base: the revision at which this sync began; the next one begins there.
    :ivar position: the revision of the last record given.
    :ivar incremental: deleted records are told, totals are not.
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
        """The token."""
        content = json.dumps(astuple(self), separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(_mac(key, content) + content).decode()


def unseal(token: str, key: bytes) -> ListToken | None:
    """What a token says; None if it is not one of ours."""
    try:
        octets = base64.urlsafe_b64decode(token.encode())
    except ValueError:
        return None
    seal, content = octets[:_SEAL], octets[_SEAL:]
    if not hmac.compare_digest(seal, _mac(key, content)):
        return None
    return ListToken(*json.loads(content))


def _mac(key: bytes, content: bytes) -> bytes:
    return hmac.digest(key, content, hashlib.sha256)[:_SEAL]
