# SPDX-License-Identifier: MIT
"""Provisioning addresses: secret addresses, valid for a day, from which a phone fetches its settings and password.

The secret is stored as a hash, and the password is stored encrypted.  The secret and the password are deleted when the
address ends.  An address ends after a day (`ExpiryCleaner`), or earlier when the address is revoked, or when the
phone gets a new password, another name or another owner, or is removed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Literal

from sqlalchemy import Connection, delete, func, insert, select, update
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ldapgw.errors import StoreError
from ldapgw.store import phones, unfit_clients, windows
from ldapgw.store.secrets import SecretBox
from ldapgw.store.tables import provisioning, value_of
from ldapgw.store.windows import Fetch
from ldapgw.store.worker import Store

SECONDS = 86400.0
# The largest number of fetches that are stored with an address.
MAX_FETCHES = 20
# The longest time between two searches for expired addresses, because somebody may set the machine's clock forward.
LONGEST_WAIT = 3600.0


@dataclass(frozen=True, slots=True)
class ProvisioningAddress:
    """A phone's provisioning address, a row of the table ``provisioning``.

    :ivar fetches: the last fetches, newest first.
    """

    phone: str
    secret: str = field(repr=False)
    until: float
    fetches: tuple[Fetch, ...] = ()


def create(
    connection: Connection,
    name: str,
    secret_box: SecretBox,
    password: str,
    password_hash: str,
    secret_hash: str,
    now: float,
) -> bool:
    """Give a phone a new password together with an address; a former address ends.

    :returns: False if there is no phone of this name; nothing is stored then.
    """
    if not phones.set_password(connection, name, password_hash, now):
        return False
    connection.execute(
        insert(provisioning).values(
            phone=name, secret=secret_hash, password=secret_box.seal(password), until=now + SECONDS, fetches="[]"
        )
    )
    return True


def end(connection: Connection, name: str) -> bool:
    """End a phone's address.

    :returns: False if the phone has no address.
    """
    return connection.execute(delete(provisioning).where(provisioning.c.phone == name)).rowcount > 0


def remove_expired(connection: Connection, now: float) -> None:
    """Delete what has expired: addresses with their passwords, unused fetched passwords, unfit clients."""
    connection.execute(delete(provisioning).where(provisioning.c.until <= now))
    windows.remove_unused(connection, now)
    unfit_clients.remove_old(connection, now)


def read(connection: Connection, name: str, now: float) -> ProvisioningAddress | None:
    """Read a phone's address; return None if the phone has no address, or its address has expired."""
    current = (provisioning.c.phone == name) & (provisioning.c.until > now)
    row = connection.execute(select(provisioning).where(current)).first()
    if row is None:
        return None
    return value_of(ProvisioningAddress, row, fetches=tuple(Fetch(*fetch) for fetch in json.loads(row.fetches)))


def fetch(
    connection: Connection, address: ProvisioningAddress, secret_box: SecretBox, new: Fetch
) -> str | Literal[False]:
    """Read the password of an address, and store the fetch.

    :param address: the address as `read` returned it; the caller has checked the secret.
    :returns: the password, or False if the address has ended, or another address has taken its place.
    """
    same = (provisioning.c.phone == address.phone) & (provisioning.c.secret == address.secret)
    row = connection.execute(
        select(provisioning.c.password, provisioning.c.fetches).where(same, provisioning.c.until > new.when)
    ).first()
    if row is None:
        return False
    fetches = [(new.when, new.address, new.file), *json.loads(row.fetches)][:MAX_FETCHES]
    connection.execute(update(provisioning).where(same).values(fetches=json.dumps(fetches)))
    return secret_box.unseal(row.password)


def read_next_end(connection: Connection) -> float | None:
    """Return the time at which the first thing expires or expired that `remove_expired` deletes; None if none does."""
    end: float | None = connection.execute(select(func.min(provisioning.c.until))).scalar_one()
    ends = end, windows.read_next_end(connection), unfit_clients.read_next_end(connection)
    return min((time for time in ends if time is not None), default=None)


class ExpiryCleaner(Service):
    """The service that calls `remove_expired` when something expires.

    At its start, the service deletes what expired earlier.  The service looks at least every `LONGEST_WAIT` seconds,
    which is less than the life of anything new.  So the service need not be told of new addresses.

    :param clock: a clock with seconds since the epoch.
    """

    def __init__(self, *, clock: IReactorTime, store: Store) -> None:
        self._clock = clock
        self._store = store
        self._next: IDelayedCall | None = None

    def startService(self) -> None:
        super().startService()
        self._look()

    def stopService(self) -> None:
        super().stopService()
        if self._next is not None and self._next.active():
            self._next.cancel()

    def _look(self) -> None:
        Deferred.fromCoroutine(self._clean()).addCallback(self._schedule)

    async def _clean(self) -> float:
        """Delete the expired addresses, and return the seconds until the next run."""
        try:
            end = await self._store.read(read_next_end)
            if end is not None and end <= self._clock.seconds():
                await self._store.run(remove_expired, self._clock.seconds())
                end = await self._store.read(read_next_end)
        except StoreError:  # the store logs the error
            return LONGEST_WAIT / 60
        return LONGEST_WAIT if end is None else min(max(end - self._clock.seconds(), 0.0), LONGEST_WAIT)

    def _schedule(self, seconds: float) -> None:
        if self.running:
            self._next = self._clock.callLater(seconds, self._look)
