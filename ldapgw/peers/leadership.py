# SPDX-License-Identifier: MIT
"""Decides which of the gateways on one database syncs, and shows pages and commands which gateways are running.

One gateway, the leader, syncs everything.  The leader holds an advisory lock of PostgreSQL on the very connection on
which all syncs write (`ldapgw.store.leader_session`).  A gateway loses the lock only together with this connection.  So
a gateway that loses the lead during a sync cannot write any more, and PostgreSQL rolls back the sync's transaction.
The other gateways stand by, and try to get the lock every `TURN_SECONDS`.

PostgreSQL ends the session of a leader that hangs, is stopped or has lost its network.  The end of the session frees
the lock.

Each gateway writes a heartbeat every `BEAT_SECONDS`.  Heartbeats do not decide which gateway syncs.  Heartbeats tell
pages and commands which gateways are running, and which keys all these gateways have.  Heartbeats also tell whether a
running gateway would be too old to use the database after an upgrade.

Mutable: `Leadership`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

from sqlalchemy import Connection
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ldapgw.errors import LeadLost
from ldapgw.store import gateways
from ldapgw.store.database import Mode
from ldapgw.store.gateways import GatewayInfo, Peers
from ldapgw.store.leader_session import IDLE_SECONDS, LeaderSession
from ldapgw.store.periodic import PeriodicService
from ldapgw.store.worker import Store

# The seconds between two turns.  At its turn, a standby tries to get the lead, and the leader shows PostgreSQL that the
# leader's session is alive.
TURN_SECONDS: Final = 1.0
BEAT_SECONDS: Final = 3.0
# A leader whose session has not answered for this time makes no calls to Google until the session answers, because
# another gateway may soon become the leader.
SILENT_SECONDS: Final = IDLE_SECONDS - 2.0

POOLED: Final = (
    "gives several connections one session, as PgBouncer does in transaction mode; set pool_mode = session, or connect "
    "to PostgreSQL itself"
)
_OUTDATED = "a newer version of ldapgw upgraded the database; upgrade this gateway, or stop it"

T = TypeVar("T")

log = Logger()


class OnlyGateway:
    """The leader on a database that only one gateway can use; it has the attributes of `Leadership` that syncs use.

    :param store: the store of all syncs.
    """

    is_leader = True

    def __init__(self, store: Store) -> None:
        self.store = store

    async def check_lead(self) -> None:
        if not self.is_leader:
            raise LeadLost


class Leadership(PeriodicService):
    """The service that takes and keeps the lead among several gateways.

    :ivar is_leader: whether this gateway may sync now.
    :ivar store: the store that syncs use; its writes fail with `LeadLost` while another gateway may sync.
    :param seconds: returns the seconds of a clock that goes on while the machine sleeps.
    :param in_thread: calls a function with its arguments on the thread of the session.
    :param write_in_thread: calls a function on the same thread for a write of a sync, and logs failures of the
        database.
    :param store: the store that `Leadership.store` uses for reads.
    :param begin: called in the first transaction after this gateway got the lock; returns whether this gateway may
        lead, which is the case if its version can use the tables.
    :param changed: called when this gateway has become the leader, or is no longer the leader.
    """

    def __init__(
        self,
        *,
        clock: IReactorTime,
        seconds: Callable[[], float],
        session: LeaderSession,
        in_thread: Callable[..., Deferred[Any]],
        write_in_thread: Callable[..., Deferred[Any]],
        store: Store,
        begin: Callable[[Connection], bool],
        changed: Callable[[], object],
    ) -> None:
        self._seconds = seconds
        self._session = session
        self._in_thread = in_thread
        self._write_in_thread = write_in_thread
        self._reading = store
        self.store = Store(self._transact)
        self._begin = begin
        self._changed = changed
        self._refusal: str | None = None
        self._answered_at = 0.0
        self._silent: list[Deferred[None]] = []  # calls to Google that wait until the session has answered or ended
        self.is_leader = False
        failed = partial(log.failure, "taking or keeping the lead failed", event="lead_failed")
        super().__init__(clock, TURN_SECONDS, self._take_turn, failed, waits=True, last=self._close)

    def _close(self) -> Deferred[None]:
        return self._in_thread(self._session.close)

    def _transact(self, mode: Mode, function: Callable[..., Any], *args: Any, **kw: Any) -> Deferred[Any]:
        """Call a function in a transaction; a write fails with `LeadLost` if this gateway is not the leader."""
        if mode is Mode.READ:
            return self._reading.read(function, *args, **kw)
        if not self.is_leader:
            return fail(LeadLost())
        return self._write_in_thread(self._session.run, function, *args, **kw).addCallbacks(self._done, self._failed)

    async def check_lead(self) -> None:
        """Make sure that no other gateway syncs, before a call to Google.

        If the session has been silent for more than `SILENT_SECONDS`, wait until the session has answered or ended,
        because another gateway may become the leader at any moment.  A long transaction of another account's sync
        delays the answer.

        :raises LeadLost: if this gateway is not the leader.
        """
        while self.is_leader and self._seconds() - self._answered_at > SILENT_SECONDS:
            self._silent.append(Deferred())
            await self._silent[-1]
        if not self.is_leader:
            raise LeadLost

    def stopService(self) -> Deferred[None]:
        """Give up the lead, so that another gateway takes over within `TURN_SECONDS`."""
        ended = super().stopService()
        self._set(is_leader=False)
        return ended

    def _take_turn(self) -> Deferred[None]:
        """Show PostgreSQL that the leader is alive, or try to become the leader."""
        work = self._in_thread(self._session.keep if self.is_leader else self._try)
        return work.addCallbacks(self._tried, self._failed)

    def _try(self) -> bool | str:
        """Try to become the leader; called on the session's thread.

        :returns: whether this gateway leads, or the reason why it may not lead.
        """
        if not self._session.is_connected and self._session.is_pooled():
            return f"the database {POOLED}"
        if not self._session.try_lock():
            return False
        if self._session.run(self._begin):
            return True
        self._session.close()
        return _OUTDATED

    def _tried(self, outcome: bool | str) -> None:  # noqa: FBT001  the result of a Deferred
        refusal = outcome if isinstance(outcome, str) else None
        if refusal not in (None, self._refusal):
            log.error("this gateway cannot sync: {reason}", event="lead_refused", reason=refusal)
        self._refusal = refusal
        self._answered_at = self._seconds()
        if self.running:
            self._set(is_leader=outcome is True)
        self._wake()

    def _done(self, result: T) -> T:
        self._answered_at = self._seconds()
        self._wake()
        return result

    def _wake(self) -> None:
        silent, self._silent = self._silent, []
        for waiting in silent:
            waiting.callback(None)

    def _failed(self, failure: Failure) -> Failure:
        """Stop the syncs at once if the session has ended."""
        if not self._session.is_held:
            self._set(is_leader=False)
        return failure

    def _set(self, *, is_leader: bool) -> None:
        if is_leader == self.is_leader:
            return
        self.is_leader = is_leader
        if is_leader:
            log.info("this gateway syncs from now on", event="lead_taken")
        else:
            log.info("this gateway does not sync any more", event="lead_ended")
        self._changed()
        self._wake()


# The object that decides whether this gateway syncs, and that holds the store of all syncs.
Leader = OnlyGateway | Leadership


class Heartbeat(PeriodicService):
    """The service that writes the row of this gateway, which tells other gateways that this gateway is running.

    :param store: a store whose transactions do not wait for the transactions of pages and syncs.
    :param describe: returns the row of this gateway; called once for each heartbeat.
    :param on_beat: called after each heartbeat with the data of the other gateways.
    """

    def __init__(
        self,
        *,
        clock: IReactorTime,
        store: Store,
        gateway_id: str,
        describe: Callable[[], GatewayInfo],
        on_beat: Callable[[Peers], object],
    ) -> None:
        self._store = store
        self._gateway_id = gateway_id
        self._describe = describe
        self._on_beat = on_beat
        failed = partial(log.failure, "a heartbeat failed", event="heartbeat_failed")
        super().__init__(clock, BEAT_SECONDS, self._beat, failed, waits=True, last=self._leave)

    async def _beat(self) -> None:
        # Each change of the lead requests a heartbeat, even after this service has stopped.  The stop deletes the row
        # of this gateway, and a late heartbeat must not write the row again.
        if not self.running:
            return
        peers = await self._store.run(gateways.beat, self._describe())
        if self.running:
            self._on_beat(peers)

    def _leave(self) -> Deferred[Any]:
        """Delete the row of this gateway, so that lists of gateways no longer show the gateway."""
        return self._store.run(gateways.leave, self._gateway_id)
