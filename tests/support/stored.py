# SPDX-License-Identifier: MIT
"""What tests store: a grant, a phone, and the time at which they do it."""

from __future__ import annotations

from typing import Any

from ldapgw.store.accounts import NewGrant
from ldapgw.store.phones import NumberMode, PhoneLogin
from tests.support.sync_stage import person

LABEL = "contactGroups/1"


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


def given(uid: str, **more: Any) -> dict[str, Any]:
    member = {"contactGroupMembership": {"contactGroupResourceName": LABEL}}
    starred = {"contactGroupMembership": {"contactGroupResourceName": "contactGroups/starred"}}
    metadata = {"sources": [{"type": "CONTACT", "id": f"s{uid}", "updateTime": "2026-01-31T09:30:00Z"}]}
    known = {"resourceName": f"people/{uid}", "metadata": metadata, "memberships": [member, starred]}
    return {**person("Ada Riese", "030 23125 100"), **known, **more}
