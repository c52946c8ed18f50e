# SPDX-License-Identifier: MIT
"""What a sync of one source will change, as a value: decided here, done elsewhere, in one transaction.

A full sync marks and sweeps: what was not seen is gone.  An incremental one changes what it was told of, nothing else.
A full listing that holds fewer than Google itself counts takes away only whom an earlier one lacked too, a day ago or
more: such listings leave out persons who are still there.
A plan holds places in the listing, not persons: those are read again when it is carried out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import msgspec

from ldapgw.contact import Source
from ldapgw.errors import BadResponse
from ldapgw.store.contacts import ContactRecord, RecordSummary
from ldapgw.sync.records import FetchedPerson

# A book that loses more than half of this many contacts or more is likelier a fault than a wish.
SHRINK_CHECK_MINIMUM = 20
# A full listing that holds less than this part of Google's own total was cut; reports speak of one in fifty missing.
MIN_LISTED_RATIO = 0.9
# Two listings that lack somebody count as two when so many seconds lie between them.
MISSING_GRACE_SECONDS = 86400.0


@dataclass(frozen=True, slots=True, repr=False)
class SyncPlan:
    """The change of one source.

    :ivar stored: of persons that are new or different: their places in the listing, and the uids to store them under.
    :ivar gone: uids to delete.
    :ivar missed: uids that a listing which is not whole lacks, and no such listing before it did.
    :ivar before: of a full sync: contacts that were served.
    :ivar lost: of a full sync: how many of these would be served no more.
    """

    source: Source
    stored_uids: Mapping[int, str] = field(default_factory=dict)
    deleted_uids: tuple[str, ...] = ()
    missing_uids: tuple[str, ...] = ()
    served_count: int = 0
    lost_count: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing changes."""
        return not self.stored_uids and not self.deleted_uids

    @property
    def is_suspicious(self) -> bool:
        """Whether so much would vanish that a person has to accept it first."""
        return is_suspicious(self.served_count, self.lost_count)


class _ListedPerson(msgspec.Struct, frozen=True, gc=False):
    """Where a person stands in the listing, and what is to be stored there."""

    index: int
    summary: RecordSummary


def is_suspicious(before: int, lost: int) -> bool:
    """Whether losing so many of so many contacts is likelier a fault than a wish."""
    return before >= SHRINK_CHECK_MINIMUM and lost * 2 > before


def is_truncated(persons: int, total: int) -> bool:
    """Whether a full listing holds so few of the persons that Google counts that nothing is to be taken of it."""
    return persons < total * MIN_LISTED_RATIO


def make_plan(
    source: Source,
    stored: Mapping[str, RecordSummary],
    persons: Iterable[FetchedPerson],
    *,
    full: bool,
    total: int = 0,
    now: float = 0.0,
) -> SyncPlan:
    """Compare what is stored with what Google said.

    :param stored: by uid; for an incremental sync, at least the persons that `items` speak of.
    :param items: in Google's order; of a person that comes twice, the last counts.
    :param total: of a full listing: how many persons Google counts; 0 where it does not say.
    :param now: seconds since the epoch.
    :raises BadResponse: when a full listing holds far fewer, each counted once.
    """
    found: dict[str, _ListedPerson] = {}
    gone: dict[str, None] = {}
    # One who got a new name and then went, or got another, was never heard of under the name that is stored.
    known_as: set[str] = set()
    heard_of: set[str] = set()
    nameless = 0
    for at, item in enumerate(persons):
        known_as.add(item.source_id)
        for uid in (*item.previous_uids, *([] if item.record else [item.uid])):
            found.pop(uid, None)
            gone[uid] = None
        if item.record is not None:
            uid = item.uid
            if not uid:  # a person without an id is counted all the same
                uid = f"?{nameless}"
                nameless += 1
            mark = RecordSummary(item.source_id, item.record.digest, is_served=item.record.content is not None)
            heard_of.add(uid)
            found[uid] = _ListedPerson(at, mark)
            gone.pop(uid, None)
    known_as.discard("")
    if full and is_truncated(len(heard_of), total):
        raise BadResponse("the listing is shorter than its total")
    unseen = {uid: mark for uid, mark in stored.items() if uid not in found and uid not in gone}
    spared = _protected_uids(unseen, known_as, now) if full and len(heard_of) < total else frozenset()
    for uid, mark in unseen.items():
        if (full and uid not in spared) or mark.source_id in known_as:
            gone[uid] = None
    before, lost = _losses(stored, found, spared) if full else (0, 0)
    return SyncPlan(
        source,
        stored_uids={heard.index: uid for uid, heard in found.items() if stored.get(uid) != heard.summary},
        deleted_uids=tuple(uid for uid in gone if uid in stored),
        missing_uids=tuple(uid for uid in stored if uid in spared and stored[uid].missed_at is None),
        served_count=before,
        lost_count=lost,
    )


def planned_records(plan: SyncPlan, persons: Iterable[FetchedPerson]) -> Iterator[ContactRecord]:
    """What a plan stores, read out of the listing that it was made of."""
    for at, item in enumerate(persons):
        uid = plan.stored_uids.get(at)
        if uid is not None and item.record is not None:
            yield item.record if item.uid else msgspec.structs.replace(item.record, uid=uid)


def _protected_uids(unseen: Mapping[str, RecordSummary], known_as: Collection[str], now: float) -> frozenset[str]:
    """Who is not gone, though a listing that is not whole lacks them.

    :param known_as: persons who have another uid now, or were said to be gone.
    """
    return frozenset(
        uid
        for uid, mark in unseen.items()
        # A clock that was ahead does not make it longer.
        if mark.source_id not in known_as
        and (mark.missed_at is None or 0 <= now - mark.missed_at < MISSING_GRACE_SECONDS)
    )


def _losses(
    stored: Mapping[str, RecordSummary], found: Mapping[str, _ListedPerson], spared: Collection[str]
) -> tuple[int, int]:
    """How many contacts were served, and how many of them would be no more, under no name."""
    served = {uid: mark for uid, mark in stored.items() if mark.is_served}
    kept = {heard.summary.source_id for heard in found.values() if heard.summary.is_served and heard.summary.source_id}
    lost = sum(
        mark.source_id not in kept and uid not in spared and not (uid in found and found[uid].summary.is_served)
        for uid, mark in served.items()
    )
    return len(served), lost
