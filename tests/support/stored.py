# SPDX-License-Identifier: MIT
"""What tests store: a grant, a phone, and the time at which they do it."""

from __future__ import annotations

from ldapgw.store.accounts import NewGrant
from ldapgw.store.phones import NumberMode, PhoneLogin

NOW = 1_800_000_000.0


GRANT = NewGrant(
    sub="sub-1",
    address="Alice@acme.example",
    scopes=frozenset({"openid", "email"}),
    access_token="access-1",
    access_expires_at=NOW + 3600,
    refresh_token="refresh-1",
    refresh_expires_at=None,
)


DESK = PhoneLogin("desk1", "acme", None, NumberMode.VALUES, "sha256$00$00", NOW)
