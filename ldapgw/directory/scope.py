# SPDX-License-Identifier: MIT
"""What the base and the scope of a search cover, for somebody who sees a part of the tree.

What one may not see does not exist: it is found neither by a search nor by its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import Self

from ldapgw.contact import Sharing
from ldapgw.directory.book import Book, Label
from ldapgw.directory.dit import Directory, Dit
from ldapgw.directory.dn import Dn, InvalidDn, folded
from ldapgw.directory.entry import Entry
from ldapgw.directory.filters import Scope
from ldapgw.directory.naming import ROOT, NamingContext
from ldapgw.directory.origin import SUBSCHEMA_DN
from ldapgw.directory.rootdse import subschema, tenant_entry
from ldapgw.directory.shelf import Shelf
from ldapgw.directory.union import shelves
from ldapgw.directory.viewer import Access, Viewer
from ldapgw.errors import DirectoryError, ResultCode

_SUBSCHEMA = Dn.parse(SUBSCHEMA_DN).key
_ORDER = attrgetter("order")


@dataclass(frozen=True, slots=True)
class Region:
    """A part of the tree in which one filter means one thing.

    :ivar above: the tenant, the books and labels; or the one entry that was asked for.
    :ivar shelves: the contacts.
    :ivar callers: contacts of books that tell a caller's name and no more.
    :ivar own: the path of the viewer's own book: of two entries for the same person, the one in it counts.
    :ivar mixed: whether the contacts are of several books, in which there may be the same person.
    """

    context: NamingContext
    above: tuple[Shelf, ...] = ()
    shelves: tuple[Shelf, ...] = ()
    callers: tuple[Shelf, ...] = ()
    own: str = ""
    mixed: bool = False

    @classmethod
    def of(cls, context: NamingContext, *entries: Entry) -> Self:
        """A few entries, and nothing below them."""
        return cls(context, (Shelf(tuple(sorted(entries, key=_ORDER))),) if entries else ())


def regions(dit: Dit, viewer: Viewer, base: str, scope: Scope) -> tuple[Region, ...]:
    """What a search covers.

    :raises DirectoryError: invalidDNSyntax, noSuchObject with the matched DN, or insufficientAccessRights.
    """
    try:
        dn = Dn.parse(base)
    except InvalidDn:
        raise DirectoryError(ResultCode.INVALID_DN_SYNTAX, "the base is not a distinguished name") from None
    if not dn.rdns and scope is Scope.BASE_OBJECT:
        return (Region.of(ROOT, dit.root_dse(viewer)),)
    if dn.key == _SUBSCHEMA:
        return () if scope is Scope.SINGLE_LEVEL else (Region.of(ROOT, subschema()),)
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

    def whole(self, scope: Scope) -> Region:
        """The tenant's tree, seen from the root of all trees."""
        tenant = tenant_entry(self.directory.context)
        return Region.of(self.directory.context, tenant) if scope is Scope.SINGLE_LEVEL else self._tenant(scope)

    def below(self, dn: Dn, depth: int, scope: Scope) -> Region:
        """The entry of a name, and what lies below it as far as the scope reaches.

        :param depth: how many parts of the name stand before the tenant's.
        """
        if depth == 0:
            return self._tenant(scope)
        value = _only(dn, depth - 1, "ou")
        book = None if value is None else self.directory.named(value, self.access)
        if book is None:
            raise _missing(str(dn.parent(depth)))
        if depth == 1:
            return self._branch(scope, book, book.labels)
        value = _only(dn, depth - 2, "ou")
        label = next((label for label in book.labels if folded(label.name) == value), None)
        if label is None:
            return self._leaf(dn, depth - 1, book, scope)
        return self._branch(scope, label, ()) if depth == 2 else self._leaf(dn, depth - 2, label, scope)

    def _tenant(self, scope: Scope) -> Region:
        directory, context = self.directory, self.directory.context
        tenant = tenant_entry(context)
        if scope is Scope.BASE_OBJECT:
            return Region.of(context, tenant)
        if scope is Scope.SINGLE_LEVEL:
            return Region.of(context, *(book.container for book in directory.visible(self.access)))
        own, union, seen = directory.own(self.access), directory.union, directory.shared
        above = [Shelf((tenant,)), *shelves(union.containers)]
        contacts = [*union.form(per_number=self.per_number)]
        if own is not None and own.sharing is not Sharing.SHARED:
            above.append(own.containers)
            contacts[:0] = self._entries(own)
            seen += 1
        return Region(
            context,
            tuple(above),
            tuple(contacts),
            shelves(union.callers),
            f"{context.name}/{self.access.book}",
            mixed=bool(union.contacts) and seen > 1,
        )

    def _branch(self, scope: Scope, branch: Book | Label, labels: Iterable[Label]) -> Region:
        """A book or a label; the contacts of a label are found in it alone."""
        own = () if scope is Scope.SINGLE_LEVEL else (branch.container,)
        if scope is Scope.BASE_OBJECT:
            return Region.of(self.directory.context, *own)
        above = Region.of(self.directory.context, *own, *(label.container for label in labels)).above
        return Region(self.directory.context, above, self._entries(branch))

    def _leaf(self, dn: Dn, depth: int, branch: Book | Label, scope: Scope) -> Region:
        """A contact by its name, in either form.

        :param depth: how many parts of the name stand before the branch's.
        """
        uid = _only(dn, depth - 1, "uid")
        entry = None if uid is None else branch.shelves.of_uid(uid)
        if entry is None:
            raise _missing(str(dn.parent(depth)))
        if depth > 1:
            raise _missing(str(dn.parent(depth - 1)))
        return Region.of(self.directory.context, *(() if scope is Scope.SINGLE_LEVEL else (entry,)))

    def _entries(self, branch: Book | Label) -> tuple[Shelf, ...]:
        return branch.shelves.form(per_number=self.per_number)


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
