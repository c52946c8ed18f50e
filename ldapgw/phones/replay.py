# SPDX-License-Identifier: MIT
"""The replay of a recording: searches are repeated in the recorded entries or at a gateway, and results are compared.

`RecordedDirectory` is the directory that the recorded entries make.  A limit or a page may have cut a recorded answer.
The replay makes the search without the limit, and may find more entries than were recorded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from ldapgw.contact import Contact, Sharing
from ldapgw.directory.access import Access, Viewer
from ldapgw.directory.book import DIRECTORY, Book, assemble_book, assemble_label, book_parent, label_parent
from ldapgw.directory.dit import Directory, Dit
from ldapgw.directory.dn import Dn, InvalidDn, folded
from ldapgw.directory.entry import Entry
from ldapgw.directory.filter import SearchRequest
from ldapgw.directory.inet_org_person import EntryFactory, ParentEntry
from ldapgw.directory.name_folding import container_sort_key
from ldapgw.directory.naming_context import NamingContext
from ldapgw.directory.normalization import SWITCHBOARD_MARK
from ldapgw.directory.schema import NUMBER_TYPES
from ldapgw.directory.search import search
from ldapgw.directory.segment import Segments, empty_segments
from ldapgw.directory.special_entries import Features
from ldapgw.errors import DirectoryError, ResultCode
from ldapgw.numbers import Number
from ldapgw.numbers.phone_number import parse
from ldapgw.phones.recording import Difference, RecordedEntry, RecordedSearch, Recording

# The result code of a search (None if there was no answer), and the DNs of the entries.
Result = tuple[int | None, tuple[str, ...]]

_CALLERS = "callers"
_NUMBER_TYPES = {kind.name for kind in NUMBER_TYPES}
# The uid of an entry for one number of a contact ends in the number's position.
_POSITION = re.compile("-[0-9]+$")
# The name of an entry for one number ends in the kind of the number.
_KIND = re.compile(r" \([^()]*\)$")


def replay(recording: Recording, find: Callable[[SearchRequest], Result]) -> Iterator[tuple[int, Difference]]:
    """Repeat the searches that were made with a login.

    :param find: a function that makes a search with a login.
    :returns: the differences, each with the position of the search in the recording.
    """
    for at, recorded in enumerate(recording.searches):
        if recorded.is_bound:
            found = difference(recorded, *find(replace(recorded.request, size_limit=0, time_limit=0)))
            if found is not None:
                yield at, found


def difference(recorded: RecordedSearch, code: int | None, dns: tuple[str, ...]) -> Difference | None:
    """Compare a result with the recorded result; return None if nothing differs.

    A difference that the recording itself notes (`recorded.note`) does not count.
    """
    note = recorded.note or Difference((), (), recorded.code)
    before = {dn_key(dn): dn for dn in (*recorded.found, *note.surplus)}
    for dn in note.missing:
        before.pop(dn_key(dn), None)
    now = {dn_key(dn): dn for dn in dns}
    missing = tuple(dn for key, dn in before.items() if key not in now)
    surplus = tuple(dn for key, dn in now.items() if key not in before)
    if recorded.is_partial:
        return Difference(missing, (), code) if missing else None
    return Difference(missing, surplus, code) if missing or surplus or code != note.code else None


def dn_key(dn: str) -> str:
    """Return a key to compare DNs: the letters and digits of a DN, in lower case."""
    return "".join(filter(str.isalnum, dn.casefold()))


class RecordedDirectory:
    """The directory that the entries of a recording make, as the recorded phone sees it."""

    def __init__(self, recording: Recording) -> None:
        self._dit = Dit((directory_of(recording),), Features(""))
        access = Access(recording.context.name, tuple(_own_keys(recording).values()))
        self._viewer = Viewer(recording.login, (access,), recording.per_number)

    def find(self, request: SearchRequest) -> Result:
        """Search with the phone's login."""
        found: list[str] = []
        try:
            found += [entry.dn for entry in search(self._dit, self._viewer, request) if entry is not None]
        except DirectoryError as error:
            return error.code, tuple(found)
        return ResultCode.SUCCESS, tuple(found)


@dataclass(slots=True)
class _RecordedBook:
    """A book that is being built: its entries by uid, and for each label the uids of the entries with this label.

    The object is mutable.
    """

    name: str
    entries: dict[str, RecordedEntry] = field(default_factory=dict)
    labels: dict[str, tuple[str, set[str]]] = field(default_factory=dict)


def directory_of(recording: Recording) -> Directory:
    """Build the directory of a recording: its entries, and the containers that were found or were bases of searches."""
    context = recording.context
    books: dict[str, _RecordedBook] = {}
    callers = _RecordedBook(_CALLERS)

    def add(dn: str, entry: RecordedEntry | None = None) -> None:
        place = _place(dn, context.base)
        if place is None:
            return
        uid, ous = place
        if not ous:
            if entry is not None:
                callers.entries[uid] = entry
            return
        book = books.setdefault(folded(ous[0]), _RecordedBook(ous[0]))
        _, members = book.labels.setdefault(folded(ous[1]), (ous[1], set())) if len(ous) > 1 else ("", set())
        if entry is not None:
            book.entries[uid] = entry
            members.add(uid)

    for name in recording.own_books:
        add(str(context.base.child("ou", name)))
    for entry in recording.entries:
        add(entry.dn, entry)
    for recorded in recording.searches:
        for dn in recorded.found:
            add(dn)
        if recorded.code == ResultCode.SUCCESS:
            add(recorded.request.base)
    made = [_book(recording, _key(recording, book.name), book) for book in books.values()]
    return Directory(context, (*made, _book(recording, _CALLERS, callers)))


def _place(dn: str, base: Dn) -> tuple[str, tuple[str, ...]] | None:
    """Return the uid of an entry, and the names of its book and label; None if the DN is not below the base.

    The uid of a container is empty.  The entry of a caller has no uid, so the key of the whole DN stands
    in place of the uid.
    """
    try:
        name = Dn.parse(dn)
    except InvalidDn:
        return None
    depth = len(name.rdns) - len(base.rdns)
    if depth <= 0 or name.key[depth:] != base.key:
        return None
    (kind, value), *others = name.rdns[0]
    ous = tuple(rdn[0][1] for rdn in reversed(name.rdns[:depth]) if rdn[0][0] == "ou")
    if others:
        return dn_key(dn), ()
    return (value if kind == "uid" else ""), ous


def _key(recording: Recording, name: str) -> str:
    own = _own_keys(recording).get(folded(name))
    return own or (DIRECTORY if name == DIRECTORY else f"book {folded(name)}")


def _own_keys(recording: Recording) -> dict[str, str]:
    """Return the keys of the phone's own books by the folded names of the books."""
    return {folded(name): f"own {number}" for number, name in enumerate(recording.own_books)}


def _book(recording: Recording, key: str, recorded: _RecordedBook) -> Book:
    context = recording.context
    parent = book_parent(context, key, recorded.name)
    entries = {uid: _entry(context, parent, uid, entry) for uid, entry in recorded.entries.items()}
    book_sort_key = container_sort_key(recorded.name, parent.uuid_namespace)
    labels = []
    for label, uids in recorded.labels.values():
        parent_of_label = label_parent(parent, label)
        segments = _segments(recording, {uid: entries[uid].with_parent(parent_of_label) for uid in uids})
        labels.append(assemble_label(context, parent_of_label, book_sort_key, label, frozenset(), segments))
    labels.sort(key=lambda label: label.container.sort_key)
    is_own = key in _own_keys(recording).values()
    sharing = Sharing.PRIVATE if is_own else Sharing.CALLERS if key == _CALLERS else Sharing.SHARED
    segments = _segments(recording, entries)
    return assemble_book(context, parent, key, recorded.name, sharing, segments, labels, shared_label="")


def _number(value: str, context: NamingContext, switchboards: Iterable[str]) -> Number:
    number = parse(value, context.region) or Number(value)
    extensions = (start + SWITCHBOARD_MARK for start in switchboards if number.e164.startswith(start))
    return replace(number, others=(*number.others, *extensions))


def _segments(recording: Recording, entries: Mapping[str, Entry]) -> Segments:
    of_contacts: list[Entry] = []
    of_numbers: list[Entry] = []
    for uid, entry in entries.items():
        is_of_number = recording.per_number and _POSITION.search(uid) is not None
        (of_numbers if is_of_number else of_contacts).append(entry)
    return empty_segments(per_number=recording.per_number).updated((), of_contacts, of_numbers)


def _entry(context: NamingContext, parent: ParentEntry, uid: str, recorded: RecordedEntry) -> Entry:
    texts = {"cn": (uid,), **recorded.attributes, "uid": (uid,)}
    numbers = {
        name: {value: _number(value, context, recorded.switchboards) for value in texts.pop(name)}
        for name in _NUMBER_TYPES & texts.keys()
    }
    factory = EntryFactory(context, parent, per_number=False)
    name = _KIND.sub("", texts["cn"][0]) if _POSITION.search(uid) else texts["cn"][0]
    # A search in any name attribute finds a contact by all names of the contact (`inet_org_person.other_names`).
    return factory.make_entry(name, texts, numbers, (name,), Contact(uid), {})
