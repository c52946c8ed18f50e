# SPDX-License-Identifier: MIT
"""The content of a tenant's replicas, and the log of its changes, for content synchronization (RFC 4533).

A `ChangeLog` compares the content of each published snapshot with the content of the snapshot before.  Both snapshots
share the segments of unchanged books.  A comparison skips shared segments, so the work depends on the number of
changes.  All changes that a comparison finds have the same CSN.  The log stores the last change of each entry in
memory, for a limited number of entries.

A cookie names the content of a replica at some time.  The log knows the cookie if the log has all changes since then.
The cookie may come from this log, from another gateway, or from this gateway before a restart.  A replica with an
unknown cookie gets the whole content.

All work is done in slices: a generator yields None after each slice, and is continued in a later turn of the reactor.

Mutable: `ChangeLog` and `ChangeLogs`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from itertools import islice
from typing import Final, NamedTuple

from ldapgw.directory.access import Access, ReplicaAccess
from ldapgw.directory.catalog import Freshness, PhoneAccess, Snapshot
from ldapgw.directory.dit import Directory
from ldapgw.directory.dn import Dn
from ldapgw.directory.entry import Entry
from ldapgw.directory.naming_context import phone_dn
from ldapgw.directory.packed_attributes import octets_of
from ldapgw.directory.segment import Segment
from ldapgw.directory.special_entries import tenant_entry
from ldapgw.ldap.replication.replica_entry import (
    DIGEST_BITS,
    ContainerEntry,
    Csn,
    LoginEntry,
    ReplicaEncoding,
    ReplicaEntry,
    digest_of,
)

# The maximum number of entries whose last change is stored.  If more entries of a large tenant change, replicas get the
# whole content.
MAX_CHANGES = 20_000
# The maximum number of CSNs that a log remembers.
_MAX_CSNS = 10_000
# The number of entries that are processed in one slice of work, which takes about a millisecond.
SLICE = 100
_BOOKS_IN_SLICE = 50
# The version of the attributes and values that are made from an entry.  If this number changes, replicas get the whole
# content.
_FORMAT: Final = b"2"

_MASK: Final = (1 << DIGEST_BITS) - 1
_MICROSECONDS: Final = 1_000_000
_TENANT, _BOOK, _LABEL = 0, 1, 2


class ReplicaContent(NamedTuple):
    """The content of a replica, made from one snapshot.

    :ivar others: the entries other than contacts, by UUID, parents first.
    :ivar logins: the logins of phones among `others`, by the phone's name in lower case.
    """

    encoding: ReplicaEncoding
    others: Mapping[bytes, ReplicaEntry]
    logins: Mapping[str, LoginEntry]
    segments: tuple[Segment, ...]

    def entries(self) -> Iterator[ReplicaEntry]:
        """Yield all entries, parents first."""
        yield from self.others.values()
        for segment in self.segments:
            for entry in segment:
                yield ReplicaEntry(entry)

    @property
    def size(self) -> int:
        """Return the number of entries."""
        return len(self.others) + sum(map(len, self.segments))


class Change(NamedTuple):
    """The last change of an entry.

    :ivar entry: the entry after the change; for a deletion, the entry before the change.
    :ivar added_at: the CSN of the entry's last addition or deletion; ``Csn(0, 0)`` if the log has neither.
    """

    csn: Csn
    entry: ReplicaEntry
    is_deleted: bool
    added_at: Csn


# The UUID of an entry that differs between two contents, the entry in the earlier content, and the entry in the later
# content.  The earlier entry of an addition is None, and the later entry of a deletion is None.
_Difference = tuple[bytes, ReplicaEntry | None, ReplicaEntry | None]


class ChangeLog:
    """The content for all replicas with the same `ReplicaAccess`, and the last changes of this content.

    :ivar content: the current content, or None before the first `advance`.
    """

    __slots__ = ("_access", "_changes", "_csns", "_digest", "_floor", "_latest", "_snapshot", "base", "content", "csn")

    def __init__(self, access: ReplicaAccess, base: Dn) -> None:
        self._access = access
        self.base = base
        self._snapshot: Snapshot | None = None
        self.content: ReplicaContent | None = None
        self.csn = self._floor = Csn(0, 0)
        self._digest = 0
        # The last change of each entry, in the order of the changes.  The key is the entry's UUID.
        self._changes: dict[bytes, Change] = {}
        # The CSNs that this log has made, the earliest first.
        self._csns: dict[Csn, None] = {}
        # The latest CSN of each content.  The key is the digest of the content.
        self._latest: dict[int, Csn] = {}

    def advance(self, snapshot: Snapshot, now: float) -> Iterator[None]:
        """Replace the content by the content of a snapshot, and log the changes.

        :param now: seconds since the epoch.
        """
        directory = snapshot.dit.directory(self._access.tenant)
        if directory is None or snapshot is self._snapshot:
            return
        before = self.content
        content = yield from _read(directory, snapshot.logins, self._access, before)
        if before is None:
            yield from self._begin(content, now)
        else:
            changes = yield from _compare(before, content)
            self.content = content
            if changes:
                yield from self._add(changes, now)
        self._snapshot = snapshot

    def find(self, csn: Csn) -> Csn | None:
        """Find this log's own CSN for the content that a replica has.

        :param csn: the replica's CSN.  The CSN is from this log, or from another gateway that has had the same content.
        :returns: the CSN, or None if this log lacks changes that were made after the replica's content.
        """
        own = csn if csn in self._csns and csn >= self._floor else self._latest.get(csn.state)
        return own if own is not None and own >= self._floor else None

    def changes_after(self, csn: Csn) -> list[Change]:
        """Return the last change of each entry that changed after a CSN of this log (`find`), in any order."""
        found: list[Change] = []
        for change in reversed(self._changes.values()):
            if change.csn <= csn:
                break
            found.append(change)
        return found

    def renew(self, now: float, above: Csn) -> Csn:
        """Give the content a new CSN, and return this CSN.

        :param above: a CSN that a replica has; the new CSN is later, and also later than all earlier CSNs of the log.
        """
        self.csn = self._next(now, above)
        return self.csn

    def _next(self, now: float, above: Csn) -> Csn:
        csn = _later(now, max(self.csn.microseconds, above.microseconds), self._digest)
        self._csns[csn] = None
        self._latest[csn.state] = csn
        if len(self._csns) > _MAX_CSNS:
            oldest = next(iter(self._csns))
            del self._csns[oldest]
            if self._latest[oldest.state] == oldest:
                del self._latest[oldest.state]
        return csn

    def _begin(self, content: ReplicaContent, now: float) -> Iterator[None]:
        context = content.encoding.context
        # The replicated values depend on the entries and on these settings.
        settings = f"{context.number_format} {context.region} {context.outside_line} {self._access.extra_values}"
        digest = digest_of(_FORMAT, settings.encode())
        for count, entry in enumerate(content.entries()):
            digest += entry.digest()
            if count % SLICE == SLICE - 1:
                yield
        self._digest = digest & _MASK
        self._changes = {}
        self.csn = self._floor = self._next(now, self.csn)
        self.content = content

    def _add(self, changes: list[_Difference], now: float) -> Iterator[None]:
        digest = self._digest
        for count, (_, before, after) in enumerate(changes):
            digest -= 0 if before is None else before.digest()
            digest += 0 if after is None else after.digest()
            if count % SLICE == SLICE - 1:
                yield
        digest &= _MASK
        logged: dict[bytes, Change] = {}
        began_at: Csn | None = None
        while began_at != self.csn:  # between two slices, a replica may have got a new CSN (`renew`)
            began_at = self.csn
            logged = yield from self._log(changes, _later(now, began_at.microseconds, digest))
        # The lines below do not yield, because replicas must see all changes of a snapshot, or none.
        self._digest = digest
        self.csn = self._next(now, self.csn)
        if logged:
            former = [self._changes.pop(entry_uuid, None) for entry_uuid in logged]
            self._changes |= logged
            for entry_uuid in [*islice(self._changes, max(0, len(self._changes) - MAX_CHANGES))]:
                oldest = self._changes.pop(entry_uuid)
                self._floor = oldest.csn
                former.append(oldest)
        else:
            former = [*self._changes.values()]
            self._changes, self._floor = {}, self.csn
        del logged
        while changes or former:  # it takes 0.1 s to free the entries of 100,000 changes
            del changes[-SLICE:], former[-SLICE:]
            yield

    def _log(self, changes: list[_Difference], csn: Csn) -> Generator[None, None, dict[bytes, Change]]:
        """Return the log's record of each changed entry, by entryUUID, or nothing if there are too many changes.

        :param csn: the CSN of the new records.
        """
        logged: dict[bytes, Change] = {}
        if len(changes) > MAX_CHANGES:
            return logged
        for count, (entry_uuid, before, after) in enumerate(changes):
            former = self._changes.get(entry_uuid)
            if after is None:
                assert before is not None  # the entry was deleted, so there was an entry before
                logged[entry_uuid] = Change(csn, before, is_deleted=True, added_at=csn)
            else:
                added_at = csn if before is None else Csn(0, 0) if former is None else former.added_at
                logged[entry_uuid] = Change(csn, after, is_deleted=False, added_at=added_at)
            if count % SLICE == SLICE - 1:
                yield
        return logged


class ChangeLogs:
    """The change logs of the replicas that have connected since the gateway started."""

    __slots__ = ("_logs", "_now", "_snapshot")

    def __init__(self, snapshot: Callable[[], Snapshot], now: Callable[[], float]) -> None:
        self._snapshot = snapshot
        self._now = now
        self._logs: dict[ReplicaAccess, ChangeLog] = {}

    def __bool__(self) -> bool:
        return bool(self._logs)

    def open(self, access: ReplicaAccess) -> ChangeLog | None:
        """Return the log of a replica; a new log has no content until the next `catch_up`.

        :returns: the log, or None if the gateway has not read all contacts since its start, or has no directory of the
            tenant.
        """
        snapshot = self._snapshot()
        directory = snapshot.dit.directory(access.tenant)
        is_current = snapshot.loaded and snapshot.freshness is Freshness.CURRENT
        if not is_current or directory is None:
            return None
        log = self._logs.get(access)
        if log is None:
            log = self._logs[access] = ChangeLog(access, directory.context.base)
        return log

    def catch_up(self) -> Iterator[None]:
        """Bring all logs up to the current snapshot; drop the logs of replicas whose logins are gone."""
        snapshot = self._snapshot()
        used = {login.viewer.replica for login in snapshot.logins.values() if login.viewer.replica is not None}
        for access in tuple(self._logs):
            if access not in used:
                del self._logs[access]
                continue
            yield from self._logs[access].advance(snapshot, self._now())

    def renew(self, log: ChangeLog, above: Csn) -> Csn:
        """Give the content of a log a new CSN (`ChangeLog.renew`)."""
        return log.renew(self._now(), above)

    def is_future(self, csn: Csn) -> bool:
        """Return whether a CSN is more than a day in the future, which means that the clock of a gateway is wrong."""
        return csn.microseconds > int((self._now() + 86400.0) * _MICROSECONDS)


# --- the content of a replica -----------------------------------------------------------------------------------------


def _read(
    directory: Directory, logins: Mapping[str, PhoneAccess], access: ReplicaAccess, before: ReplicaContent | None
) -> Generator[None, None, ReplicaContent]:
    """Read the content of a tenant's directory; unchanged containers and logins stay the same objects."""
    containers = _Containers(before)
    tenant = tenant_entry(directory.context)
    containers.add(ContainerEntry(tenant, _TENANT, b""))
    segments: list[Segment] = []
    for count, book in enumerate(directory.books):
        if count % _BOOKS_IN_SLICE == 0:
            yield
        for branch, has_contacts, sharing in access.branches_of(book):
            kind = _BOOK if branch is book else _LABEL
            is_new = containers.add(ContainerEntry(branch.container, kind, sharing.encode()))
            if has_contacts and is_new:
                segments += branch.segments.contacts
    base = directory.context.base
    logins_dn = octets_of(str(base.child("ou", "phones")))
    containers.add(LoginEntry(tenant, access.tenant, logins_dn, None, ()))
    others = containers.ordered()
    phones: dict[str, LoginEntry] = {}
    for count, (name, login) in enumerate(logins.items()):
        if count % SLICE == 0:
            yield
        viewed = next((granted for granted in login.viewer.access if granted.tenant == access.tenant), None)
        if viewed is None:
            continue
        books = _own_books(directory, viewed) if access.private else ()
        former = before.logins.get(name) if before is not None else None
        if former is None or former.access is not login or former.books != books:
            former = LoginEntry(tenant, access.tenant, octets_of(str(phone_dn(login.name, base))), login, books)
        phones[name] = former
        others[former.entry_uuid()] = former
    return ReplicaContent(ReplicaEncoding(directory.context, access), others, phones, tuple(segments))


class _Containers:
    """The entries of containers; unchanged entries stay the same objects.

    Mutable: collects the entries.
    """

    __slots__ = ("_entries", "_former", "_names")

    def __init__(self, before: ReplicaContent | None) -> None:
        self._former = before.others if before is not None else {}
        self._entries: dict[bytes, ReplicaEntry] = {}
        self._names: set[bytes] = set()

    def add(self, entry: ReplicaEntry) -> bool:
        """Add an entry, unless an entry with the same DN was added before.

        Two books may have the same DN, because two accounts may have the same address.

        :returns: whether the entry was added.
        """
        name = entry.dn().lower()
        if name in self._names:
            return False
        self._names.add(name)
        entry_uuid = entry.entry_uuid()
        former = self._former.get(entry_uuid)
        self._entries[entry_uuid] = former if former is not None and former.digest() == entry.digest() else entry
        return True

    def ordered(self) -> dict[bytes, ReplicaEntry]:
        """Return the entries by UUID, parents first."""
        return dict(sorted(self._entries.items(), key=lambda item: item[1].depth))


def _own_books(directory: Directory, viewed: Access) -> tuple[bytes, ...]:
    """Return the DNs of a viewer's own books, and of books that are shared with a group of the viewer."""
    own, groups = directory.own_books(viewed), directory.viewer(viewed).group_branches(directory.books)
    containers = [branch.container for branch in (*own, *groups)]
    return tuple(dict.fromkeys(octets_of(container.dn) for container in containers))


def _later(now: float, microseconds: int, digest: int) -> Csn:
    """Return a new CSN of the present time.

    If an earlier CSN has the present time or a later time, the new CSN is one microsecond later than the earlier CSN.

    :param microseconds: the time of the earlier CSN, or the latest time of several earlier CSNs.
    """
    return Csn(max(int(now * _MICROSECONDS), microseconds + 1), digest)


# --- changes ----------------------------------------------------------------------------------------------------------


def _compare(before: ReplicaContent, after: ReplicaContent) -> Generator[None, None, list[_Difference]]:
    """Find the entries that differ between two contents."""
    first, second = before.others, after.others
    old = {entry_uuid: entry for entry_uuid, entry in first.items() if second.get(entry_uuid) is not entry}
    new = {entry_uuid: entry for entry_uuid, entry in second.items() if first.get(entry_uuid) is not entry}
    yield
    removed = yield from _only_in(before.segments, after.segments)
    added = yield from _only_in(after.segments, before.segments)
    for where, found, others in ((old, removed, added), (new, added, removed)):
        for count, (key, entry) in enumerate(found.items()):
            if key not in others:
                contact = ReplicaEntry(entry)
                where[contact.entry_uuid()] = contact
            if count % SLICE == SLICE - 1:
                yield
    changes: list[_Difference] = []
    for count, (entry_uuid, former) in enumerate(old.items()):
        present = new.pop(entry_uuid, None)
        if present is None or former.digest() != present.digest():
            changes.append((entry_uuid, former, present))
        if count % SLICE == SLICE - 1:
            yield
    for count, (entry_uuid, present) in enumerate(new.items()):
        changes.append((entry_uuid, None, present))
        if count % SLICE == SLICE - 1:
            yield
    return changes


def _only_in(segments: Iterable[Segment], others: Iterable[Segment]) -> Generator[None, None, dict[int, Entry]]:
    """Find the entries that are in some segments, but are missing or marked as deleted in other segments.

    :returns: the entries by their identity (``id``).
    """
    by_entries = {id(segment.entries): segment for segment in others}
    found: dict[int, Entry] = {}
    for segment in segments:
        other = by_entries.get(id(segment.entries))
        if other is segment or (other is not None and other.deleted == segment.deleted):
            continue
        gone = other.deleted if other is not None else b""
        for document, entry in enumerate(segment.entries):
            if document % (SLICE * 4) == 0:
                yield
            is_here = not (segment.deleted and segment.deleted[document])
            if is_here and (other is None or (gone and gone[document])):
                found[id(entry)] = entry
    return found


def ordered(changes: Iterable[Change]) -> tuple[list[Change], list[Change]]:
    """Return the deletions with children first, and the other changes with parents first, for a replica to apply."""
    deleted = [change for change in changes if change.is_deleted]
    stored = [change for change in changes if not change.is_deleted]
    deleted.sort(key=lambda change: -change.entry.depth)
    stored.sort(key=lambda change: change.entry.depth)
    return deleted, stored
