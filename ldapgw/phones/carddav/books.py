# SPDX-License-Identifier: MIT
"""Address books: the books that a login sees, their cards, and the versions of their contents.

A card has the name ``UID.vcf``.  The entity tag of a card is made from the same values as the card.  The version of a
book is made from the names and the tags of its cards.  So equal contents have equal tags and versions, even after a
restart or at another gateway.  A client's sync token (RFC 6578) contains the version that the client has.

`BookVersions` has the present version of each book, and the names of the cards that changed between the last versions.
The token of a forgotten version is refused.  The client then lists the book anew, and reads only the cards whose tags
have changed.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import chain
from typing import Any, Final, NamedTuple
from urllib.parse import quote, unquote

from twisted.internet.defer import Deferred, DeferredLock

from ldapgw.directory.access import BookAccess, SeenBook, Viewer
from ldapgw.directory.book import DIRECTORY, FAVOURITES, Book, Label
from ldapgw.directory.dit import Directory
from ldapgw.directory.dn import Dn, folded
from ldapgw.directory.entry import Entry, NumberFormatter
from ldapgw.directory.naming_context import NamingContext, at_site
from ldapgw.directory.segment import SearchScope
from ldapgw.phones.carddav.requests import DavRefusal, dav
from ldapgw.phones.vcards import Card, card_of_entry

# The version of the cards that are made from an entry.  After this number is raised, clients read all cards anew.
_FORMAT: Final = "1"
_SUFFIX: Final = ".vcf"
# The number of entries whose tags are made in one call off the reactor's thread.
_SLICE: Final = 2000
# For each book, at most `_MAX_VERSIONS` changes are remembered, with at most `_MAX_CHANGES` names in total.
_MAX_VERSIONS: Final = 64
_MAX_CHANGES: Final = 5000
# The maximum number of cards, in all books together, whose tags are kept.  A kept card takes some 200 octets.
_MAX_KEPT: Final = 200_000
# The maximum number of books whose versions are kept.
_MAX_BOOKS: Final = 10_000

# A sync token is a URI (RFC 6578 4): the scheme, then a version.  After an answer with only a part of the changes, the
# token has two more fields.  The fields are the version that the client had before, and the number of names that the
# client has got.
_URI_SCHEME: Final = "data:,"
_PART: Final = re.compile(r"([0-9a-f]{32})/((?:[0-9a-f]{32})?)/([0-9]{1,8})")

RunOffThread = Callable[[Callable[[], Any]], Deferred[Any]]


@dataclass(frozen=True, slots=True)
class AddressBook:
    """A book as one login sees the book.

    :ivar name: the name of the book's collection, which stays the same for as long as the account exists.
    :ivar title: the name of the book for people.
    :ivar branch: the part of the book that the login sees.
    :ivar formatter: formats numbers for the login, or None if the login uses the tenant's format.
    """

    name: str
    title: str
    seen: SeenBook
    branch: Book | Label
    context: NamingContext
    formatter: NumberFormatter | None

    @property
    def is_own(self) -> bool:
        return self.seen.access is BookAccess.OWN

    @property
    def base(self) -> Dn:
        """Return the DN of the branch, the base of a search over LDAP that would find the contacts of the book."""
        base = self.context.base.child("ou", self.seen.book.name)
        return base.child("ou", self.branch.name) if isinstance(self.branch, Label) else base

    @property
    def key(self) -> _BookKey:
        own = self.is_own and self.context.favourites
        return _BookKey(self.context.name, self.seen.book.key, folded(self._label), own, self.formatter)

    @property
    def editions(self) -> tuple[object, ...]:
        """Return objects that are replaced whenever the contacts or the labels change."""
        labels = ((label.name, label.segments.edition) for label in self._labels)
        return (self.branch.segments.edition, *chain.from_iterable(labels))

    @property
    def scope(self) -> SearchScope:
        """Return the scope of a search in the book."""
        return SearchScope(self.context, contacts=self.branch.segments.contacts)

    @property
    def _label(self) -> str:
        return self.branch.name if isinstance(self.branch, Label) else ""

    @property
    def _labels(self) -> tuple[Label, ...]:
        """Return the labels that the cards show; only cards of own books show the label for Google's star."""
        stars = self.is_own and self.context.favourites
        return tuple(label for label in self.seen.book.labels if stars or folded(label.name) != folded(FAVOURITES))

    def __len__(self) -> int:
        """Return the number of contacts."""
        return len(self.branch.segments)

    def entries(self) -> Iterator[Entry]:
        for segment in self.branch.segments.contacts:
            yield from segment

    def entry(self, name: str) -> Entry | None:
        """Return the entry of a card, or None if the book has no such card.

        :param name: the name of the card.
        """
        if not name.endswith(_SUFFIX):
            return None
        uid = name.removesuffix(_SUFFIX)
        found = (segment.entry_of_uid(folded(uid)) for segment in self.branch.segments.contacts)
        entry = next(filter(None, found), None)
        return entry if entry is not None and entry.uid == uid.encode("utf-8", "replace") else None

    def card(self, entry: Entry, version: BookVersion) -> Card:
        return card_of_entry(entry, self.formatter, version.categories.get(entry.uid, ()))

    def read_categories(self) -> Iterator[dict[bytes, tuple[str, ...]]]:
        """Read the names of labels in slices: yield the names read so far, by the uids of contacts."""
        read: dict[bytes, list[str]] = {}
        found: dict[bytes, tuple[str, ...]] = {}
        count = 0
        for label in self._labels:
            for segment in label.segments.contacts:
                for entry in segment:
                    read.setdefault(entry.uid, []).append(label.name)
                    count += 1
                    if count % _SLICE == 0:
                        yield found
        shared: dict[tuple[str, ...], tuple[str, ...]] = {}  # saves memory, because many contacts have the same labels
        for at, (uid, listed) in enumerate(read.items(), start=1):
            names = tuple(listed)
            found[uid] = shared.setdefault(names, names)
            if at % _SLICE == 0:
                yield found
        yield found

    def read_tags(self, categories: Mapping[bytes, tuple[str, ...]]) -> Iterator[dict[str, bytes]]:
        """Read the tags of the cards in slices: yield the tags read so far, by the names of the cards."""
        found: dict[str, bytes] = {}
        formatter = self.formatter
        head = repr((_FORMAT, formatter)).encode()
        for count, entry in enumerate(self.entries(), start=1):
            values, text, _ = entry.to_record()
            uid = entry.uid
            # If numbers are converted to a phone's format, the card depends on the search texts, so the tag depends on
            # the search texts too.
            parts = (head, entry.parent.uuid_namespace.encode(), repr(categories.get(uid)).encode(), values)
            seen = blake2b(b"\0".join(parts), digest_size=8)
            if formatter is not None:
                seen.update(text.encode("utf-8", "surrogatepass"))
            found[card_name(uid)] = seen.digest()
            if count % _SLICE == 0:
                yield found
        yield found


class _BookKey(NamedTuple):
    """The values that determine the cards of a book, besides the directory.

    :ivar label: the folded name of the label if the login sees only this label's contacts.
    :ivar stars: whether the cards show the label for Google's star.
    """

    tenant: str
    book: str
    label: str
    stars: bool
    formatter: NumberFormatter | None


class BookVersion(NamedTuple):
    """The content of an address book at one time.

    :ivar token: a digest of the content; equal contents have equal tokens.
    :ivar tags: the entity tags of the cards by their names, in the order of the names.
    :ivar categories: the names of labels by the uids of contacts.
    """

    token: str
    tags: Mapping[str, bytes]
    categories: Mapping[bytes, tuple[str, ...]]

    def __repr__(self) -> str:
        return f"<BookVersion {self.token}>"


class BookChanges(NamedTuple):
    """The changes of an address book since a client's sync token.

    :ivar names: the names of the cards that were added, changed or removed.
    :ivar token: the sync token from which the client continues.
    :ivar is_part: whether further changes follow, because the client has set a limit.
    """

    names: Sequence[str]
    token: str
    is_part: bool = False


def sync_token(version: str) -> str:
    """Return the sync token for a version of a book; a sync token is a URI (RFC 6578)."""
    return _URI_SCHEME + version


def address_books(directory: Directory, viewer: Viewer) -> tuple[AddressBook, ...]:
    """Return the address books of a login: the books that the login may browse, own books first.

    For thousands of books, the function takes too long for the reactor's thread.
    """
    return tuple(_browsed(directory, viewer, directory.seen_books(viewer.access[0])))


class AddressBookNames:
    """The names by which requests find address books.

    A name always belongs to the same key, so only a request with an unknown name looks at all books of a directory.

    Mutable: for each tenant, the keys of the books by name, and the edition of the directory that these books are from.
    """

    def __init__(self) -> None:
        self._keys: dict[str, Mapping[str, str]] = {}
        self._editions: dict[str, object] = {}

    def find(self, directory: Directory, viewer: Viewer, name: str) -> AddressBook | None:
        """Return the address book that has a name and that a login may browse, or None if there is no such book."""
        tenant = directory.context.name
        if name not in self._keys.get(tenant, ()) and self._editions.get(tenant) is not directory.edition:
            self._keys[tenant] = {_book_name(book.key): book.key for book in directory.books}
            self._editions[tenant] = directory.edition
        key = self._keys[tenant].get(name)
        book = directory.book(key) if key is not None else None
        named = () if book is None else (book,)
        return next(_browsed(directory, viewer, directory.viewer(viewer.access[0]).seen(named)), None)


def _browsed(directory: Directory, viewer: Viewer, parts: Iterable[SeenBook]) -> Iterator[AddressBook]:
    context = directory.context
    if viewer.area_code:
        context = at_site(context, viewer.area_code)
    for seen in parts:
        branch = seen.book.shared_branch if seen.is_label else seen.book
        if seen.is_browsed and branch is not None:
            name = _book_name(seen.book.key)
            title = f"{seen.book.name} ({branch.name})" if seen.is_label else seen.book.name
            yield AddressBook(name, title, seen, branch, context, viewer.number_formatter)


def _book_name(key: str) -> str:
    """Return the name of a book's collection, which does not reveal the key of the account."""
    return key if key == DIRECTORY else blake2b(key.encode(), digest_size=8).hexdigest()


def card_name(uid: bytes) -> str:
    return uid.decode("utf-8", "replace") + _SUFFIX


def card_path(name: str) -> str:
    """Return the last segment of a card's path, in the characters that a path can hold."""
    return quote(name, safe="")


def card_of_path(segment: str) -> str:
    """Return the name of the card to which the last segment of a path belongs."""
    return unquote(segment, errors="replace")


class _Step(NamedTuple):
    """The names of the cards that changed between a version and the next version."""

    token: str
    names: frozenset[str]


@dataclass(slots=True)
class _BookHistory:
    """The present version of an address book, and the changes between its last versions.

    The object is mutable.

    :ivar editions: the value of `AddressBook.editions` for the version.
    :ivar version: the present version; None before the first version, and after the version was dropped to save memory.
    """

    token: str = ""
    editions: tuple[object, ...] = ()
    version: BookVersion | None = None
    steps: deque[_Step] = field(default_factory=deque)
    lock: DeferredLock = field(default_factory=DeferredLock)

    def advance(self, version: BookVersion, editions: tuple[object, ...], changed: frozenset[str] | None) -> None:
        """Note a new version.

        :param changed: the names of the cards that differ from the version before; None if the names are not known.
        """
        if changed is None:
            if version.token != self.token:
                self.steps.clear()
        elif changed:
            self.steps.append(_Step(self.token, changed))
            while len(self.steps) > _MAX_VERSIONS or sum(len(step.names) for step in self.steps) > _MAX_CHANGES:
                self.steps.popleft()
        self.token, self.editions, self.version = version.token, editions, version

    def changes_since(self, token: str) -> frozenset[str] | None:
        """Return the names of the cards that have changed since a version, or None if the version is not known."""
        if token == self.token:
            return frozenset()
        # A book may return to an earlier content, and then two steps begin with the same token.  The later step counts.
        at = next((at for at in range(len(self.steps) - 1, -1, -1) if self.steps[at].token == token), None)
        if at is None:
            return None
        return frozenset().union(*(step.names for step in list(self.steps)[at:]))


class BookVersions:
    """The versions of the address books that were read last.

    Mutable: the history of each book, and for each tenant the edition of the directory that was seen last.
    """

    def __init__(self, max_kept: int = _MAX_KEPT, max_books: int = _MAX_BOOKS) -> None:
        self._max_kept = max_kept
        self._max_books = max_books
        # The histories are in the order of their last use.
        self._histories: dict[_BookKey, _BookHistory] = {}
        self._editions: dict[str, object] = {}
        self._kept = 0

    def forget_gone(self, directory: Directory) -> None:
        """Forget the books that a tenant's directory no longer has, such as the books of removed accounts."""
        tenant = directory.context.name
        if self._editions.get(tenant) is directory.edition:
            return
        present = {book.key for book in directory.books}
        gone = [key for key in self._histories if key.tenant == tenant and key.book not in present]
        free = [key for key in gone if not self._histories[key].lock.locked]
        for key in free:
            self._forget(self._histories.pop(key))
        # A history that `read` has locked is in use, so the history stays.  The edition is then not stored, so that the
        # next call of `forget_gone` tries again to forget the history.
        if len(free) == len(gone):
            self._editions[tenant] = directory.edition

    def token(self, book: AddressBook) -> str:
        """Return the token of a book's present content; empty if the content was not read yet."""
        history = self._histories.get(book.key)
        return history.token if history is not None and history.editions == book.editions else ""

    async def read(self, book: AddressBook, run: RunOffThread) -> BookVersion:
        """Return the present version of a book.  A version that is not in memory is read off the reactor's thread."""
        history = self._history(book.key)
        await history.lock.acquire()
        try:
            editions, before = book.editions, history.version
            if before is not None and history.editions == editions:
                return before
            version, changed = await _read_version(book, before, run)
            self._kept += len(version.tags) - (len(before.tags) if before is not None else 0)
            history.advance(version, editions, changed)
        finally:
            history.lock.release()
        if self._kept > self._max_kept or len(self._histories) > self._max_books:
            self._drop(history)
        return version

    def changes(self, book: AddressBook, version: BookVersion, token: str, limit: int) -> BookChanges:
        """Return the changes of a book since a client's sync token.

        :param version: the version that `read` has returned.
        :param token: the sync token; empty if the client wants all cards.
        :param limit: the maximum number of names to return; 0 if there is no limit.
        :raises DavRefusal: when the token is unknown or forgotten, so that the client has to begin anew (RFC 6578 3.2).
        """
        base, skipped = token.removeprefix(_URI_SCHEME), 0
        part = _PART.fullmatch(base)
        if part is not None:
            present, base, count = part.groups()
            skipped = int(count)
            if present != version.token:
                raise DavRefusal(403, dav("valid-sync-token"))
        names: Sequence[str]
        if base or (token and part is None):
            changed = self._history(book.key).changes_since(base) if token.startswith(_URI_SCHEME) else None
            if changed is None:
                raise DavRefusal(403, dav("valid-sync-token"))
            names = sorted(changed)
        else:
            names = tuple(version.tags)
        end = skipped + limit if limit else len(names)
        if end < len(names):
            return BookChanges(names[skipped:end], sync_token(f"{version.token}/{base}/{end}"), is_part=True)
        return BookChanges(names[skipped:], sync_token(version.token))

    def _history(self, key: _BookKey) -> _BookHistory:
        """Return the history of a book, and mark the history as the last used history."""
        history = self._histories.pop(key, None) or _BookHistory()
        self._histories[key] = history
        return history

    def _drop(self, present: _BookHistory) -> None:
        """Drop the contents of the books that were not used for the longest time, until the limits hold."""
        # A locked history is being read, so the history is kept.
        free = [key for key, history in self._histories.items() if history is not present and not history.lock.locked]
        for key in free:
            if self._kept <= self._max_kept and len(self._histories) <= self._max_books:
                break
            self._forget(self._histories[key])
            if len(self._histories) > self._max_books:
                del self._histories[key]

    def _forget(self, history: _BookHistory) -> None:
        if history.version is not None:
            self._kept -= len(history.version.tags)
            history.version = None
            history.steps.clear()


async def _read_version(
    book: AddressBook, before: BookVersion | None, run: RunOffThread
) -> tuple[BookVersion, frozenset[str] | None]:
    """Read the version of a book in slices.

    :returns: the version, and the names of the cards that differ from `before`; None if `before` is None.
    """
    categories: Mapping[bytes, tuple[str, ...]] = {}
    reading = book.read_categories()
    while (found := await run(lambda: next(reading, None))) is not None:
        categories = found
    tags: Mapping[str, bytes] = {}
    tagging = book.read_tags(categories)
    while (tagged := await run(lambda: next(tagging, None))) is not None:
        tags = tagged
    version: BookVersion = await run(lambda: _version(tags, categories))
    changed: frozenset[str] | None = None
    if before is not None:
        former = before.tags
        changed = await run(lambda: _differences(former, version.tags))
    return version, changed


def _version(tags: Mapping[str, bytes], categories: Mapping[bytes, tuple[str, ...]]) -> BookVersion:
    ordered = dict(sorted(tags.items()))
    seen = blake2b(digest_size=16)
    for name, tag in ordered.items():
        seen.update(f"{name}\n".encode("utf-8", "surrogatepass") + tag)
    return BookVersion(seen.hexdigest(), ordered, categories)


def _differences(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> frozenset[str]:
    return frozenset(
        [name for name, tag in after.items() if before.get(name) != tag]
        + [name for name in before if name not in after]
    )
