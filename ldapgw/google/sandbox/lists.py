# SPDX-License-Identifier: MIT
"""Lists of resources in the order of their changes, and the page tokens and sync tokens that mark positions in a list.

Every change of a resource gets the next revision, and records are sorted by revision.  A page begins after the revision
of the last record of the previous page.  So a person who changes meanwhile is repeated on a later page, and no person
is missed.

A token is a signed position, so that the sandbox need not store the token and a client cannot forge a token.  Google
accepts a token only for calls with the same parameters as the call that returned the token.  So a token contains a
fingerprint of the call's account, method and parameters.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass
from typing import Any

# --- resources --------------------------------------------------------------------------------------------------------

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


# --- tokens -----------------------------------------------------------------------------------------------------------

_MAC_LENGTH = 12


@dataclass(frozen=True, slots=True)
class ListToken:
    """A position in a list.

    :ivar kind: ``page`` or ``sync``.
    :ivar call: fingerprint of account, method and parameters.
    :ivar generation: the account's generation of sync tokens; tokens of earlier generations have expired.
    :ivar full_at: the beginning of the full sync from which the token descends.
    :ivar issued_at: the time at which the token was issued.
    :ivar base: the revision at the beginning of this sync, after which the next sync starts.
    :ivar position: the revision of the last record returned.
    :ivar incremental: whether the list contains deleted records and no totals.
    """

    kind: str
    call: str
    generation: int
    full_at: float
    issued_at: float
    base: int
    position: int
    incremental: bool

    def seal(self, key: bytes) -> str:
        """Return the token as text, signed with the key."""
        content = json.dumps(astuple(self), separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(_mac(key, content) + content).decode()


def unseal(token: str, key: bytes) -> ListToken | None:
    """Return the content of a token, or None if the signature does not match."""
    try:
        octets = base64.urlsafe_b64decode(token.encode())
    except ValueError:
        return None
    mac, content = octets[:_MAC_LENGTH], octets[_MAC_LENGTH:]
    if not hmac.compare_digest(mac, _mac(key, content)):
        return None
    return ListToken(*json.loads(content))


def _mac(key: bytes, content: bytes) -> bytes:
    return hmac.digest(key, content, hashlib.sha256)[:_MAC_LENGTH]
