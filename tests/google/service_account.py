# SPDX-License-Identifier: MIT
"""The file is a service account's key file, as the Google console offers for download."""

from __future__ import annotations

import json
from functools import cache

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

EMAIL = "phonebook@acme-phones.iam.gserviceaccount.com"


@cache
def private_key(bits: int = 2048) -> str:
    """Return a key in PEM form, the same at each call."""
    key = generate_private_key(65537, bits)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def key_file(**changes: object) -> bytes:
    """Return the file with changed values. None removes a value."""
    content = {
        "type": "service_account",
        "project_id": "acme-phones",
        "private_key_id": "0123456789abcdef",
        "private_key": private_key(),
        "client_email": EMAIL,
        "client_id": "100000000000000000009",
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": "http://169.254.169.254/token",
        "universe_domain": "googleapis.com",
        **changes,
    }
    return json.dumps({name: value for name, value in content.items() if value is not None}).encode()
