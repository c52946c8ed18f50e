# SPDX-License-Identifier: MIT
"""The resource store: resources by name, in the order of their changes, for paged and incremental lists.

Every change gets the next revision, and records are sorted by revision.  A page begins after the revision of the last
record of the previous page.  So a person who changes meanwhile is repeated on a later page, and no person is missed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Resource = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ResourceRecord:
    """A resource at its latest revision.

    :ivar resource: the resource, or its tombstone if `deleted` is true.
    :ivar previous: former names, which only incremental lists show.
    """

    revision: int
    resource: Resource
    deleted: bool = False
    previous: tuple[str, ...] = ()


class ResourceStore:
    """The resources of one kind: persons of a source, or contact groups.

    The store is mutable, and its resources are immutable.
    """

    def __init__(self) -> None:
        self.revision = 0
        self._records: dict[str, ResourceRecord] = {}

    def __len__(self) -> int:
        return sum(not record.deleted for record in self._records.values())

    def __iter__(self) -> Iterator[Resource]:
        return (record.resource for record in self._records.values() if not record.deleted)

    def get(self, name: str) -> Resource | None:
        """Return a resource by its name, or None if it is unknown or deleted."""
        record = self._records.get(name)
        return record.resource if record and not record.deleted else None

    def put(self, resource: Resource, *, previous: tuple[str, ...] = ()) -> None:
        """Add or replace a resource.

        :param previous: former names of the resource, which are removed without a tombstone.
        """
        for name in previous:
            self._records.pop(name, None)
        self._store(ResourceRecord(self.revision + 1, resource, previous=previous))

    def delete(self, tombstone: Resource) -> None:
        """Delete a resource; incremental lists show its `tombstone`."""
        self._store(ResourceRecord(self.revision + 1, tombstone, deleted=True))

    def after(self, revision: int, *, deleted: bool) -> Iterator[ResourceRecord]:
        """Return the records changed after a revision, the oldest change first.

        :param deleted: whether to include deleted records.
        """
        return (r for r in self._records.values() if r.revision > revision and (deleted or not r.deleted))

    def _store(self, record: ResourceRecord) -> None:
        name = record.resource["resourceName"]
        self._records.pop(name, None)
        self._records[name] = record
        self.revision = record.revision
