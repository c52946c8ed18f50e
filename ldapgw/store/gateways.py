# SPDX-License-Identifier: MIT
"""The gateways that run on one PostgreSQL database.

Each gateway has a row with a heartbeat, for people and for the other gateways.  The rows do not decide which gateway
syncs (`ldapgw.peers.leadership`).  All times come from the clock of the database server, so that the clocks of gateways
do not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Float, Row, cast, delete, extract, func, select, update

from ldapgw.store import sync_state
from ldapgw.store.tables import change, columns_of, gateway, schema_version, value_of

# A gateway counts as dead after this time without a heartbeat.
ALIVE_SECONDS: Final = 15.0
# Rows of gateways that died are shown for a day.
FORGET_SECONDS: Final = 86_400.0

_NOW = cast(extract("epoch", func.clock_timestamp()), Float)
_IS_ALIVE = gateway.c.seen_at > _NOW - ALIVE_SECONDS


@dataclass(frozen=True, slots=True)
class GatewayInfo:
    """The data that a gateway writes with each heartbeat, a row of the table ``gateway``.

    :ivar roles: the gateway's tasks in alphabetical order: the gateway serves phones (``serve``), syncs tenants
        (``sync``) and serves the page (``web``).
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

    :ivar silent: seconds since the gateway's last heartbeat.
    :ivar behind: seconds since the oldest change that the gateway does not serve yet, or 0 if it serves all changes.
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
    """The other gateways, as read with a heartbeat.

    :ivar others: the ids of the other living gateways.
    :ivar common_keys: see `read_common_keys`.
    """

    others: frozenset[str] = frozenset()
    common_keys: frozenset[str] | None = None


def beat(connection: Connection, info: GatewayInfo) -> Peers:
    """Write a gateway's heartbeat, and read the other living gateways."""
    # imported here, because commands import this module, and few commands use PostgreSQL
    from sqlalchemy.dialects.postgresql import insert

    columns = columns_of(info, seen_at=_NOW)
    new = insert(gateway).values(**columns, started_at=_NOW)
    connection.execute(new.on_conflict_do_update(index_elements=["id"], set_=columns))
    connection.execute(delete(gateway).where(gateway.c.seen_at < _NOW - FORGET_SECONDS))
    living = connection.execute(select(gateway.c.id).where(_IS_ALIVE, gateway.c.id != info.id)).scalars()
    return Peers(frozenset(living), read_common_keys(connection))


def leave(connection: Connection, gateway_id: str) -> None:
    """Delete the row of a gateway that stops."""
    connection.execute(delete(gateway).where(gateway.c.id == gateway_id))


def begin_lead(connection: Connection, revision: str) -> bool:
    """Remove the marks of former leaders, and make the unfinished syncs of other gateways due at once.

    :param revision: the newest revision of the database that this gateway knows.
    :returns: False if this gateway may not sync, because its version cannot use the tables; nothing is changed then.
    """
    needed = connection.execute(select(schema_version.c.readable_from)).scalar()
    if needed and revision < needed:
        return False
    connection.execute(update(gateway).where(gateway.c.is_leader).values(is_leader=False))
    sync_state.clear_running(connection)
    return True


def read_common_keys(connection: Connection) -> frozenset[str] | None:
    """Return the fingerprints of the keys that all living gateways have, or None if no gateway lives."""
    rows = connection.execute(select(gateway.c["keys"]).where(_IS_ALIVE)).scalars()
    known = [frozenset(keys) for keys in rows if keys]
    return frozenset.intersection(*known) if known else None


def find_older_gateways(connection: Connection, revision: str) -> list[str]:
    """Find the living gateways whose versions do not know a revision of the database.

    :param revision: the revision, which may be newer than the revision of the database itself.
    :returns: the names of the gateways.
    """
    query = select(gateway.c.name).where(_IS_ALIVE, gateway.c.revision < revision)
    return sorted(set(connection.execute(query).scalars()))


def read_all(connection: Connection) -> tuple[KnownGateway, ...]:
    """Read the gateways that have had a heartbeat within a day, ordered by name, the living gateways first."""
    oldest = select(func.min(change.c.marked_at)).where(change.c.number >= gateway.c.position).scalar_subquery()
    silent, behind = (_NOW - gateway.c.seen_at).label("silent"), func.coalesce(_NOW - oldest, 0.0).label("behind")
    known = map(_known, connection.execute(select(gateway, silent, behind)))
    return tuple(sorted(known, key=lambda gateway: (not gateway.is_alive, gateway.info.name, gateway.started_at)))


def without_replaced(known: Sequence[KnownGateway]) -> tuple[KnownGateway, ...]:
    """Return the gateways, except dead gateways that were started again under the same name."""
    by_start = sorted(known, key=lambda gateway: gateway.started_at)
    left = list(by_start)
    starts = list(by_start)
    dead = (gateway for gateway in by_start if not gateway.is_alive)
    for died in sorted(dead, key=lambda gateway: gateway.seen_at):
        for later in starts:
            if later.info.name == died.info.name and later.started_at > died.seen_at:
                starts.remove(later)  # the same start must not count as the replacement of a second dead gateway
                left.remove(died)
                break
    return tuple(gateway for gateway in known if gateway in left)


def _known(row: Row[*tuple[Any, ...]]) -> KnownGateway:
    info = value_of(GatewayInfo, row)
    return value_of(KnownGateway, row, info=info, silent=max(row.silent, 0.0), behind=max(row.behind, 0.0))
