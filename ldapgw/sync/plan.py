# SPDX-License-Identifier: MIT
"""The plan of a sync: the persons to add, change and delete.

The functions are pure.  `ldapgw.sync.fetched_page` converts the persons of a listing to records.

`ldapgw.sync.apply` writes a plan in one transaction.  A full sync deletes every person that is not listed.  An
incremental sync changes only listed persons.  A full listing with fewer persons than Google's total is *incomplete*:
the listing may lack persons who still exist, or Google's total may be wrong.  So an incomplete listing deletes a person
only if the previous full listing lacked the person too.

A plan contains indexes into the listing, not persons; the persons are read again when the plan is applied.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import msgspec

from ldapgw.contact import Source
from ldapgw.store.contact_record import ContactRecord
from ldapgw.store.contacts import RecordSummary
from ldapgw.store.sync_history import NO_FIGURES, SyncFigures
from ldapgw.sync.fetched_page import FetchedPerson

# If a book of at least this many contacts loses more than half of its contacts, a fault is more likely than the user's
# intent.
SHRINK_CHECK_MINIMUM = 20


@dataclass(frozen=True, slots=True, repr=False)
class SyncPlan:
    """The changes of one source.

    :ivar stored_uids: the uids under which new and changed persons are stored, by the person's index in the listing.
    :ivar missing_uids: uids of stored persons that an incomplete listing lacks for the first time.
    :ivar served_count: the number of served contacts before a full sync.
    :ivar lost_count: the number of these contacts that a full sync removes.
    :ivar listed_count: the number of different persons in the listing of a full sync.
    :ivar figures: the numbers of served contacts that the plan adds, changes and removes, for the history of syncs.
    """

    source: Source
    stored_uids: Mapping[int, str] = field(default_factory=dict)
    deleted_uids: tuple[str, ...] = ()
    missing_uids: tuple[str, ...] = ()
    served_count: int = 0
    lost_count: int = 0
    listed_count: int = 0
    figures: SyncFigures = field(default=NO_FIGURES, compare=False)

    @property
    def is_empty(self) -> bool:
        """Return whether the plan stores and deletes nothing."""
        return not self.stored_uids and not self.deleted_uids

    @property
    def is_suspicious(self) -> bool:
        """Return whether so many contacts would vanish that a person has to accept the loss first."""
        return is_suspicious(self.served_count, self.lost_count)


class _ListedPerson(msgspec.Struct, frozen=True, gc=False):
    """A person's index in the listing, and the summary of the person's record in the listing."""

    index: int
    summary: RecordSummary


def is_suspicious(before: int, lost: int) -> bool:
    """Return whether the loss of `lost` out of `before` contacts is more likely a fault than the user's intent."""
    return before >= SHRINK_CHECK_MINIMUM and lost * 2 > before


def make_plan(
    source: Source,
    stored: Mapping[str, RecordSummary],
    persons: Iterable[FetchedPerson],
    *,
    full: bool,
    total: int = 0,
    is_query_changed: bool = False,
) -> SyncPlan:
    """Compare the stored persons of a source with a listing.

    :param stored: summaries by uid; for an incremental sync, at least the summaries of the persons in the listing.
    :param persons: the listing, in Google's order; of a person listed twice, the last occurrence counts.
    :param total: the number of persons in a full listing by Google's count, or 0 if Google does not say.
    :param is_query_changed: whether another configuration was used for the last sync.  If so, a listed person who is no
        longer served does not count as lost, because the new configuration excludes the person on purpose.
    """
    listed: dict[str, _ListedPerson] = {}
    deleted: dict[str, None] = {}
    # A listing may report a stored person without the stored uid.  For example, the stored uid is A, and Google has
    # changed the uid to B since the last sync.  If the person is deleted afterwards, the listing mentions only B.  If
    # the uid changes again, from B to C, the listing mentions only B and C.  In both cases, the source id still
    # identifies the person.
    source_ids: set[str] = set()
    seen_uids: set[str] = set()
    without_uid = 0
    for index, person in enumerate(persons):
        source_ids.add(person.source_id)
        for uid in (*person.previous_uids, *([] if person.record else [person.uid])):
            listed.pop(uid, None)
            deleted[uid] = None
        if person.record is not None:
            uid = person.uid
            if not uid:  # a person without a uid counts too
                uid = f"?{without_uid}"
                without_uid += 1
            summary = RecordSummary(person.source_id, person.record.digest, is_served=person.record.content is not None)
            seen_uids.add(uid)
            listed[uid] = _ListedPerson(index, summary)
            deleted.pop(uid, None)
    source_ids.discard("")
    unlisted = {uid: summary for uid, summary in stored.items() if uid not in listed and uid not in deleted}
    is_incomplete = full and len(seen_uids) < total
    if is_incomplete and not seen_uids and sum(kept.is_served for kept in stored.values()) < SHRINK_CHECK_MINIMUM:
        # Google counts persons but lists no person, so nothing is deleted from a small book.  From a larger book, all
        # persons would be deleted, so somebody has to accept the deletion.
        return SyncPlan(source)
    # An incomplete listing does not prove the deletion of persons whom the previous listing had.
    protected = {
        uid
        for uid, summary in unlisted.items()
        if is_incomplete and seen_uids and summary.source_id not in source_ids and summary.missed_at is None
    }
    for uid, summary in unlisted.items():
        if (full and uid not in protected) or summary.source_id in source_ids:
            deleted[uid] = None
    changed = {uid: person for uid, person in listed.items() if stored.get(uid) != person.summary}
    deleted_uids = tuple(uid for uid in deleted if uid in stored)
    served_count, lost_count = _losses(stored, listed, protected, is_query_changed=is_query_changed) if full else (0, 0)
    return SyncPlan(
        source,
        stored_uids={person.index: uid for uid, person in changed.items()},
        deleted_uids=deleted_uids,
        missing_uids=tuple(uid for uid in stored if uid in protected),
        served_count=served_count,
        lost_count=lost_count,
        listed_count=len(seen_uids) if full else 0,
        figures=_figures(stored, changed, deleted_uids),
    )


def planned_records(plan: SyncPlan, persons: Iterable[FetchedPerson]) -> Iterator[ContactRecord]:
    """Iterate over the records that a plan stores.

    :param persons: the listing that the plan was made from.
    """
    for index, person in enumerate(persons):
        uid = plan.stored_uids.get(index)
        if uid is not None and person.record is not None:
            yield person.record if person.uid else msgspec.structs.replace(person.record, uid=uid)


def _figures(
    stored: Mapping[str, RecordSummary], changed: Mapping[str, _ListedPerson], deleted_uids: Collection[str]
) -> SyncFigures:
    """Count the served contacts that a plan adds, changes and removes.

    A contact that is newly skipped counts as removed.
    """
    added = kept = skipped = removed = 0
    for uid, person in changed.items():
        was_served = uid in stored and stored[uid].is_served
        if person.summary.is_served:
            kept += was_served
            added += not was_served
        else:
            skipped += 1
            removed += was_served
    removed += sum(stored[uid].is_served for uid in deleted_uids)
    return SyncFigures(added, kept, removed, skipped)


def _losses(
    stored: Mapping[str, RecordSummary],
    listed: Mapping[str, _ListedPerson],
    protected: Collection[str],
    *,
    is_query_changed: bool,
) -> tuple[int, int]:
    """Count the served contacts, and the served contacts that would no longer be served under any uid."""
    served = {uid: summary for uid, summary in stored.items() if summary.is_served}
    kept = {uid: person.summary for uid, person in listed.items() if person.summary.is_served or is_query_changed}
    kept_ids = {summary.source_id for summary in kept.values() if summary.source_id}
    lost = sum(
        summary.source_id not in kept_ids and uid not in protected and uid not in kept
        for uid, summary in served.items()
    )
    return len(served), lost
