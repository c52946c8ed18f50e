# SPDX-License-Identifier: MIT
"""The gateways on one PostgreSQL database: which of them run.

Each gateway has a row with a heartbeat, for those who look; which gateway syncs is decided elsewhere
(`ldapgw.peers.leadership`).  All times are those of the database server, so that the clocks of gateways do not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Float, Row, cast, delete, extract, func, select, update

from ldapgw.store import sync_state
from ldapgw.store.tables import change, columns_of, gateway, schema_version, value_of

# A gateway without a heartbeat for so long has died.
ALIVE_SECONDS: Final = 15.0
# Rows of gateways that died are shown for a day.
FORGET_SECONDS: Final = 86_400.0

_NOW = cast(extract("epoch", func.clock_timestamp()), Float)
_IS_ALIVE = gateway.c.seen_at > _NOW - ALIVE_SECONDS


@dataclass(frozen=True, slots=True)
class GatewayInfo:
    """What a gateway tells of itself with each heartbeat, a row of the table ``gateway``.

    :ivar roles: what it does, in alphabetical order: ``serve`` phones, ``sync`` tenants, serve the page (``web``).
    """

    id: str
    name: str
    version: str
    roles: tuple[str, ...] = ("serve", "sync", "web")
    keys: tuple[str, ...] = ()
    position: int = 0
    accounts: int = 0
    contacts: int = 0
    revision: str = ""
    is_leader: bool = False


@dataclass(frozen=True, slots=True)
class KnownGateway:
    """A gateway that has had a heartbeat within a day.

    :ivar silent: seconds since its last heartbeat.
    :ivar behind: seconds since the oldest change that it does not serve yet; 0: it serves all.
    """

    info: GatewayInfo
    started_at: float
    seen_at: float
    silent: float
    behind: float

    @property
    def is_alive(self) -> bool:
        return self.silent < ALIVE_SECONDS


@dataclass(frozen=True, slots=True)
class Peers:
    """What a gateway knows of the others after a heartbeat.

    :ivar others: the ids of the other gateways that live.
    :ivar common_keys: see `read_common_keys`.
    """

    others: frozenset[str] = frozenset()
    common_keys: frozenset[str] | None = None


def beat(connection: Connection, info: GatewayInfo) -> Peers:
    """Write what a gateway tells of itself, and read which others live."""
    from sqlalchemy.dialects.postgresql import insert  # commands import this module, and most need no PostgreSQL

    columns = columns_of(info, roles=" ".join(info.roles), keys=" ".join(info.keys), seen_at=_NOW)
    new = insert(gateway).values(**columns, started_at=_NOW)
    connection.execute(new.on_conflict_do_update(index_elements=["id"], set_=columns))
    connection.execute(delete(gateway).where(gateway.c.seen_at < _NOW - FORGET_SECONDS))
    living = connection.execute(select(gateway.c.id).where(_IS_ALIVE, gateway.c.id != info.id)).scalars()
    return Peers(frozenset(living), read_common_keys(connection))


def leave(connection: Connection, gateway_id: str) -> None:
    """Delete a gateway's row, when it ends."""
    connection.execute(delete(gateway).where(gateway.c.id == gateway_id))


def begin_lead(connection: Connection, revision: str) -> bool:
    """Begin a lead: no other gateway leads, and the syncs that another gateway had begun are due at once.

    :param revision: the newest revision of the database that this gateway knows.
    :returns: whether this gateway may sync: its version can use the tables.
    """
    needed = connection.execute(select(schema_version.c.readable_from)).scalar()
    if needed and revision < needed:
        return False
    connection.execute(update(gateway).where(gateway.c.is_leader).values(is_leader=False))
    sync_state.clear_running(connection)
    return True


def read_common_keys(connection: Connection) -> frozenset[str] | None:
    """Fingerprints of the keys that all living gateways have; None: no gateway lives."""
    rows = connection.execute(select(gateway.c["keys"]).where(_IS_ALIVE, gateway.c["keys"] != "")).scalars().all()
    return frozenset.intersection(*(frozenset(keys.split()) for keys in rows)) if rows else None


def find_older_gateways(connection: Connection, revision: str) -> list[str]:
    """Find the living gateways of versions that do not know a revision; the database itself may be of an older one.

    :returns: their names.
    """
    query = select(gateway.c.name).where(_IS_ALIVE, gateway.c.revision < revision)
    return sorted(set(connection.execute(query).scalars()))


def read_all(connection: Connection) -> tuple[KnownGateway, ...]:
    """All gateways that have had a heartbeat within a day, those that live first, by name."""
    oldest = select(func.min(change.c.marked_at)).where(change.c.number >= gateway.c.position).scalar_subquery()
    silent, behind = (_NOW - gateway.c.seen_at).label("silent"), func.coalesce(_NOW - oldest, 0.0).label("behind")
    known = map(_known, connection.execute(select(gateway, silent, behind)))
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


def _known(row: Row[*tuple[Any, ...]]) -> KnownGateway:
    info = value_of(GatewayInfo, row, roles=row.roles.split(), keys=row.keys.split())
    return value_of(KnownGateway, row, info=info, silent=max(row.silent, 0.0), behind=max(row.behind, 0.0))
