# SPDX-License-Identifier: MIT
"""id_tokens as Google makes them, but for the signature, which nobody reads."""

from __future__ import annotations

import base64
import json

from .samples import SAMPLES


def encode(claims: object) -> str:
    """A JWT of these claims."""
    return ".".join(map(_part, ({"alg": "RS256"}, claims, "signature")))


def id_token(**claims: object) -> str:
    """That of a Workspace user, with some claims changed; None takes one out."""
    changed = {**SAMPLES["id_token_claims_workspace"], **claims}
    return encode({name: value for name, value in changed.items() if value is not None})


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
