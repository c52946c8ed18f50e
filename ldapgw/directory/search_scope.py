# SPDX-License-Identifier: MIT
"""The scope of a search (RFC 4511 4.5.1.2): what base object and scope cover, of what the viewer may see.

What a viewer may not see does not exist for them: neither a search nor a name finds it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Self

from ldapgw.contact import Sharing
from ldapgw.directory.access import ROOT, Access, NamingContext, Viewer
from ldapgw.directory.book import Book, Label
from ldapgw.directory.dit import Directory, Dit, subschema, tenant_entry
from ldapgw.directory.dn import Dn, InvalidDn, folded
from ldapgw.directory.entry import SUBSCHEMA_DN, Entry
from ldapgw.directory.filter import Scope
from ldapgw.directory.segment import Segment
from ldapgw.directory.shared_books import segments_of
from ldapgw.errors import DirectoryError, ResultCode

_SUBSCHEMA = Dn.parse(SUBSCHEMA_DN).key
_SORT_KEY = attrgetter("sort_key")

# Containers that are looked at one by one sooner than through their indexes.
_FEW = 16


@dataclass(frozen=True, slots=True)
class SearchScope:
    """What a search covers of one tenant's tree.

    :ivar containers: the entries of the tenant, of books and of labels; or the one entry that was asked for.
    :ivar contacts: the contacts that the viewer may browse.
    :ivar callers: contacts of books that are open for caller ID only.
    :ivar own: the UUID namespace of the viewer's own book: of two entries for the same person, the one in it is shown.
    :ivar has_duplicates: whether the contacts are of several books, in which there may be the same person.
    :ivar only_segment: has all contacts, each person once; None: that is not so.
    :ivar container_letters: the letters of the attributes that containers have (`Entry.tagged_texts`).
    :ivar container_entries: the containers by themselves where they are few; empty where they are many.
    """

    context: NamingContext
    containers: tuple[Segment, ...] = ()
    contacts: tuple[Segment, ...] = ()
    callers: tuple[Segment, ...] = ()
    own: str = ""
    has_duplicates: bool = False
    only_segment: Segment | None = field(init=False, repr=False, compare=False)
    container_letters: frozenset[str] = field(init=False, repr=False, compare=False)
    container_entries: tuple[Entry, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Collect what makes most searches simple: all contacts are in one segment, and no container matches."""
        first = self.contacts[0] if len(self.contacts) == 1 else None
        only = None if first is None or (self.has_duplicates and first.duplicates) else first
        object.__setattr__(self, "only_segment", only)
        is_few = sum([len(segment.entries) for segment in self.containers]) <= _FEW
        entries = tuple([entry for segment in self.containers for entry in segment]) if is_few else ()
        object.__setattr__(self, "container_entries", entries)
        letters = frozenset[str]().union(*[segment.attribute_letters for segment in self.containers])
        object.__setattr__(self, "container_letters", letters)

    @classmethod
    def of(cls, context: NamingContext, *entries: Entry) -> Self:
        """The scope of a few entries, without what is below them."""
        return cls(context, (Segment(tuple(sorted(entries, key=_SORT_KEY))),) if entries else ())


def search_scopes(dit: Dit, viewer: Viewer, base: str, scope: Scope) -> tuple[SearchScope, ...]:
    """What a search covers: a scope for each tenant that it reaches.

    :param base: a DN as it was sent.
    :raises DirectoryError: invalidDNSyntax, noSuchObject with the matched DN, or insufficientAccessRights.
    """
    try:
        dn = Dn.parse(base)
    except InvalidDn:
        raise DirectoryError(ResultCode.INVALID_DN_SYNTAX, "the base is not a distinguished name") from None
    if not dn.rdns and scope is Scope.BASE_OBJECT:
        return (SearchScope.of(ROOT, dit.root_dse(viewer)),)
    if dn.key == _SUBSCHEMA:
        return () if scope is Scope.SINGLE_LEVEL else (SearchScope.of(ROOT, subschema()),)
    if not viewer.access:
        raise DirectoryError(ResultCode.INSUFFICIENT_ACCESS_RIGHTS, "this needs a login")
    views = tuple(_views(dit, viewer))
    if not dn.rdns:
        return tuple(view.whole(scope) for view in views)
    for view in views:
        depth = len(dn.rdns) - len(view.directory.context.base.rdns)
        if depth >= 0 and dn.key[depth:] == view.directory.context.base.key:
            return (view.below(dn, depth, scope),)
    raise _missing("")


@dataclass(frozen=True, slots=True)
class _View:
    """A tenant as one viewer sees it."""

    directory: Directory
    access: Access
    per_number: bool

    def whole(self, scope: Scope) -> SearchScope:
        """The tenant's tree, seen from the root of all trees."""
        tenant = tenant_entry(self.directory.context)
        return SearchScope.of(self.directory.context, tenant) if scope is Scope.SINGLE_LEVEL else self._tenant(scope)

    def below(self, dn: Dn, depth: int, scope: Scope) -> SearchScope:
        """The entry of a name, and what lies below it as far as the scope reaches.

        :param depth: how many parts of the name stand before the tenant's.
        """
        if depth == 0:
            return self._tenant(scope)
        value = _only(dn, depth - 1, "ou")
        book = None if value is None else self.directory.book_named(value, self.access)
        if book is None:
            raise _missing(str(dn.parent(depth)))
        if depth == 1:
            return self._branch(scope, book, book.labels)
        value = _only(dn, depth - 2, "ou")
        label = next((label for label in book.labels if folded(label.name) == value), None)
        if label is None:
            return self._leaf(dn, depth - 1, book, scope)
        return self._branch(scope, label, ()) if depth == 2 else self._leaf(dn, depth - 2, label, scope)

    def _tenant(self, scope: Scope) -> SearchScope:
        directory, context = self.directory, self.directory.context
        tenant = tenant_entry(context)
        if scope is Scope.BASE_OBJECT:
            return SearchScope.of(context, tenant)
        if scope is Scope.SINGLE_LEVEL:
            return SearchScope.of(context, *(book.container for book in directory.visible_books(self.access)))
        own, shared = directory.own_book(self.access), directory.shared_books
        count = directory.shared_count
        containers = [Segment((tenant,)), *segments_of(shared.containers)]
        contacts = [*shared.form(per_number=self.per_number)]
        if own is not None and own.sharing is not Sharing.SHARED:
            containers.append(own.containers)
            contacts[:0] = self._contacts(own)
            count += 1
        return SearchScope(
            context,
            tuple(containers),
            tuple(contacts),
            segments_of(shared.callers),
            f"{context.name}/{self.access.book}",
            has_duplicates=bool(shared.contacts) and count > 1,
        )

    def _branch(self, scope: Scope, branch: Book | Label, labels: Iterable[Label]) -> SearchScope:
        """A book or a label; the contacts of a label are found in it alone."""
        own = () if scope is Scope.SINGLE_LEVEL else (branch.container,)
        if scope is Scope.BASE_OBJECT:
            return SearchScope.of(self.directory.context, *own)
        containers = SearchScope.of(self.directory.context, *own, *(label.container for label in labels)).containers
        return SearchScope(self.directory.context, containers, self._contacts(branch))

    def _leaf(self, dn: Dn, depth: int, branch: Book | Label, scope: Scope) -> SearchScope:
        """A contact by its name, in either form.

        :param depth: how many parts of the name stand before the branch's.
        """
        uid = _only(dn, depth - 1, "uid")
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


def _only(dn: Dn, at: int, kind: str) -> str | None:
    """The folded value of one part of a name, if it is of this type alone."""
    rdn = dn.key[at]
    return dict(rdn).get(kind) if len(rdn) == 1 else None


def _missing(matched: str) -> DirectoryError:
    return DirectoryError(ResultCode.NO_SUCH_OBJECT, "no such entry, or not for this login", matched_dn=matched)
