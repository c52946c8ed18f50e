# SPDX-License-Identifier: MIT
"""The provider of content synchronization (RFC 4533), which answers searches with the Sync Request control.

If the change log knows a replica's cookie, the replica gets the changes since this cookie, with the UUIDs of deleted
entries.  Otherwise, the replica gets all entries, and deletes its other entries.  In the persist stage, the changes of
each published snapshot follow.  Only the last change of a snapshot carries a cookie.  So a replica whose connection
ends before the last change gets all changes of the snapshot again.

A cookie has OpenLDAP's format: ``rid=001,csn=CSN``.  A replica stores only the CSN and makes the next cookie from the
CSN, so a cookie can hold nothing else.

Messages are made only while the client takes the output, as in `ldapgw.ldap.search_response`.

After each published snapshot, the provider lets the change logs catch up, and then wakes the answers that wait for
changes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from functools import partial
from itertools import groupby
from typing import Final

from ldapgw.ber import BOOLEAN, ENUMERATED, OCTET_STRING, SEQUENCE, SET, BerReader, boolean, integer, octets, tlv
from ldapgw.directory.access import Viewer
from ldapgw.directory.dn import Dn, InvalidDn
from ldapgw.directory.entry import SEARCH_RESULT_ENTRY, select
from ldapgw.directory.filter import Present, Scope, SearchRequest
from ldapgw.errors import DirectoryError, ProtocolViolation, ResultCode
from ldapgw.ldap.controls import SupportedControl
from ldapgw.ldap.messages import SUCCESS, Control, Operation, Result
from ldapgw.ldap.replication.change_log import Change, ChangeLog, ChangeLogs, ReplicaContent, ordered
from ldapgw.ldap.replication.replica_entry import Csn, ReplicaEncoding
from ldapgw.ldap.search_controls import AnsweringControl, SearchToAnswer
from ldapgw.ldap.search_response import OutputBuffer
from ldapgw.ldap.server import LdapFactory

SYNC_REQUEST: Final = "1.3.6.1.4.1.4203.1.9.1.1"
SYNC_STATE: Final = "1.3.6.1.4.1.4203.1.9.1.2"
SYNC_DONE: Final = "1.3.6.1.4.1.4203.1.9.1.3"
SYNC_INFO: Final = "1.3.6.1.4.1.4203.1.9.1.4"

REFRESH_ONLY, REFRESH_AND_PERSIST = 1, 3

# The maximum number of octets of a cookie that is read.  A cookie of OpenLDAP has one CSN of 40 octets for each server
# id.
MAX_COOKIE: Final = 4096

# RFC 4511 4.13: IntermediateResponse ::= [APPLICATION 25] SEQUENCE
_INTERMEDIATE_RESPONSE, _RESPONSE_NAME, _RESPONSE_VALUE = 0x79, 0x80, 0x81
_CONTROLS: Final = 0xA0
_REFRESH_DELETE, _REFRESH_PRESENT, _SYNC_ID_SET = 0xA1, 0xA2, 0xA3

_RID: Final = re.compile(r"rid=([0-9]{1,3})(?:,|$)", re.ASCII)
_CSNS: Final = re.compile(r"(?:^|,)csn=([^,]*)", re.ASCII)

# The number of messages that are made before the clock is read again; making these messages takes about a millisecond.
CHUNK: Final = 4
# The largest number of deleted entries that one message names; such a message has less than 20 KiB.
MAX_DELETED = 1000

_NOTHING: Final = Csn(0, 0)


class SyncState(IntEnum):
    """The states of an entry in a Sync State control (RFC 4533 2.3)."""

    PRESENT = 0
    ADD = 1
    MODIFY = 2
    DELETE = 3


@dataclass(frozen=True, slots=True)
class SyncCookie:
    """The content of a replica's cookie.

    :ivar replica_id: the replica's own number for this provider, which is sent back to the replica; empty if the cookie
        has no number.
    :ivar csn: the latest CSN of our server id in the cookie, or None if there is no such CSN.
    """

    replica_id: str = ""
    csn: Csn | None = None

    @classmethod
    def parse(cls, cookie: bytes) -> SyncCookie:
        """Read a cookie; the result has no CSN if the cookie has no valid CSN of our server id."""
        try:
            text = cookie[:MAX_COOKIE].decode("ascii")
        except UnicodeDecodeError:
            return cls()
        replica_id = _RID.match(text)
        # OpenLDAP separates the CSNs of several server ids by a semicolon.
        parts = [part for csns in _CSNS.findall(text) for part in csns.split(";")]
        found = [csn for part in parts if (csn := Csn.parse(part)) is not None]
        return cls(replica_id[1] if replica_id else "", max(found, default=None))

    def at(self, csn: Csn) -> bytes:
        """Return the cookie of a replica that has all changes up to a CSN."""
        rid = f"rid={self.replica_id}," if self.replica_id else ""
        return f"{rid}csn={csn}".encode()


@dataclass(frozen=True, slots=True)
class SyncRequestValue:
    """A request for content synchronization (RFC 4533 2.2).

    :ivar persist: whether to send changes until the search is abandoned.
    :ivar cookie: the cookie, or None if the replica has no cookie.
    """

    persist: bool
    critical: bool
    cookie: bytes | None = field(default=None, repr=False)


def read_sync(control: Control) -> SyncRequestValue:
    """Decode the value of a Sync Request control.

    :raises ProtocolViolation: if the value is malformed.
    """
    value = BerReader.over(control.value or b"")
    content = value.enter(SEQUENCE, "syncRequestValue")
    value.finish("syncRequestValue")
    mode = content.integer("mode", ENUMERATED)
    if mode not in (REFRESH_ONLY, REFRESH_AND_PERSIST):
        raise ProtocolViolation("mode: unknown")
    cookie = content.octets("cookie") if content.peek() == OCTET_STRING else None
    if content.peek() == BOOLEAN:
        # The value of reloadHint is ignored, because a replica whose cookie is unknown always gets the whole content.
        content.boolean("reloadHint")
    content.finish("syncRequestValue")
    return SyncRequestValue(mode == REFRESH_AND_PERSIST, control.critical, cookie)


def sync_entry(message_id: int, entry: bytes, state: SyncState, entry_uuid: bytes, cookie: bytes | None) -> bytes:
    """Encode the LDAPMessage of an entry with a Sync State control (RFC 4533 2.3).

    :param entry: an encoded SearchResultEntry.
    """
    value = integer(state, ENUMERATED) + octets(entry_uuid) + (octets(cookie) if cookie is not None else b"")
    control = octets(SYNC_STATE.encode()) + octets(tlv(SEQUENCE, value))
    content = integer(message_id) + entry + tlv(_CONTROLS, tlv(SEQUENCE, control))
    return tlv(SEQUENCE, content)


def sync_done(cookie: bytes, *, refresh_deletes: bool) -> Control:
    """Make the Sync Done control (RFC 4533 2.4).

    :param refresh_deletes: true if deleted entries were named; false if the replica has to delete all entries that were
        not sent.
    """
    deletes = boolean(True) if refresh_deletes else b""  # noqa: FBT003 - the boolean is the value to encode
    return Control(SYNC_DONE, value=tlv(SEQUENCE, octets(cookie) + deletes))


def refresh_end(message_id: int, cookie: bytes, *, refresh_deletes: bool) -> bytes:
    """Encode a refreshDelete or refreshPresent message (RFC 4533 2.5), which ends the refresh stage."""
    return _information(message_id, tlv(_REFRESH_DELETE if refresh_deletes else _REFRESH_PRESENT, octets(cookie)))


def deleted_entries(message_id: int, uuids: Iterable[bytes]) -> bytes:
    """Encode a syncIdSet message (RFC 4533 2.5), which names deleted entries during the refresh stage."""
    names = tlv(SET, b"".join([octets(entry_uuid) for entry_uuid in uuids]))
    return _information(message_id, tlv(_SYNC_ID_SET, boolean(True) + names))  # noqa: FBT003 - refreshDeletes


def _information(message_id: int, value: bytes) -> bytes:
    response = octets(SYNC_INFO.encode(), _RESPONSE_NAME) + octets(value, _RESPONSE_VALUE)
    content = integer(message_id) + tlv(_INTERMEDIATE_RESPONSE, response)
    return tlv(SEQUENCE, content)


def check_whole(request: SearchRequest, base: Dn) -> None:
    """Check that a request asks for all entries of a tenant, because the log cannot select the changes of a subtree.

    :raises DirectoryError: unwillingToPerform, or invalidDNSyntax.
    """
    try:
        dn = Dn.parse(request.base)
    except InvalidDn:
        raise DirectoryError(ResultCode.INVALID_DN_SYNTAX, "the base is not a distinguished name") from None
    is_all = isinstance(request.filter, Present) and request.filter.attribute.lower() == "objectclass"
    if dn.key != base.key or request.scope is not Scope.WHOLE_SUBTREE:
        raise DirectoryError(ResultCode.UNWILLING_TO_PERFORM, "replication needs the tenant's whole tree")
    if not is_all or request.size_limit or request.types_only:
        raise DirectoryError(
            ResultCode.UNWILLING_TO_PERFORM,
            "replication needs the filter (objectClass=*), typesOnly FALSE, and no size limit",
        )


def wanted_attributes(attributes: tuple[str, ...]) -> frozenset[str] | None:
    """Return the names of the user attributes to send, in lower case, or None for all attributes."""
    if not attributes or "*" in attributes:
        return None
    return frozenset(map(str.lower, (*attributes, *select(attributes).names)))


class SynchronizationResponse:
    """The messages of one content synchronization.

    Mutable: the progress of the synchronization.

    :param wanted: the names of the user attributes to send, in lower case, or None for all attributes.
    :param note: called with a phrase about the sent content, such as "resumed, 3 changes".
    :ivar sent: the number of entries that were added to a buffer.
    :ivar is_waiting: whether there is nothing to send until `ldapgw.ldap.server.LdapFactory.wake` is called, after the
        change log has caught up.
    """

    __slots__ = (
        *("_cookie", "_is_delta", "_log", "_logs", "_message_id", "_messages", "_note", "_persist", "_seen", "_wanted"),
        *("is_waiting", "sent"),
    )

    def __init__(
        self,
        message_id: int,
        request: SyncRequestValue,
        cookie: SyncCookie,
        logs: ChangeLogs,
        log: ChangeLog,
        wanted: frozenset[str] | None,
        note: Callable[[str], None],
    ) -> None:
        self._message_id = message_id
        self._persist = request.persist
        self._cookie = cookie
        self._logs = logs
        self._log = log
        self._wanted = wanted
        self._note = note
        self._seen = _NOTHING
        self._is_delta = False
        self._messages = self._all_messages()
        self.sent = 0
        self.is_waiting = False

    def write_next(self, buffer: OutputBuffer, now: float) -> Result | None:  # noqa: ARG002 - only searches use `now`
        """Add the next messages to a buffer.

        :returns: the result of the synchronization, or None while the synchronization goes on.
        """
        for _ in range(CHUNK):
            if buffer.full:
                break
            try:
                message = next(self._messages)
            except StopIteration:
                return SUCCESS if not self._persist else Result(ResultCode.SYNC_REFRESH_REQUIRED, "too many changes")
            if message is None:
                break
            buffer.add(message)
        return None

    def response_controls(self, result: Result) -> tuple[Control, ...]:
        if result is not SUCCESS:
            return ()
        return (sync_done(self._cookie.at(self._seen), refresh_deletes=self._is_delta),)

    def _all_messages(self) -> Iterator[bytes | None]:
        """Yield the messages, and None whenever the next message has to wait for the change log."""
        while (content := self._log.content) is None:
            self.is_waiting = True
            yield None
        encoding = content.encoding._replace(wanted=self._wanted)
        yield from self._refresh(content, encoding)
        if self._persist:
            yield refresh_end(self._message_id, self._cookie.at(self._seen), refresh_deletes=self._is_delta)
            yield from self._changes(encoding)

    def _refresh(self, content: ReplicaContent, encoding: ReplicaEncoding) -> Iterator[bytes]:
        log, csn = self._log, self._cookie.csn
        known = log.find(csn) if csn is not None else None
        if csn is None or known is None:
            self._seen = self._logs.renew(log, csn or _NOTHING)
            self._note(f"whole content, {content.size} entries")
            for entry in content.entries():
                self.sent += 1
                encoded = entry.encode(encoding, self._seen)
                yield sync_entry(self._message_id, encoded, SyncState.ADD, entry.entry_uuid(), None)
            return
        self._is_delta = True
        changes = log.changes_after(known)
        # slapd ignores an entry whose CSN is not later than the CSN of the stored entry.  The CSNs of another gateway
        # may be later than the CSNs of this gateway.
        is_foreign = known != csn
        self._seen = self._logs.renew(log, csn) if csn > log.csn or (is_foreign and changes) else log.csn
        self._note(f"resumed, {len(changes)} changes")
        deleted, stored = ordered(changes)
        # slapd deletes the entries of one message in any order, and does not delete an entry that still has children.
        # So each level of the tree gets its own messages.
        for _, level in groupby(deleted, key=lambda change: change.entry.depth):
            uuids = [change.entry.entry_uuid() for change in level]
            for start in range(0, len(uuids), MAX_DELETED):
                yield deleted_entries(self._message_id, uuids[start : start + MAX_DELETED])
        for change in stored:
            numbered = change._replace(csn=self._seen) if is_foreign else change
            yield self._changed(encoding, numbered, SyncState.ADD, None)

    def _changes(self, encoding: ReplicaEncoding) -> Iterator[bytes | None]:
        """Yield the messages of the persist stage; end when the log lacks a change that the replica needs."""
        log = self._log
        while (known := log.find(self._seen)) is not None:
            changes, seen, until = log.changes_after(known), self._seen, log.csn
            if not changes:
                self._seen = until
                self.is_waiting = True
                yield None
                continue
            deleted, stored = ordered(changes)
            cookie, last = self._cookie.at(until), len(changes) - 1
            for at, change in enumerate((*deleted, *stored)):
                state = SyncState.ADD if change.added_at > seen else SyncState.MODIFY
                yield self._changed(encoding, change, state, cookie if at == last else None)
            self._seen = until

    def _changed(self, encoding: ReplicaEncoding, change: Change, state: SyncState, cookie: bytes | None) -> bytes:
        """Encode the message of a changed entry; the message of a deleted entry has no attributes."""
        self.sent += 1
        entry = change.entry
        if change.is_deleted:
            state = SyncState.DELETE
            encoded = tlv(SEARCH_RESULT_ENTRY, octets(entry.dn()) + tlv(SEQUENCE, b""))
        else:
            encoded = entry.encode(encoding, change.csn)
        return sync_entry(self._message_id, encoded, state, entry.entry_uuid(), cookie)


class Provider:
    """The part of an LDAP server that answers replicas.

    Mutable: whether a published snapshot is missing in the change logs.

    :param note_use: called for each synchronization with the viewer, the client's address, a phrase about the sent
        content, and the connection's number.
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
        """Answer a Sync Request control.

        Only the login of a replica may replicate, and the request must be for the whole tree of the tenant.

        :returns: the response, or None if the client is no replica and the control is not critical.
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
        """Let the change logs catch up in later turns of the reactor."""
        self._has_changes = True
        if not self._is_following:
            self._is_following = True
            self._ldap.turns.run(self._catch_up())

    def _catch_up(self) -> Iterator[None]:
        """Let the change logs catch up with each published snapshot, then wake the answers that wait for changes."""
        try:
            while self._has_changes:
                self._has_changes = False
                yield from self._logs.catch_up()
                self._ldap.wake()
        except Exception as error:  # noqa: BLE001 - replicas get these changes after the next snapshot
            self._ldap.count_failure(error)
        finally:
            self._is_following = False
