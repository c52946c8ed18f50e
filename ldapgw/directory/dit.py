# SPDX-License-Identifier: MIT
"""The Directory Information Tree (RFC 4512 2.1): tenants' directories, root DSE, subschema and tenant entries.

A `Directory` says which of its books a viewer sees.  The entries that are no contacts are found by the same search as
contacts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import InitVar, dataclass, field, replace
from functools import cache, lru_cache

from ldapgw.contact import Sharing
from ldapgw.directory import schema
from ldapgw.directory.access import ROOT, Access, NamingContext, Viewer
from ldapgw.directory.book import DIRECTORY, Book
from ldapgw.directory.dn import folded
from ldapgw.directory.entry import SUBSCHEMA_DN, Entry, special_entry, structural_attributes
from ldapgw.directory.shared_books import SharedBooks, merge_shared_books

VENDOR = "ldapgw"

# RFC 4511, and RFC 1777 as old phones speak it.
_VERSIONS = (b"2", b"3")


@dataclass(frozen=True, slots=True)
class Features:
    """The server's features on TLS, for the root DSE; a feature is listed if, and only if, it works (RFC 4512 5.1).

    :ivar before_tls: extensions that work only on a connection without TLS.
    """

    vendor_version: str
    controls: tuple[str, ...] = ()
    extensions: tuple[str, ...] = ()
    before_tls: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    sasl_mechanisms: tuple[str, ...] = ()

    def in_clear(self) -> Features:
        """The features on a connection without TLS, where no SASL mechanism works."""
        extensions = tuple(sorted((*self.extensions, *self.before_tls)))
        return replace(self, extensions=extensions, before_tls=(), sasl_mechanisms=())


def root_dse(features: Features, contexts: Iterable[NamingContext], default: NamingContext | None) -> Entry:
    """The root DSE (RFC 4512 5.1, RFC 3045).

    :param default: the default naming context: the best base for a client without a configured base; None: unclear.
    """
    attributes = {
        "structuralObjectClass": (b"top",),
        "subschemaSubentry": (SUBSCHEMA_DN.encode(),),
        "namingContexts": tuple(str(context.base).encode() for context in contexts),
        "defaultNamingContext": (str(default.base).encode(),) if default else (),
        "supportedLDAPVersion": _VERSIONS,
        "supportedControl": _encoded(features.controls),
        "supportedExtension": _encoded(features.extensions),
        "supportedFeatures": _encoded(features.features),
        "supportedSASLMechanisms": _encoded(features.sasl_mechanisms),
        "vendorName": (VENDOR.encode(),),
        "vendorVersion": (features.vendor_version.encode(),),
    }
    operational = {name: values for name, values in attributes.items() if values}
    return special_entry("", {"objectClass": ("top",)}, operational, lenient=False)


@lru_cache(maxsize=1024)
def tenant_entry(context: NamingContext) -> Entry:
    """A tenant's own entry, an organization; it holds the values of its RDN too (RFC 4512 2.3.1)."""
    dn = str(context.base)
    attributes: dict[str, tuple[str, ...]] = {"objectClass": ("top", "organization"), "o": (context.title,)}
    for name, value in next(iter(context.base.rdns), ()):
        if name == "dc":
            attributes["objectClass"] += ("dcObject",)
        kind = schema.attribute_type(name)
        if kind:
            attributes[kind.name] = tuple(dict.fromkeys((*attributes.get(kind.name, ()), value)))
    operational = structural_attributes(dn, "organization", context.name, subordinates=True)
    return special_entry(dn, attributes, operational, lenient=context.lenient)


@cache
def subschema() -> Entry:
    """The subschema entry (RFC 4512 4.2): the schema as clients read it."""
    operational = {
        "structuralObjectClass": (b"subentry",),
        "subschemaSubentry": (SUBSCHEMA_DN.encode(),),
        "hasSubordinates": (b"FALSE",),
        "entryDN": (SUBSCHEMA_DN.encode(),),
        "ldapSyntaxes": _encoded(f"( {oid} DESC '{name}' )" for oid, name in schema.SYNTAXES.items()),
        "matchingRules": _encoded(
            f"( {rule.oid} NAME '{rule.name}' SYNTAX {rule.syntax} )" for rule in schema.MATCHING_RULES
        ),
        "matchingRuleUse": _encoded(map(_matching_rule_use, schema.MATCHING_RULES)),
        "attributeTypes": _encoded(map(_attribute_type, schema.ATTRIBUTE_TYPES)),
        "objectClasses": _encoded(map(_object_class, schema.OBJECT_CLASSES)),
    }
    attributes = {"objectClass": ("top", "subentry", "subschema"), "cn": ("subschema",)}
    return special_entry(SUBSCHEMA_DN, attributes, operational, lenient=False)


def _matching_rule_use(rule: schema.MatchingRule) -> str:
    """RFC 4512 4.1.4: the attributes that a rule can be used with in an extensible match."""
    names = tuple(kind.name for kind in schema.ATTRIBUTE_TYPES if rule.applies(kind, lenient=ROOT.lenient))
    return f"( {rule.oid} NAME '{rule.name}' APPLIES {_oids(names)} )"


def _attribute_type(kind: schema.AttributeType) -> str:
    """RFC 4512 4.1.2."""
    parts = [kind.oid, "NAME", _names((kind.name, *kind.other_names))]
    parts += ["SUP", kind.supertype] if kind.supertype else []
    parts += ["EQUALITY", kind.comparison.equality]
    parts += ["ORDERING", kind.comparison.ordering] if kind.comparison.ordering else []
    parts += ["SUBSTR", kind.comparison.substrings] if kind.comparison.substrings else []
    parts += ["SYNTAX", kind.comparison.syntax]
    parts += ["SINGLE-VALUE"] if kind.single_valued else []
    parts += ["NO-USER-MODIFICATION", "USAGE", kind.usage] if kind.usage else []
    return f"( {' '.join(parts)} )"


def _object_class(kind: schema.ObjectClass) -> str:
    """RFC 4512 4.1.1."""
    parts = [kind.oid, "NAME", _names((kind.name,))]
    parts += ["SUP", kind.superclass] if kind.superclass else []
    parts += [kind.kind]
    parts += ["MUST", _oids(kind.must)] if kind.must else []
    parts += ["MAY", _oids(kind.may)] if kind.may else []
    return f"( {' '.join(parts)} )"


def _names(names: tuple[str, ...]) -> str:
    quoted = " ".join(f"'{name}'" for name in names)
    return quoted if len(names) == 1 else f"( {quoted} )"


def _oids(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"( {' $ '.join(names)} )"


def _encoded(texts: Iterable[str]) -> tuple[bytes, ...]:
    return tuple(text.encode() for text in texts)


__all__ = ["Directory", "Dit", "Features", "NamingContext"]


@dataclass(frozen=True, slots=True)
class Directory:
    """A tenant's part of the tree.

    :param before: the shared books of the directory until now, whose merged segments are used again where possible.
    :param defer_merge: build no segment; a later directory has to merge what is left.
    :ivar shared_books: the merged segments of other people's books.
    :ivar shared_count: how many of the books are shared.
    """

    context: NamingContext
    books: tuple[Book, ...] = ()
    before: InitVar[SharedBooks] = SharedBooks()  # noqa: RUF009  frozen
    defer_merge: InitVar[bool] = False
    shared_books: SharedBooks = field(init=False, repr=False, compare=False)
    shared_count: int = field(init=False, repr=False, compare=False)
    _by_key: Mapping[str, Book] = field(init=False, repr=False, compare=False)
    _by_name: Mapping[str, Sequence[Book]] = field(init=False, repr=False, compare=False)

    def __post_init__(self, before: SharedBooks, defer_merge: bool) -> None:
        """Merge, count and index the books once for all searches: there may be a thousand of them."""
        by_name: dict[str, list[Book]] = {}
        for book in self.books:
            by_name.setdefault(folded(book.name), []).append(book)
        shared_books = merge_shared_books(self.books, before, defer_merge=defer_merge)
        object.__setattr__(self, "shared_books", shared_books)
        object.__setattr__(self, "shared_count", sum(book.sharing is Sharing.SHARED for book in self.books))
        object.__setattr__(self, "_by_key", {book.key: book for book in reversed(self.books)})
        object.__setattr__(self, "_by_name", by_name)

    def own_book(self, access: Access) -> Book | None:
        """The viewer's own book."""
        return self._by_key.get(access.book)

    def visible_books(self, access: Access) -> tuple[Book, ...]:
        """The books that a viewer sees: its own book, then the shared books, then the Workspace directory."""
        return _visible(self.books, access)

    def book_named(self, name: str, access: Access) -> Book | None:
        """The first visible book with a name.

        :param name: folded (`ldapgw.directory.dn.folded`).
        """
        return next(iter(_visible(self._by_name.get(name, ()), access)), None)

    def caller_id_books(self, access: Access) -> tuple[Book, ...]:
        """Other people's books that are open for caller ID only."""
        return tuple(book for book in self.books if book.sharing is Sharing.CALLERS and book.key != access.book)


def _visible(books: Iterable[Book], access: Access) -> tuple[Book, ...]:
    visible = [book for book in books if book.key == access.book or book.sharing is Sharing.SHARED]
    return tuple(sorted(visible, key=lambda book: (book.key != access.book, book.name == DIRECTORY)))


@dataclass(frozen=True, slots=True)
class Dit:
    """All tenants' directories and the server's features; replaced as a whole.

    Mutable: the root DSEs that were asked for, because clients read one at each connection.

    :ivar in_clear: the tree for a connection without TLS.
    """

    directories: tuple[Directory, ...]
    features: Features
    in_clear: Dit = field(init=False, repr=False, compare=False)
    _root_dses: dict[frozenset[str], Entry] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Make the tree for connections without TLS, where it is another one."""
        has_tls = self.features.sasl_mechanisms or self.features.before_tls
        in_clear = replace(self, features=self.features.in_clear()) if has_tls else self
        object.__setattr__(self, "in_clear", in_clear)

    def directory(self, tenant: str) -> Directory | None:
        """The directory of a tenant by its name."""
        return next((directory for directory in self.directories if directory.context.name == tenant), None)

    def root_dse(self, viewer: Viewer) -> Entry:
        """The root DSE; its default naming context is the viewer's own, or the only one."""
        names = frozenset(access.tenant for access in viewer.access)
        entry = self._root_dses.get(names)
        if entry is None:
            contexts = tuple(directory.context for directory in self.directories)
            candidates = [context for context in contexts if context.name in names] or contexts
            entry = root_dse(self.features, contexts, candidates[0] if len(candidates) == 1 else None)
            self._root_dses[names] = entry
        return entry
