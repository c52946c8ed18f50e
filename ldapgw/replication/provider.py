# SPDX-License-Identifier: MIT
"""The provider of content synchronization (RFC 4533), which answers searches with the Sync Request control.

The provider has the change logs catch up with each published snapshot, and then wakes the answers that wait for
changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from ldapgw.directory.access import Viewer
from ldapgw.errors import DirectoryError, ResultCode
from ldapgw.ldap.controls import SupportedControl
from ldapgw.ldap.messages import Control, Operation
from ldapgw.ldap.search_controls import AnsweringControl, SearchToAnswer
from ldapgw.ldap.server import LdapFactory
from ldapgw.replication.change_log import ChangeLogs
from ldapgw.replication.sync_controls import SYNC_REQUEST, SyncCookie, SyncRequestValue, read_sync
from ldapgw.replication.sync_response import SynchronizationResponse, check_whole, wanted_attributes


class Provider:
    """Serves the replicas that ask an LDAP server.

    Mutable: whether the change logs are behind.

    :param note_use: called for each synchronization with the viewer, the client's address, a phrase about the content
        sent, and the connection's number.
    """

    def __init__(self, ldap: LdapFactory, logs: ChangeLogs, note_use: Callable[[Viewer, str, str, int], None]) -> None:
        self._ldap = ldap
        self._logs = logs
        self._note_use = note_use
        self._has_changes = self._is_following = False
        ldap.add_controls({SYNC_REQUEST: SupportedControl(frozenset((Operation.SEARCH,)), self._read)})

    def snapshot_changed(self) -> None:
        """Send replicas the changes of the snapshot that was published."""
        if self._logs:
            self._follow()

    def _read(self, control: Control) -> AnsweringControl:
        return AnsweringControl(partial(self._answer, read_sync(control)))

    def _answer(self, sync: SyncRequestValue, search: SearchToAnswer) -> SynchronizationResponse | None:
        """Answer a Sync Request: the login of a replica gets the whole content of its tenant.

        Return None if the client is no replica and the control is not critical.
        """
        viewer = search.viewer
        if viewer.replica is None:
            if not sync.critical:
                return None
            raise DirectoryError(ResultCode.INSUFFICIENT_ACCESS_RIGHTS, "only the login of a replica may replicate")
        log = self._logs.open(viewer.replica)
        if log is None:
            # A refresh without entries would delete all entries of the replica.
            raise DirectoryError(ResultCode.BUSY, "the gateway has not read its database yet")
        check_whole(search.request, log.base)
        if search.has_other_controls:
            raise DirectoryError(ResultCode.UNWILLING_TO_PERFORM, "replication allows no other controls")
        cookie = SyncCookie.parse(sync.cookie or b"")
        if cookie.csn is not None and self._logs.is_future(cookie.csn):
            raise DirectoryError(ResultCode.UNWILLING_TO_PERFORM, "the cookie is from the future: check the clocks")
        self._follow()
        return SynchronizationResponse(
            search.message_id,
            sync,
            cookie,
            self._logs,
            log,
            wanted_attributes(search.request.attributes),
            lambda detail: self._note_use(viewer, search.address, detail, search.connection),
        )

    def _follow(self) -> None:
        """Have the change logs catch up in later turns of the reactor."""
        self._has_changes = True
        if not self._is_following:
            self._is_following = True
            self._ldap.turns.run(self._catch_up())

    def _catch_up(self) -> Iterator[None]:
        """Take over the published snapshot, and wake the answers that wait for changes.

        Repeat this if another snapshot is published meanwhile.
        """
        try:
            while self._has_changes:
                self._has_changes = False
                yield from self._logs.catch_up()
                self._ldap.wake()
        except Exception as error:  # noqa: BLE001 - replicas get these changes after the next snapshot
            self._ldap.count_failure(error)
        finally:
            self._is_following = False
