# SPDX-License-Identifier: MIT
"""The Directory Information Tree (RFC 4512 2.1): the tenants' directories, and the entries that a search covers.

`ldapgw.directory.access` says which books of a `Directory` a viewer sees.  `search_scopes` finds the segments that a
base object and a scope cover.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import InitVar, dataclass, field, replace
from itertools import chain, islice
from operator import attrgetter
from types import MappingProxyType
from typing import Final, NamedTuple

from ldapgw.contact import Sharing
from ldapgw.directory.access import Access, BookAccess, SeenBook, TenantViewer, Viewer
from ldapgw.directory.book import FAVOURITES, Book, Label
from ldapgw.directory.dn import Dn, InvalidDn, folded
from ldapgw.directory.entry import SUBSCHEMA_DN, Entry
from ldapgw.directory.filter import Scope
from ldapgw.directory.naming_context import ROOT, NamingContext, at_site
from ldapgw.directory.segment import SearchScope, Segment, Segments, new_edition
from ldapgw.directory.shared_books import SharedBooks, merge_shared_books, segments_of
from ldapgw.directory.special_entries import Features, root_dse, subschema, tenant_entry
from ldapgw.errors import DirectoryError, ResultCode

# The maximum number of an account's starred contacts that precede all other contacts in a search.  Looking up this
# number of starred contacts takes a few milliseconds, and has to be repeated after each change of the directory.
MAX_FAVOURITES = 500

# The number of labelled contacts that `FlagReader.read_names` reads in one slice of work, in about a millisecond.
_LABELLED: Final = 1000

_SORT_KEY = attrgetter("sort_key")
_CONTACT_COUNT = attrgetter("contact_count")
_SUBSCHEMA = Dn.parse(SUBSCHEMA_DN).key


class ContactFlags(NamedTuple):
    """The flags that a contact has by its labels.

    :ivar favourite: whether the viewer has starred the contact at Google.
    :ivar blocked: whether the contact has the label of blocked contacts.
    :ivar labels: the names of the contact's labels that the viewer sees, without the label for Google's star.
    """

    favourite: bool = False
    blocked: bool = False
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Directory:
    """A tenant's part of the tree.

    :param before: the shared books of the tenant's previous directory, whose merged segments are used again where
        possible.
    :param defer_merge: true to leave the merging of segments, which takes long, to a later directory.
    :ivar shared_books: for each kind of sharing, the merged segments of the books with this sharing.
    :ivar edition: an object that no other directory has.  A cache of answers holds the edition in place of the
        directory, so that the directory's memory can be freed.

    Mutable: the cached starred contacts of viewers.
    """

    context: NamingContext
    books: tuple[Book, ...] = ()
    before: InitVar[Mapping[Sharing, SharedBooks]] = MappingProxyType({})
    defer_merge: InitVar[bool] = False
    shared_books: Mapping[Sharing, SharedBooks] = field(init=False, repr=False, compare=False)
    contact_count: int = field(init=False, repr=False, compare=False)
    edition: object = field(default_factory=new_edition, init=False, repr=False, compare=False)
    _by_key: Mapping[str, Book] = field(init=False, repr=False, compare=False)
    _by_name: Mapping[str, Book] = field(init=False, repr=False, compare=False)
    # The books of each name that several books have.  There is no list for each of thousands of names, because the
    # garbage collector would visit the lists.
    _namesakes: Mapping[str, Sequence[Book]] = field(init=False, repr=False, compare=False)
    _not_private: tuple[Book, ...] = field(init=False, repr=False, compare=False)
    _favourites: dict[tuple[tuple[str, ...], bool], Segment | None] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self, before: Mapping[Sharing, SharedBooks], defer_merge: bool) -> None:
        """Prepare the books once for all searches, because there may be a thousand books."""
        by_name: dict[str, Book] = {}
        namesakes: dict[str, list[Book]] = {}
        for book in self.books:
            first = by_name.setdefault(book.folded_name, book)
            if first is not book:
                namesakes.setdefault(book.folded_name, [first]).append(book)
        shared_books = merge_shared_books(self.books, before, defer_merge=defer_merge)
        object.__setattr__(self, "shared_books", shared_books)
        object.__setattr__(self, "contact_count", sum(map(_CONTACT_COUNT, self.books)))
        object.__setattr__(self, "_by_key", {book.key: book for book in reversed(self.books)})
        object.__setattr__(self, "_by_name", by_name)
        object.__setattr__(self, "_namesakes", namesakes)
        not_private = [book for book in self.books if book.sharing is not Sharing.PRIVATE]
        object.__setattr__(self, "_not_private", tuple(not_private))

    @property
    def needs_merge(self) -> bool:
        """Return whether segments have to be merged, because there are too many segments for a fast search."""
        return any(shared.needs_merge for shared in self.shared_books.values())

    def book(self, key: str) -> Book | None:
        """Return the book with a key, or None if there is no such book."""
        return self._by_key.get(key)

    def own_books(self, access: Access) -> tuple[Book, ...]:
        """Return the viewer's own books in order, without the books that are not built yet."""
        return tuple([book for key in access.books if (book := self._by_key.get(key)) is not None])

    def viewer(self, access: Access) -> TenantViewer:
        """Return the viewer with the groups of the viewer's first account."""
        first = self._first_book(access)
        if first is None:  # `not first` would also be true for an empty book
            return TenantViewer(access.books)
        return TenantViewer.of_accounts(self.context, access.books, first.name)

    def seen_books(self, access: Access) -> tuple[SeenBook, ...]:
        """Return the books that a viewer sees, in the order of `TenantViewer.seen`."""
        # The other accounts may have thousands of private books, which the viewer does not see.
        others = [book for book in self._not_private if book.key not in access.books]
        return self.viewer(access).seen((*self.own_books(access), *others))

    def book_named(self, name: str, access: Access) -> SeenBook | None:
        """Return the first book of this name that the viewer may browse, or None if there is no such book.

        :param name: folded (`ldapgw.directory.dn.folded`).
        """
        first = self._by_name.get(name)
        books = self._namesakes.get(name, () if first is None else (first,))
        return next((seen for seen in self.viewer(access).seen(books) if seen.is_browsed), None)

    def flags(self, entry: Entry, access: Access) -> ContactFlags:
        """Return the flags of an entry that a viewer has found.  Only labels that the viewer sees count."""
        return FlagReader(self, access).flags(entry)

    def book_of(self, entry: Entry) -> Book | None:
        """Return the book of a contact's entry, or None if the entry is no contact of a book."""
        return self._by_key.get(entry.parent.uuid_namespace.removeprefix(f"{self.context.name}/").partition("/")[0])

    def own_namespaces(self, access: Access) -> tuple[str, ...]:
        """Return the UUID namespaces of the viewer's own books in order."""
        return tuple([f"{self.context.name}/{key}" for key in access.books])

    def favourites(self, access: Access, *, per_number: bool) -> Segment | None:
        """Return at most `MAX_FAVOURITES` starred contacts of the viewer's first book; None if nobody is starred.

        Only the stars in the first book count.  If a contact is in several of the viewer's own books, a search shows
        the entry in the first book.
        """
        key = access.books, per_number
        if key not in self._favourites:
            self._favourites[key] = self._find_favourites(access, per_number=per_number)
        return self._favourites[key]

    def _find_favourites(self, access: Access, *, per_number: bool) -> Segment | None:
        book = self._first_book(access)
        label = (
            next((label for label in book.labels if folded(label.name) == folded(FAVOURITES)), None) if book else None
        )
        if book is None or label is None:
            return None
        starred = chain.from_iterable(label.segments.contacts)
        uids = [entry.uid.decode() for entry in islice(starred, MAX_FAVOURITES)]
        found = sorted(book.segments.entries_of(uids, per_number=per_number), key=_SORT_KEY)
        return Segment(tuple(found)) if found else None

    def _first_book(self, access: Access) -> Book | None:
        """Return the book of the viewer's first account, or None if there is no such book."""
        return self._by_key.get(access.books[0]) if access.books else None


class _SeenLabels(NamedTuple):
    """The labels of a book that a viewer sees; the labels decide the flags of the book's contacts.

    :ivar starred: the contacts that the viewer has starred; None if no star counts.  A star counts only in the viewer's
        own books, because stars are personal.
    :ivar blocked: the contacts with the label of blocked contacts; None if there is no such label.
    :ivar named: the labels without the label for Google's star.
    """

    starred: Segments | None = None
    blocked: Segments | None = None
    named: tuple[Label, ...] = ()


class FlagReader:
    """The reader of the flags of contacts that one viewer has found.

    Mutable: the labels of the books whose contacts were read, and the names of the contacts' labels (`read_names`).
    """

    def __init__(self, directory: Directory, access: Access) -> None:
        self._directory = directory
        self._access = access
        self._seen: dict[str, _SeenLabels] = {}
        # For each book whose labels were read, the names of the labels of each entry; the key of an entry is its uid.
        self._names: dict[str, dict[bytes, list[str]]] = {}

    def flags(self, entry: Entry) -> ContactFlags:
        labels = self._labels(entry)
        if not labels.named:
            return self.marks(entry)
        read = self._names.get(entry.parent.uuid_namespace)
        if read is not None:
            return self.marks(entry)._replace(labels=tuple(read.get(entry.uid, ())))
        uid = folded(entry.uid.decode())
        names = tuple(label.name for label in labels.named if label.segments.entry_of_uid(uid) is not None)
        return self.marks(entry)._replace(labels=names)

    def read_names(self, entry: Entry) -> Iterator[None]:
        """Read the names of the labels of all contacts in an entry's book; yield None after each slice of work.

        Call the function before reading a long list.  If the names were not read, `flags` looks for each entry in each
        label.
        """
        namespace = entry.parent.uuid_namespace
        if namespace in self._names:
            return
        names: dict[bytes, list[str]] = {}
        count = 0
        for label in self._labels(entry).named:
            for labelled in chain.from_iterable((*label.segments.contacts, *label.segments.numbers)):
                names.setdefault(labelled.uid, []).append(label.name)
                count += 1
                if count % _LABELLED == 0:
                    yield None
        self._names[namespace] = names

    def marks(self, entry: Entry) -> ContactFlags:
        """Return the flags of an entry without the names of its labels, which lists do not show."""
        starred, blocked, _ = self._labels(entry)
        if starred is None and blocked is None:
            return ContactFlags()
        uid = folded(entry.uid.decode())
        return ContactFlags(
            starred is not None and starred.entry_of_uid(uid) is not None,
            blocked is not None and blocked.entry_of_uid(uid) is not None,
        )

    def _labels(self, entry: Entry) -> _SeenLabels:
        namespace = entry.parent.uuid_namespace
        labels = self._seen.get(namespace)
        if labels is None:
            labels = self._seen[namespace] = self._find_labels(self._directory.book_of(entry))
        return labels

    def _find_labels(self, book: Book | None) -> _SeenLabels:
        context = self._directory.context
        seen = None if book is None else self._directory.viewer(self._access).part_of(book)
        if seen is None:
            return _SeenLabels()
        labels = {folded(label.name): label for label in seen.book.labels}
        star = labels.pop(folded(FAVOURITES), None) if context.favourites else None
        block = labels.get(context.block_label)
        return _SeenLabels(
            None if star is None or seen.access is not BookAccess.OWN else star.segments,
            None if block is None else block.segments,
            tuple(labels.values()),
        )


@dataclass(frozen=True, slots=True)
class Dit:
    """All tenants' directories and the server's features; each change of the directory makes a new object.

    Mutable: the cached root DSEs, because clients read the root DSE at each connection; and the cached scopes of logins
    that search a whole tenant over HTTP.
    """

    directories: tuple[Directory, ...]
    features: Features
    # The tree for connections without TLS, or None if this tree is the same.  A reference to the tree itself would keep
    # a replaced tree, and so replaced books, in memory until the next garbage collection.
    _in_clear: Dit | None = field(init=False, repr=False, compare=False)
    _root_dses: dict[frozenset[str], Entry] = field(default_factory=dict, init=False, repr=False, compare=False)
    _tenant_scopes: dict[tuple[tuple[Access, ...], bool, str], tuple[SearchScope, ...]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        """Make the tree for connections without TLS (`in_clear`); such connections may have other features."""
        has_tls = self.features.sasl_mechanisms or self.features.before_tls
        in_clear = replace(self, features=self.features.in_clear()) if has_tls else None
        object.__setattr__(self, "_in_clear", in_clear)

    @property
    def in_clear(self) -> Dit:
        """Return the tree for a connection without TLS."""
        return self if self._in_clear is None else self._in_clear

    def directory(self, tenant: str) -> Directory | None:
        return next((directory for directory in self.directories if directory.context.name == tenant), None)

    def root_dse(self, viewer: Viewer) -> Entry:
        """Return the root DSE with the naming contexts of the viewer's tenants.

        A viewer without a tenant gets the naming contexts of all tenants.
        """
        names = frozenset(access.tenant for access in viewer.access)
        entry = self._root_dses.get(names)
        if entry is None:
            contexts = tuple(directory.context for directory in self.directories)
            if names:
                contexts = tuple(context for context in contexts if context.name in names)
            entry = root_dse(self.features, contexts, contexts[0] if len(contexts) == 1 else None)
            self._root_dses[names] = entry
        return entry

    def tenant_scopes(self, viewer: Viewer, context: NamingContext) -> tuple[SearchScope, ...]:
        """Return the scopes of a search in the whole tenant of a login.

        A telephone system searches the whole tenant for each call, so the scopes are cached.

        :param viewer: a login that belongs only to the tenant of `context`.
        """
        key = viewer.access, viewer.per_number, viewer.area_code
        scopes = self._tenant_scopes.get(key)
        if scopes is None:
            scopes = search_scopes(self, viewer, str(context.base), Scope.WHOLE_SUBTREE)
            self._tenant_scopes[key] = scopes
        return scopes


# --- what a search covers ---------------------------------------------------------------------------------------------


def search_scopes(dit: Dit, viewer: Viewer, base: str, scope: Scope) -> tuple[SearchScope, ...]:
    """Return the scopes of a search, one for each tenant that the search reaches.

    :param base: a DN as the client sent it.
    :raises DirectoryError: invalidDNSyntax, noSuchObject with the matched DN, or insufficientAccessRights.
    """
    return _at_site(_search_scopes(dit, viewer, base, scope), viewer)


def own_scopes(dit: Dit, viewer: Viewer) -> tuple[SearchScope, ...]:
    """Return the scopes of a search in a login's own books; empty if the login has no book."""
    scopes = chain.from_iterable(view.own_books() for view in _views(dit, viewer))
    return _at_site(tuple(scopes), viewer)


def shared_scopes(dit: Dit, viewer: Viewer) -> tuple[SearchScope, ...]:
    """Return the scopes of a search in the books that others share with a login and in the Workspace directory."""
    return _at_site(tuple(view.shared_books() for view in _views(dit, viewer)), viewer)


def _at_site(scopes: tuple[SearchScope, ...], viewer: Viewer) -> tuple[SearchScope, ...]:
    if not viewer.area_code:
        return scopes
    return tuple([replace(found, context=at_site(found.context, viewer.area_code)) for found in scopes])


def _search_scopes(dit: Dit, viewer: Viewer, base: str, scope: Scope) -> tuple[SearchScope, ...]:
    try:
        dn = Dn.parse(base)
    except InvalidDn:
        raise DirectoryError(ResultCode.INVALID_DN_SYNTAX, "the base is not a distinguished name") from None
    if not dn.rdns and scope is Scope.BASE_OBJECT:
        return (SearchScope.of(ROOT, dit.root_dse(viewer)),)
    if dn.key == _SUBSCHEMA:
        return () if scope is Scope.SINGLE_LEVEL else (SearchScope.of(ROOT, subschema()),)
    if not viewer.access:
        raise DirectoryError(ResultCode.INSUFFICIENT_ACCESS_RIGHTS, "this base can be read only after a login")
    views = tuple(_views(dit, viewer))
    if not dn.rdns:
        return tuple(chain.from_iterable(view.from_root(scope) for view in views))
    for view in views:
        depth = len(dn.rdns) - len(view.directory.context.base.rdns)
        if depth >= 0 and dn.key[depth:] == view.directory.context.base.key:
            return view.at_name(dn, depth, scope)
    raise _missing("")


@dataclass(frozen=True, slots=True)
class _View:
    """The part of a tenant that one viewer sees."""

    directory: Directory
    access: Access
    per_number: bool

    def from_root(self, scope: Scope) -> tuple[SearchScope, ...]:
        """Return the scopes of a search from the root.

        A search of one level below the root covers the tenant's entry.  A search of the whole tree covers all entries
        of the tenant that the viewer sees.
        """
        if scope is Scope.SINGLE_LEVEL:
            return (SearchScope.of(self.directory.context, tenant_entry(self.directory.context)),)
        return self._with_favourites_first(self._tenant(scope))

    def at_name(self, dn: Dn, depth: int, scope: Scope) -> tuple[SearchScope, ...]:
        """Return the scopes of a search whose base is an entry of the tenant.

        :param depth: the number of RDNs in front of the tenant's base.
        """
        if depth == 0:
            return self._with_favourites_first(self._tenant(scope))
        value = _rdn_value(dn, depth - 1, "ou")
        seen = None if value is None else self.directory.book_named(value, self.access)
        if seen is None:
            raise _missing(str(dn.parent(depth)))
        book = seen.book
        if depth == 1 and scope is Scope.SINGLE_LEVEL and seen.is_label:
            return (SearchScope.of(self.directory.context, *(label.container for label in book.labels)),)
        if depth == 1:
            branch = self._branch(scope, book, book.labels)
            return self._with_favourites_first(branch) if seen.access is BookAccess.OWN else (branch,)
        value = _rdn_value(dn, depth - 2, "ou")
        label = next((label for label in book.labels if folded(label.name) == value), None)
        if label is None and seen.is_label:
            raise _missing(str(dn.parent(depth - 1)))
        if label is None:
            return (self._leaf(dn, depth - 1, book, scope),)
        return (self._branch(scope, label, ()) if depth == 2 else self._leaf(dn, depth - 2, label, scope),)

    def own_books(self) -> tuple[SearchScope, ...]:
        """Return the scopes of a search in the viewer's own books and their labels."""
        books = self.directory.own_books(self.access)
        if not books:
            return ()
        scope = SearchScope(
            self.directory.context,
            tuple([book.containers for book in books]),
            tuple(chain.from_iterable(map(self._contacts, books))),
            own_namespaces=self.directory.own_namespaces(self.access),
            may_have_duplicates=len(books) > 1,
        )
        return self._with_favourites_first(scope)

    def shared_books(self) -> SearchScope:
        """Return the scope of a search in the books that others share with the viewer or with the viewer's groups."""
        return self._books(Access(self.access.tenant))

    def _with_favourites_first(self, scope: SearchScope) -> tuple[SearchScope, ...]:
        """Return the scope; if `favourites_first` is set, a scope of the viewer's starred contacts comes first."""
        if not (scope.context.favourites_first and scope.contacts):
            return (scope,)
        favourites = self.directory.favourites(self.access, per_number=self.per_number)
        if favourites is None:
            return (scope,)
        left_out = frozenset([entry.sort_key for entry in favourites])
        return (SearchScope(scope.context, contacts=(favourites,)), replace(scope, left_out=left_out))

    def _tenant(self, scope: Scope) -> SearchScope:
        directory, context = self.directory, self.directory.context
        tenant = tenant_entry(context)
        if scope is Scope.BASE_OBJECT:
            return SearchScope.of(context, tenant)
        if scope is Scope.SINGLE_LEVEL:
            seen_books = directory.seen_books(self.access)
            return SearchScope.of(context, *(seen.book.container for seen in seen_books if seen.is_browsed))
        return self._books(self.access)

    def _books(self, own_access: Access) -> SearchScope:
        """Return the scope of a search in the shared books that the viewer sees, and in own books.

        :param own_access: names the own books to search.  If `own_access` names no books, only the shared books are
            searched.
        """
        directory, context = self.directory, self.directory.context
        tenant = tenant_entry(context)
        browsed = directory.viewer(self.access).browsed
        parts = [directory.shared_books[sharing] for sharing in browsed if sharing in directory.shared_books]
        callers = directory.shared_books.get(Sharing.CALLERS)
        count = sum([part.count for part in parts])
        containers = [Segment((tenant,)), *(segment for part in parts for segment in segments_of(part.containers))]
        contacts = [segment for part in parts for segment in part.form(per_number=self.per_number)]
        own: list[Segment] = []
        for book in directory.own_books(own_access):
            if book.sharing in browsed and not book.shared_label:
                continue  # the book is already among the shared books
            # If the book's label is shared with the viewer too, the scope already has the containers of the shared
            # part.  Only the other containers of the book are added.
            shown = set(book.shared_containers.entries if book.sharing in browsed else ())
            rest = [container for container in book.containers if container not in shown]
            containers.append(Segment.build(rest) if shown else book.containers)
            own += self._contacts(book)
            count += 1
        return SearchScope(
            context,
            tuple(containers),
            (*own, *contacts),
            () if callers is None else segments_of(callers.contacts),
            directory.own_namespaces(own_access),
            may_have_duplicates=count > 1,
        )

    def _branch(self, scope: Scope, branch: Book | Label, labels: Iterable[Label]) -> SearchScope:
        """Return the scope of a book or a label.

        The scope of a book has each contact once, and leaves out the contacts' entries below labels.
        """
        container = () if scope is Scope.SINGLE_LEVEL else (branch.container,)
        if scope is Scope.BASE_OBJECT:
            return SearchScope.of(self.directory.context, *container)
        containers = SearchScope.of(
            self.directory.context, *container, *(label.container for label in labels)
        ).containers
        return SearchScope(self.directory.context, containers, self._contacts(branch))

    def _leaf(self, dn: Dn, depth: int, branch: Book | Label, scope: Scope) -> SearchScope:
        """Return the scope of one entry below a book or label: the entry of a contact or of one of its numbers.

        :param depth: the number of RDNs in front of the branch's name.
        """
        uid = _rdn_value(dn, depth - 1, "uid")
        entry = None if uid is None else branch.segments.entry_of_uid(uid)
        if entry is None:
            raise _missing(str(dn.parent(depth)))
        if depth > 1:
            raise _missing(str(dn.parent(depth - 1)))
        return SearchScope.of(self.directory.context, *(() if scope is Scope.SINGLE_LEVEL else (entry,)))

    def _contacts(self, branch: Book | Label) -> tuple[Segment, ...]:
        return branch.segments.form(per_number=self.per_number)


def _views(dit: Dit, viewer: Viewer) -> Iterator[_View]:
    for access in viewer.access:
        directory = dit.directory(access.tenant)
        if directory is not None:
            yield _View(directory, access, viewer.per_number)


def _rdn_value(dn: Dn, at: int, kind: str) -> str | None:
    """Return the folded value of an RDN that consists of one value of type `kind`; None for any other RDN."""
    rdn = dn.key[at]
    return dict(rdn).get(kind) if len(rdn) == 1 else None


def _missing(matched: str) -> DirectoryError:
    return DirectoryError(ResultCode.NO_SUCH_OBJECT, "no such entry, or this login may not see it", matched_dn=matched)
