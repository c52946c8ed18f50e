# SPDX-License-Identifier: MIT
"""The gateways on one PostgreSQL database: which of them run, which one syncs a tenant, what they tell each other.

Each gateway has a row with a heartbeat, and each tenant has a lease, which one gateway at a time holds for
`LEASE_SECONDS`.  All times are those of the database server, so that the clocks of gateways do not matter.  A lease has
a fence, a number that grows whenever the lease passes to another gateway: `check_lease` refuses the transaction of a
gateway that does not know yet that its lease is over.

What a gateway tells the others is a row with a number that it alone counts, so that no reader misses one, in whichever
order transactions end (`exchange_news`).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Float,
    and_,
    cast,
    delete,
    extract,
    func,
    inspect,
    literal,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from ldapgw.errors import LeaseLost
from ldapgw.store import sync_state
from ldapgw.store.tables import change, gateway, gateway_news, schema_version, sync_lease

# A gateway without a heartbeat for so long has died, and another one takes over its tenants.
LEASE_SECONDS: Final = 15.0
# A lease that was passed on is free after this time, in which the former holder ends its calls to Google.
HANDOVER_SECONDS: Final = 2.0
# Rows of gateways that died are shown for a day.
FORGET_SECONDS: Final = 86_400.0
# News are read within a second or two; who is silent for longer misses some.
NEWS_SECONDS: Final = 15.0

# The last revision of the database whose gateways do not tell which one they know.
_LAST_WITHOUT_REVISION = "0028"

_NOW = cast(extract("epoch", func.clock_timestamp()), Float)
_IS_ALIVE = gateway.c.seen_at > _NOW - LEASE_SECONDS


@dataclass(frozen=True, slots=True)
class GatewayInfo:
    """What a gateway tells of itself with each heartbeat.

    :ivar id: another one for each start.
    :ivar name: of its machine, with a port.
    :ivar syncs: whether it may sync tenants.
    :ivar serves: whether it serves phones.
    :ivar web: whether it serves the page.
    :ivar keys: fingerprints of the keys in its key file; the first one seals.
    :ivar position: up to which change of the database it serves.
    :ivar revision: of the database, the newest one that its version knows; empty: an old version, which does not tell.
    """

    id: str
    name: str
    version: str
    syncs: bool = True
    serves: bool = True
    web: bool = True
    keys: tuple[str, ...] = ()
    position: int = 0
    accounts: int = 0
    contacts: int = 0
    revision: str = ""


@dataclass(frozen=True, slots=True)
class KnownGateway:
    """A gateway that has had a heartbeat within a day.

    :ivar started_at: in seconds since the epoch, by the clock of the database server.
    :ivar seen_at: its last heartbeat, by the same clock.
    :ivar silent: seconds since its last heartbeat.
    :ivar behind: seconds since the oldest change that it does not serve yet; 0: it serves all.
    :ivar tenants: the tenants that it syncs.
    """

    info: GatewayInfo
    started_at: float
    seen_at: float
    silent: float
    behind: float
    tenants: tuple[str, ...]

    @property
    def is_alive(self) -> bool:
        return self.silent < LEASE_SECONDS


@dataclass(frozen=True, slots=True)
class Leases:
    """The leases after a heartbeat.

    :ivar fences: the fences of the tenants whose leases the gateway holds.
    :ivar holders: the ids of the gateways that hold the leases of all tenants.
    :ivar others: the ids of the other gateways that live.
    :ivar common_keys: see `read_common_keys`.
    :ivar is_outdated: whether the gateway's version cannot use the database any more, so that the gateway may not sync.
    """

    fences: Mapping[str, int] = field(default_factory=dict)
    holders: Mapping[str, str] = field(default_factory=dict)
    others: frozenset[str] = frozenset()
    common_keys: frozenset[str] | None = None
    is_outdated: bool = False


@dataclass(frozen=True, slots=True)
class StoredNews:
    """What another gateway has told.

    :ivar number: counts the news of that gateway.
    """

    gateway: str
    number: int
    body: str = field(repr=False)


def beat(connection: Connection, info: GatewayInfo, tenants: Collection[str], *, may_pass_on: bool = False) -> Leases:
    """Record a heartbeat; renew the gateway's leases, and take over those that are over.

    A gateway takes no more tenants than its share, except those that nobody else has taken for another
    `LEASE_SECONDS`.  Syncs that a former holder had begun count as interrupted.  A gateway that was silent while the
    database was upgraded to what its version cannot use gets no lease.

    :param tenants: the tenants of the gateway's configuration.
    :param may_pass_on: whether to let go of one lease if the gateway has more than its share; another gateway can
        take it over after `HANDOVER_SECONDS`.
    """
    _write_info(connection, info)
    # After the write, which an upgrade keeps waiting.
    is_outdated = _is_outdated(connection, info)
    if is_outdated:
        info = replace(info, syncs=False)
        _write_info(connection, info)
    others, keys = _read_others(connection, info.id), read_common_keys(connection)
    if not (info.syncs and tenants):
        return Leases(holders=_read_holders(connection), others=others, common_keys=keys, is_outdated=is_outdated)
    _add_leases(connection, tenants)
    held = _renew(connection, info.id, tenants)
    share = math.ceil(len(tenants) / _count_syncing(connection))
    if may_pass_on and len(held) > share:
        passed_on = max(held)
        del held[passed_on]
        _expire(connection, sync_lease.c.tenant == passed_on, _NOW + HANDOVER_SECONDS)
    else:
        taken = _take_over(connection, info.id, tenants, max(share - len(held), 0), older_than=0.0)
        taken |= _take_over(connection, info.id, tenants, len(tenants), older_than=LEASE_SECONDS)
        for tenant in sorted(taken):
            sync_state.clear_running(connection, tenant)
        held |= taken
    return Leases(held, _read_holders(connection), others, keys)


def leave(connection: Connection, gateway_id: str) -> None:
    """Let go of a gateway's leases and delete its row, when it ends."""
    _expire(connection, sync_lease.c.gateway == gateway_id, 0.0)
    connection.execute(delete(gateway).where(gateway.c.id == gateway_id))


def read_common_keys(connection: Connection) -> frozenset[str] | None:
    """Fingerprints of the keys that all living gateways have; None: no gateway lives."""
    rows = connection.execute(select(gateway.c["keys"]).where(_IS_ALIVE, gateway.c["keys"] != "")).scalars().all()
    return frozenset.intersection(*(frozenset(keys.split()) for keys in rows)) if rows else None


def find_older_gateways(connection: Connection, revision: str) -> list[str]:
    """Find the living gateways of versions that do not know a revision; the database itself may be of an older one.

    :returns: their names.
    """
    columns = {column["name"] for column in inspect(connection).get_columns(gateway.name)}
    told = gateway.c.revision if gateway.c.revision.name in columns else literal("")
    rows = connection.execute(select(gateway.c.name, told.label("revision")).where(_IS_ALIVE)).all()
    return sorted({row.name for row in rows if (row.revision or _LAST_WITHOUT_REVISION) < revision})


def exchange_news(
    connection: Connection, gateway_id: str, told: tuple[int, str] | None, heard: Mapping[str, int]
) -> Sequence[StoredNews]:
    """Tell the other gateways something, and read what they have told.

    :param told: the number of the gateway's own news, and what it tells; None: nothing.
    :param heard: the numbers of the last news that were read, by gateway.
    :returns: the news of the other gateways, those of each in the order of their numbers.
    """
    if told is not None:
        connection.execute(gateway_news.insert().values(gateway=gateway_id, number=told[0], at=_NOW, body=told[1]))
    news = gateway_news.c
    is_new = or_(
        news.gateway.not_in(heard.keys()),
        *(and_(news.gateway == other, news.number > last) for other, last in heard.items()),
    )
    query = select(news.gateway, news.number, news.body).where(news.gateway != gateway_id, is_new)
    return [StoredNews(*row) for row in connection.execute(query.order_by(news.gateway, news.number))]


def check_lease(connection: Connection, tenant: str, gateway_id: str, fence: int) -> None:
    """Keep a lease from passing to another gateway until this transaction ends.

    :raises LeaseLost: when the gateway does not hold the lease any more.
    """
    query = select(sync_lease.c.tenant).where(
        sync_lease.c.tenant == tenant, sync_lease.c.gateway == gateway_id, sync_lease.c.fence == fence
    )
    if connection.execute(query.with_for_update(read=True)).first() is None:
        raise LeaseLost(tenant)


def read_all(connection: Connection) -> tuple[KnownGateway, ...]:
    """All gateways that have had a heartbeat within a day, those that live first, by name."""
    leases = connection.execute(
        select(sync_lease.c.tenant, sync_lease.c.gateway).where(sync_lease.c.expires_at > _NOW)
    ).all()
    oldest = select(func.min(change.c.marked_at)).where(change.c.number >= gateway.c.position).scalar_subquery()
    silent, behind = (_NOW - gateway.c.seen_at).label("silent"), func.coalesce(_NOW - oldest, 0.0).label("behind")
    rows = connection.execute(select(gateway, silent, behind)).all()
    known = [
        KnownGateway(
            _info(row),
            row.started_at,
            row.seen_at,
            max(row.silent, 0.0),
            max(row.behind, 0.0),
            tuple(sorted(lease.tenant for lease in leases if lease.gateway == row.id)),
        )
        for row in rows
    ]
    return tuple(sorted(known, key=lambda one: (not one.is_alive, one.info.name, one.started_at)))


def without_replaced(known: Sequence[KnownGateway]) -> tuple[KnownGateway, ...]:
    """The gateways without those that died and were started again with the same name."""
    by_start = sorted(known, key=lambda one: one.started_at)
    left = list(by_start)
    starts = list(by_start)
    for died in sorted((one for one in by_start if not one.is_alive), key=lambda one: one.seen_at):
        for later in starts:
            if later.info.name == died.info.name and later.started_at > died.seen_at:
                starts.remove(later)  # it takes the place of one
                left.remove(died)
                break
    return tuple(one for one in known if one in left)


def _info(row: Any) -> GatewayInfo:
    roles = row.roles.split()
    return GatewayInfo(
        row.id,
        row.name,
        row.version,
        "sync" in roles,
        "serve" in roles,
        "web" in roles,
        tuple(row.keys.split()),
        row.position,
        row.accounts,
        row.contacts,
        row.revision or "",
    )


def _write_info(connection: Connection, info: GatewayInfo) -> None:
    roles = {"serve": info.serves, "sync": info.syncs, "web": info.web}
    told = {
        "name": info.name,
        "version": info.version,
        "roles": " ".join(role for role, has in roles.items() if has),
        "keys": " ".join(info.keys),
        "position": info.position,
        "accounts": info.accounts,
        "contacts": info.contacts,
        "seen_at": _NOW,
        "revision": info.revision or None,
    }
    new = insert(gateway).values(id=info.id, started_at=_NOW, **told)
    connection.execute(new.on_conflict_do_update(index_elements=["id"], set_=told))
    connection.execute(delete(gateway).where(gateway.c.seen_at < _NOW - FORGET_SECONDS))
    key = gateway_news.c.gateway, gateway_news.c.number
    # Two gateways that delete the same rows do not wait for each other.
    old = select(*key).where(gateway_news.c.at < _NOW - NEWS_SECONDS).with_for_update(skip_locked=True)
    connection.execute(delete(gateway_news).where(tuple_(*key).in_(old)))


def _is_outdated(connection: Connection, info: GatewayInfo) -> bool:
    needed = connection.execute(select(schema_version.c.readable_from)).scalar()
    return bool(needed and info.revision and info.revision < needed)


def _add_leases(connection: Connection, tenants: Collection[str]) -> None:
    known = set(connection.execute(select(sync_lease.c.tenant)).scalars())
    for tenant in sorted(set(tenants) - known):
        new = insert(sync_lease).values(tenant=tenant, fence=0, expires_at=0.0)
        connection.execute(new.on_conflict_do_nothing())


def _renew(connection: Connection, gateway_id: str, tenants: Collection[str]) -> dict[str, int]:
    renewed = (
        update(sync_lease)
        .where(sync_lease.c.gateway == gateway_id, sync_lease.c.tenant.in_(tenants))
        .values(expires_at=_NOW + LEASE_SECONDS)
        .returning(sync_lease.c.tenant, sync_lease.c.fence)
    )
    return {row.tenant: row.fence for row in connection.execute(renewed)}


def _take_over(
    connection: Connection, gateway_id: str, tenants: Collection[str], limit: int, *, older_than: float
) -> dict[str, int]:
    over = (
        select(sync_lease.c.tenant)
        .where(sync_lease.c.tenant.in_(tenants), sync_lease.c.expires_at < _NOW - older_than)
        .order_by(sync_lease.c.tenant)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    ready = connection.execute(over).scalars().all()
    if not ready:
        return {}
    taken = (
        update(sync_lease)
        .where(sync_lease.c.tenant.in_(ready))
        .values(gateway=gateway_id, fence=sync_lease.c.fence + 1, expires_at=_NOW + LEASE_SECONDS)
        .returning(sync_lease.c.tenant, sync_lease.c.fence)
    )
    return {row.tenant: row.fence for row in connection.execute(taken)}


def _expire(connection: Connection, which: Any, free_at: Any) -> None:
    connection.execute(update(sync_lease).where(which).values(gateway=None, expires_at=free_at))


def _count_syncing(connection: Connection) -> int:
    rows = connection.execute(select(gateway.c.roles).where(_IS_ALIVE)).scalars()
    return max(sum("sync" in roles.split() for roles in rows), 1)


def _read_others(connection: Connection, gateway_id: str) -> frozenset[str]:
    return frozenset(connection.execute(select(gateway.c.id).where(_IS_ALIVE, gateway.c.id != gateway_id)).scalars())


def _read_holders(connection: Connection) -> dict[str, str]:
    query = select(sync_lease.c.tenant, sync_lease.c.gateway).where(
        sync_lease.c.gateway.is_not(None), sync_lease.c.expires_at > _NOW
    )
    return {row.tenant: row.gateway for row in connection.execute(query)}
