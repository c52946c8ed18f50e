# SPDX-License-Identifier: MIT
"""A shelf: resources by name, with the order of their changes, so that a list can be paged and followed.

Every change takes the next revision, and records stand in the order of their revisions.  A page goes on behind the
revision of its last record: a person changed meanwhile comes again on a later page, and nobody is missed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Resource = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ResourceRecord:
    """A resource at its latest revision.

    :ivar resource: complete, or what is left of it once it is `deleted`.
    :ivar previous: its former names; told by incremental lists only.
    """

    revision: int
    resource: Resource
    deleted: bool = False
    previous: tuple[str, ...] = ()


class ResourceStore:
    """Resources of one kind: persons of a source, or contact groups.  Mutable; the resources in it are not."""

    def __init__(self) -> None:
        self.revision = 0
        self._records: dict[str, ResourceRecord] = {}

    def __len__(self) -> int:
        return sum(not record.deleted for record in self._records.values())

    def __iter__(self) -> Iterator[Resource]:
        return (record.resource for record in self._records.values() if not record.deleted)

    def get(self, name: str) -> Resource | None:
        """A living resource by its name."""
        record = self._records.get(name)
        return record.resource if record and not record.deleted else None

    def put(self, resource: Resource, *, previous: tuple[str, ...] = ()) -> None:
        """Add a resource, or replace the one of the same name; `previous` ones vanish without a trace."""
        for name in previous:
            self._records.pop(name, None)
        self._store(ResourceRecord(self.revision + 1, resource, previous=previous))

    def delete(self, tombstone: Resource) -> None:
        """Delete a resource; `tombstone` is what an incremental list says of it."""
        self._store(ResourceRecord(self.revision + 1, tombstone, deleted=True))

    def after(self, revision: int, *, deleted: bool) -> Iterator[ResourceRecord]:
        """Records changed after a revision, oldest change first.

        :param deleted: with the deleted ones.
        """
        return (r for r in self._records.values() if r.revision > revision and (deleted or not r.deleted))

    def _store(self, record: ResourceRecord) -> None:
        name = record.resource["resourceName"]
        self._records.pop(name, None)
        self._records[name] = record
        self.revision = record.revision
