# SPDX-License-Identifier: MIT
"""Taking a consent back: forgotten here first, so that phones stop at once, then revoked at Google."""

from __future__ import annotations

from twisted.logger import Logger

from ldapgw.errors import GoogleError
from ldapgw.store import revocations
from ldapgw.web.gate import WebGate

log = Logger()


async def disconnect(gate: WebGate, account_id: int) -> bool:
    """Forget an account's tokens and contacts, and revoke its grant.

    :returns: whether Google has taken note, or needs not; else it is told later.  Here all is forgotten in any case.
    """
    left = await gate.store.run(revocations.leave, account_id, gate.clock.seconds())
    try:
        await gate.changed()
    finally:
        revoked = left is not None and await _revoke(gate, left)
    return revoked


async def _revoke(gate: WebGate, revocation_id: int) -> bool:
    to_come = await gate.store.run(revocations.read, gate.vault, revocation_id)
    if to_come is None:
        return False
    tenant = gate.tenants.get(to_come.tenant)
    sharers = gate.sharers(tenant.client) if tenant and tenant.client else []
    if not await gate.store.run(revocations.is_shared, sharers, to_come.sub):
        try:
            await gate.oauth.revoke(to_come.token)
        except GoogleError as error:
            log.warn("web: a grant could not be revoked yet: {code} {detail}", code=error.code, detail=error.detail)
            return False
    await gate.store.run(revocations.done, revocation_id)
    return True
