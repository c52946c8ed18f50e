# SPDX-License-Identifier: MIT
"""Snapshots that change under a replica, and a model of the replica: what it holds if it obeys RFC 4533."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from ldapgw.ber import ENUMERATED, OCTET_STRING, SEQUENCE, SET, BerReader
from ldapgw.contact import Contact, Kind, Phone, Sharing
from ldapgw.directory.access import Access, ReplicaAccess, Viewer
from ldapgw.directory.book import Book, build_book, with_sharing
from ldapgw.directory.catalog import PhoneAccess, Snapshot
from ldapgw.directory.dit import Directory, Dit
from ldapgw.directory.dn import Dn
from ldapgw.directory.naming_context import NamingContext, phone_dn, replica_dn
from ldapgw.directory.special_entries import Features
from ldapgw.ldap.replication.change_log import ChangeLogs
from ldapgw.ldap.replication.provider import SYNC_DONE, SYNC_STATE, SyncState
from ldapgw.numbers.phone_number import parse
from tests.support import pdu
from tests.support.phonebook.trees import changed_book
from tests.support.phonebook.wire import CONTEXT

HASH = "ssha256$" + "00" * 16 + "$" + "11" * 32
FEATURES = Features("1")


def contact(number: int, name: str = "", **changes: object) -> Contact:
    made = Contact(
        uid=f"c{number}",
        source_id=f"s{number}",
        name=name or f"User {number:05}",
        phones=(Phone(Kind.WORK, parse(f"+4930{1_000_000 + number}", "DE")),),
    )
    return replace(made, **changes)


def book(key: str, sharing: Sharing, made: Iterable[Contact], labels: Mapping[str, str] | None = None) -> Book:
    return build_book(CONTEXT, key, f"{key}@acme.example", sharing, made, labels or {}, per_number=False)


def phone(name: str, own_book: str = "", password: str = HASH) -> PhoneAccess:
    dn = phone_dn(name, CONTEXT.base)
    return PhoneAccess(name, password, Viewer(str(dn), (Access("acme", (own_book,) if own_book else ()),)))


def replica(name: str, access: ReplicaAccess) -> PhoneAccess:
    dn = replica_dn(name, CONTEXT.base)
    return PhoneAccess(name, HASH, Viewer(str(dn), replica=access))


SHARED, PRIVATE = ReplicaAccess("acme"), ReplicaAccess("acme", private=True)
BRANCH, VAULT = replica("branch", SHARED), replica("vault", PRIVATE)


@dataclass
class Site:
    """The published directories.

    :ivar now: seconds since the epoch.
    """

    books: dict[str, Book] = field(default_factory=dict)
    logins: dict[str, PhoneAccess] = field(default_factory=lambda: {"branch": BRANCH, "vault": VAULT})
    loaded: bool = True
    now: float = 1_790_000_000.0
    context: NamingContext = CONTEXT

    def __post_init__(self) -> None:
        self.publish()
        self.logs = ChangeLogs(lambda: self.snapshot, lambda: self.now)

    def publish(self) -> None:
        self.now += 1.0
        other = Directory(replace(CONTEXT, name="other", base=Dn.parse("dc=other")))
        directory = Directory(self.context, tuple(self.books.values()))
        self.snapshot = Snapshot(Dit((other, directory), FEATURES), dict(self.logins), self.loaded)

    def set(self, key: str, sharing: Sharing, made: Iterable[Contact], labels: Mapping[str, str] | None = None) -> None:
        """Have a book that is built anew."""
        self.books[key] = book(key, sharing, made, labels)
        self.publish()

    def change(self, key: str, stored: Collection[Contact], deleted: Collection[str] = ()) -> None:
        """Have a book with some contacts changed, which shares its other entries with the one before."""
        self.books[key] = changed_book(self.books[key], stored, deleted, context=CONTEXT)
        self.publish()

    def share(self, key: str, sharing: Sharing, label: str = "") -> None:
        self.books[key] = with_sharing(self.books[key], sharing, label)
        self.publish()

    def catch_up(self) -> int:
        """Have the logs catch up; how many slices that took."""
        return sum(1 for _ in self.logs.catch_up())


@dataclass
class Copy:
    """The copy of a replica: the attributes of each entry, by its UUID and with its DN.

    :ivar cookie: the last one; None: none.
    :ivar is_persistent: whether the refresh stage is over.
    """

    entries: dict[bytes, tuple[str, dict[str, tuple[bytes, ...]]]] = field(default_factory=dict)
    cookie: bytes | None = None
    is_persistent: bool = False
    _present: set[bytes] = field(default_factory=set)

    def take(self, responses: Iterable[pdu.Response]) -> list[str]:
        """Apply messages as RFC 4533 3.3 to 3.5 says; what came, in words."""
        return [self._take(response) for response in responses]

    def dns(self) -> list[str]:
        return sorted(dn for dn, _ in self.entries.values())

    def _take(self, response: pdu.Response) -> str:
        controls = dict(response.controls)
        if response.kind == 0x64:
            return self._entry(response, controls[SYNC_STATE])
        if response.kind == 0x79:
            return self._information(response.value or b"")
        if SYNC_DONE in controls:
            value = BerReader.over(controls[SYNC_DONE]).enter(SEQUENCE, "done")
            self.cookie = value.octets("cookie")
            self._end(refresh_deletes=bool(value) and value.boolean("refreshDeletes"))
        return f"done {response.code}"

    def _entry(self, response: pdu.Response, control: bytes) -> str:
        value = BerReader.over(control).enter(SEQUENCE, "state")
        state, uuid = SyncState(value.integer("state", ENUMERATED)), value.octets("uuid")
        attributes = dict(response.attributes)
        if state is SyncState.DELETE:
            assert not attributes
            del self.entries[uuid]
        else:
            [named] = attributes["entryUUID"]
            assert bytes.fromhex(named.decode().replace("-", "")) == uuid
            if self.is_persistent:
                assert (uuid in self.entries) is (state is SyncState.MODIFY)
            self._check_parent(response.dn)
            self._check_order(uuid, attributes)
            self.entries[uuid] = response.dn, attributes
        self._present.add(uuid)
        if value.peek() == OCTET_STRING:
            self.cookie = value.octets("cookie")
            return f"{state.name.lower()} with cookie"
        return state.name.lower()

    def _check_parent(self, dn: str) -> None:
        """Parents come before children."""
        parent = str(Dn.parse(dn).parent(1))
        assert dn == str(CONTEXT.base) or parent in {known for known, _ in self.entries.values()}, dn

    def _check_order(self, uuid: bytes, attributes: dict[str, tuple[bytes, ...]]) -> None:
        """OpenLDAP ignores an entry whose entryCSN is not later than that of its own."""
        if uuid in self.entries:
            _, before = self.entries[uuid]
            assert before["entryCSN"] < attributes["entryCSN"]

    def _information(self, value: bytes) -> str:
        tag, content = BerReader.over(value).inside("info")
        if tag == 0xA3:
            assert content.boolean("refreshDeletes")
            names = content.enter(SET, "syncUUIDs")
            count = 0
            while names:
                self.entries.pop(names.octets("uuid"), None)
                count += 1
            return f"{count} deleted"
        self.cookie = content.octets("cookie")
        self._end(refresh_deletes=tag == 0xA1)
        self.is_persistent = True
        return "delta" if tag == 0xA1 else "all"

    def _end(self, *, refresh_deletes: bool) -> None:
        if not refresh_deletes:
            self.entries = {uuid: entry for uuid, entry in self.entries.items() if uuid in self._present}
        self._present.clear()
