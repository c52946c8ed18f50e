# SPDX-License-Identifier: MIT
"""What a sync of one source will change, as a value: decided here, done elsewhere, in one transaction.

A full sync marks and sweeps: what was not seen is gone.  An incremental one changes what it was told of, nothing else.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import count

from ldapgw.contact import Source
from ldapgw.google.person import Reading
from ldapgw.store.contacts import Record

# A book that loses more than half of this many contacts or more is likelier a fault than a wish.
GUARDED_FROM = 20


@dataclass(frozen=True, slots=True, repr=False)
class Plan:
    """The change of one source.

    :ivar stored: persons that are new or different.
    :ivar gone: uids to delete.
    :ivar before: of a full sync: contacts that were served.
    :ivar lost: of a full sync: how many of these would be served no more.
    """

    source: Source
    stored: tuple[Record, ...] = ()
    gone: tuple[str, ...] = ()
    before: int = 0
    lost: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing changes."""
        return not self.stored and not self.gone

    @property
    def is_suspicious(self) -> bool:
        """Whether so much would vanish that a person has to accept it first."""
        return self.before >= GUARDED_FROM and self.lost * 2 > self.before


def make_plan(
    source: Source,
    stored: Mapping[str, Record],
    readings: Collection[Reading],
    *,
    full: bool,
    labels: Collection[str] | None = None,
) -> Plan:
    """Compare what is stored with what Google said.

    :param stored: by uid; for an incremental sync, at least the persons that `readings` speak of.
    :param readings: in Google's order; of a person that comes twice, the last counts.
    :param labels: resource names, one of which a contact needs to be served; None: all are.
    """
    found: dict[str, Record] = {}
    gone: dict[str, None] = {}
    nameless = count()
    for reading in readings:
        for uid in (*reading.previous_uids, *([reading.uid] if reading.deleted else [])):
            found.pop(uid, None)
            gone[uid] = None
        if not reading.deleted:
            uid = reading.uid or f"?{next(nameless)}"  # a person without an id is counted all the same
            found[uid] = _record(reading, uid, labels)
            gone.pop(uid, None)
    # One who got a new name and then went, or got another, was never heard of under the name that is stored.
    known_as = {record.source_id for record in found.values()} | {one.source_id for one in readings if one.deleted}
    for uid, record in stored.items():
        if uid not in found and (full or (record.source_id and record.source_id in known_as)):
            gone[uid] = None
    served = [record for record in stored.values() if record.contact is not None] if full else []
    kept = {record.source_id for record in found.values() if record.contact is not None and record.source_id}
    return Plan(
        source,
        stored=tuple(record for uid, record in found.items() if stored.get(uid) != record),
        gone=tuple(uid for uid in gone if uid in stored),
        before=len(served),
        lost=sum(record.source_id not in kept and not _serves(found.get(record.uid)) for record in served),
    )


def _serves(record: Record | None) -> bool:
    return record is not None and record.contact is not None


def _record(reading: Reading, uid: str, labels: Collection[str] | None) -> Record:
    contact, skipped = reading.contact, reading.skipped
    if contact is not None and labels is not None and not set(contact.labels) & set(labels):
        contact, skipped = None, "label"
    return Record(uid, reading.source_id, contact, skipped, reading.unreadable_numbers)
