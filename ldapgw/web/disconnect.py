# SPDX-License-Identifier: MIT
"""Taking a consent back: forgotten here first, so that phones stop at once, then revoked at Google."""

from __future__ import annotations

from sqlalchemy import Connection
from twisted.logger import Logger

from ldapgw.errors import GoogleError, StoreError
from ldapgw.store import accounts
from ldapgw.store.vault import Vault
from ldapgw.web.gate import WebGate

log = Logger()


async def disconnect(gate: WebGate, account_id: int) -> bool:
    """Forget an account's tokens and contacts, and revoke its grant.

    :returns: whether Google has taken note; here all is forgotten in any case.
    """
    token = await gate.store.run(_forget, gate.vault, account_id)
    try:
        await gate.changed()
    finally:
        revoked = await _revoke(gate, token)
    return revoked


def _forget(connection: Connection, vault: Vault, account_id: int) -> str | None:
    """:returns: the refresh token; None where it cannot be read, which must not keep anybody connected."""
    try:
        held = accounts.tokens(connection, vault, account_id)
    except StoreError:
        held = None
    accounts.disconnect(connection, account_id)
    return held.refresh_token if held else None


async def _revoke(gate: WebGate, token: str | None) -> bool:
    if token is None:
        return False
    try:
        await gate.oauth.revoke(token)
    except GoogleError as error:
        log.warn("web: a grant could not be revoked: {code} {detail}", code=error.code, detail=error.detail)
        return False
    return True
