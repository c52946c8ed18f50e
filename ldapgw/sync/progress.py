# SPDX-License-Identifier: MIT
"""Stores how far syncs are, so that the pages of all gateways show the progress of a long sync.

Mutable: `ProgressWriter`.
"""

from __future__ import annotations

from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ldapgw.errors import LeadLost, StoreError
from ldapgw.store import sync_state
from ldapgw.store.sync_state import SyncProgress
from ldapgw.store.worker import Store

# The progress of a sync is written this often at most; a sync that is shorter writes none.
WRITE_SECONDS: Final = 1.0

log = Logger()


class ProgressWriter:
    """Writes the progress of running syncs, each a second after the sync has told how far it is."""

    def __init__(self, clock: IReactorTime, store: Store) -> None:
        self._clock = clock
        self._store = store
        self._latest: dict[int, SyncProgress] = {}
        self._due: dict[int, IDelayedCall] = {}
        self._written: set[int] = set()

    def update(self, account_id: int, progress: SyncProgress | None) -> None:
        """Take notice of the progress of an account's sync; None: the sync has ended."""
        if progress is not None:
            self._latest[account_id] = progress
            if account_id not in self._due:
                self._due[account_id] = self._clock.callLater(WRITE_SECONDS, self._write_latest, account_id)
            return
        self._latest.pop(account_id, None)
        if account_id in self._due:
            self._due.pop(account_id).cancel()
        if account_id in self._written:
            self._written.discard(account_id)
            self._write(account_id, None)

    def _write_latest(self, account_id: int) -> None:
        del self._due[account_id]
        self._written.add(account_id)
        self._write(account_id, self._latest[account_id])

    def _write(self, account_id: int, progress: SyncProgress | None) -> None:
        self._store.run(sync_state.write_progress, account_id, progress).addErrback(_log_failure)


def _log_failure(failure: Failure) -> None:
    if not failure.check(StoreError, LeadLost):  # the sync fails too
        log.failure("storing the progress of a sync failed", failure, event="progress_failed")
