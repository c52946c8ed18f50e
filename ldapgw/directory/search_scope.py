# SPDX-License-Identifier: MIT
"""The segments that a search covers; `ldapgw.directory.dit` finds them for a base and a scope (RFC 4511 4.5.1.2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import attrgetter
from typing import Self

from ldapgw.directory.entry import Entry
from ldapgw.directory.naming_context import NamingContext
from ldapgw.directory.segment import Segment

_SORT_KEY = attrgetter("sort_key")

# Containers that are looked at one by one sooner than through their indexes.
_FEW = 16


@dataclass(frozen=True, slots=True)
class SearchScope:
    """The part of a tenant's tree that a search covers.

    :ivar containers: the entries of the tenant, of books and of labels; or the single entry at the base.
    :ivar contacts: the contacts that the viewer may browse.
    :ivar callers: contacts of books that are open for caller ID only.
    :ivar own_namespace: the UUID namespace of the viewer's own book: of two entries for one person, the entry in this
        book is shown, unless the tenant has another order of books.
    :ivar left_out: sort keys of contacts that an earlier scope of the same search has.
    :ivar may_have_duplicates: whether the contacts are of several books, in which there may be the same person.
    :ivar only_segment: the only segment of contacts, if none of its entries has to be compared with others; else None.
    :ivar container_tag_letters: the letters of the attributes that containers have (`Entry.tagged_texts`).
    :ivar container_classes: the object classes that containers have (`Segment.object_classes`).
    :ivar container_entries: the containers by themselves where they are few; empty where they are many.
    """

    context: NamingContext
    containers: tuple[Segment, ...] = ()
    contacts: tuple[Segment, ...] = ()
    callers: tuple[Segment, ...] = ()
    own_namespace: str = ""
    may_have_duplicates: bool = False
    left_out: frozenset[str] = frozenset()
    only_segment: Segment | None = field(init=False, repr=False, compare=False)
    container_tag_letters: frozenset[str] = field(init=False, repr=False, compare=False)
    container_classes: frozenset[str] = field(init=False, repr=False, compare=False)
    container_entries: tuple[Entry, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Compute what lets `ldapgw.directory.search.first_matches` answer without a cursor."""
        first = self.contacts[0] if len(self.contacts) == 1 else None
        only = None if first is None or (self.may_have_duplicates and first.duplicates) else first
        object.__setattr__(self, "only_segment", only)
        is_few = sum([len(segment.entries) for segment in self.containers]) <= _FEW
        entries = tuple([entry for segment in self.containers for entry in segment]) if is_few else ()
        object.__setattr__(self, "container_entries", entries)
        tag_letters = frozenset[str]().union(*[segment.tag_letters for segment in self.containers])
        object.__setattr__(self, "container_tag_letters", tag_letters)
        classes = frozenset[str]().union(*[segment.object_classes for segment in self.containers])
        object.__setattr__(self, "container_classes", classes)

    @classmethod
    def of(cls, context: NamingContext, *entries: Entry) -> Self:
        """The scope of a few entries, without what is below them."""
        return cls(context, (Segment(tuple(sorted(entries, key=_SORT_KEY))),) if entries else ())
