# SPDX-License-Identifier: MIT
"""Where an entry stands among others: as people sort names, the same at each search, and short.

An *order* is a text that sorts entries.  It holds the folded name, the name as it is written, and a tag that is the
entry's own and stays for as long as it exists; so no two are the same, and one is found again after a sync.  It is
bounded, because a paged search tells the client the place that it has come to: names that agree in their first
`LONGEST_NAME` signs stand in the order of their tags.

Where an entry comes from: what its operational attributes (RFC 4512 3.4) are made of when somebody asks for them.

Which attributes a search returns (RFC 4511 4.5.1.8), worked out once a search.

An entry: what LDAP returns for a contact, packed into a few strings and searched as it stands.

A hundred thousand of them are in memory, so an entry has no object for each attribute.  Its values are one string of
octets: for each attribute its number and the encoding of its SET.  What it is searched in is one text: for each
attribute a mark and its haystack (`haystack`).  What all contacts share (their object classes) is packed once.
Operational attributes are worked out when somebody asks.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Final, Protocol, Self

from ldapgw import ber
from ldapgw.ber import octets
from ldapgw.directory import assertion, name_folding
from ldapgw.directory.schema import ATTRIBUTE_TYPES, AttributeType, Family, attribute_type, attributes_of, subtypes

# Ends the name in an order.
NAME_END: Final = "\0"

MAX_SORT_NAME: Final = 96
# A sign may take four octets, and nobody sorts by the case of the 25th.
_MAX_WRITTEN_NAME: Final = 24
# Of a container's name; a label's order is its book's and its own.
_MAX_CONTAINER_NAME: Final = 40
_MAX_WRITTEN_CONTAINER_NAME: Final = 10

# Hexadecimal digits: two entries of one name in one tenant share a tag once in 2.8 * 10**14.
TIEBREAKER_LENGTH: Final = 12


def contact_sort_key(name: str, identity: str) -> str:
    """The order of a contact.

    :param name: as it is shown.
    :param identity: what makes it different from all others for as long as it exists.
    """
    return _sort_key(name, identity, MAX_SORT_NAME, _MAX_WRITTEN_NAME)


def container_sort_key(name: str, identity: str, parent_key: str = "") -> str:
    """The order of a book or a label.

    :param above: the order of the branch that it stands in: it comes behind that one.
    """
    return parent_key + _sort_key(name, identity, _MAX_CONTAINER_NAME, _MAX_WRITTEN_CONTAINER_NAME)


def sort_name(sort_key: str) -> str:
    """The folded name of a contact's order, as far as it goes."""
    return sort_key.partition(NAME_END)[0]


def _sort_key(name: str, identity: str, longest: int, longest_writing: int) -> str:
    tag = blake2b(identity.encode("utf-8", "surrogatepass"), digest_size=TIEBREAKER_LENGTH // 2).hexdigest()
    return f"{name_folding.collation_key(name)[:longest]}\0{name[:longest_writing]}\0{tag}"


SUBSCHEMA_DN = "cn=subschema"

Attributes = Mapping[str, tuple[bytes, ...]]


class Parent(Protocol):
    """Anything that knows an entry's operational attributes."""

    @property
    def dn_suffix(self) -> bytes:
        """What its entries' names end with, from the comma on; empty: they are whole."""

    @property
    def uuid_namespace(self) -> str:
        """What makes an entry's UUID its own besides its RDN; the same for ever; empty: there is one entry."""

    @property
    def precedence(self) -> int:
        """Of two entries for the same person, the one with the lower rank counts."""

    def operational(self, dn: str, updated: float) -> Attributes:
        """The operational attributes by name.

        :param updated: seconds since the epoch of the last change; 0 where unknown.
        """


@dataclass(frozen=True, slots=True)
class ParentEntry:
    """The origin of contacts: the entry below which they all stand.

    :ivar dn: the name of that entry.
    """

    dn: str
    uuid_namespace: str
    precedence: int = 0
    dn_suffix: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Encode the name once."""
        object.__setattr__(self, "dn_suffix", f",{self.dn}".encode("utf-8", "replace"))

    def rdn(self, dn: str) -> str:
        """The first part of an entry's name."""
        return dn.removesuffix("," + self.dn)

    def operational(self, dn: str, updated: float) -> Attributes:
        """Google tells the last change alone: it stands for the creation too."""
        found = structural_attributes(dn, "inetOrgPerson", f"{self.uuid_namespace}/{self.rdn(dn)}", subordinates=False)
        if updated > 0:
            moment = (f"{datetime.fromtimestamp(updated, UTC):%Y%m%d%H%M%SZ}".encode(),)
            found |= {"createTimestamp": moment, "modifyTimestamp": moment}
        return found


@dataclass(frozen=True, slots=True)
class FixedAttributes:
    """The origin of an entry that there is one of."""

    attributes: Attributes
    dn_suffix: bytes = b""
    uuid_namespace: str = ""
    precedence: int = 2

    def operational(self, dn: str, updated: float) -> Attributes:  # noqa: ARG002 - an Origin is asked with both
        """As given."""
        return self.attributes


def structural_attributes(dn: str, structural: str, path: str, *, subordinates: bool) -> dict[str, tuple[bytes, ...]]:
    """What every entry of a tenant's tree has (RFC 4512 3.4, RFC 4530, RFC 5020)."""
    return {
        "structuralObjectClass": (structural.encode(),),
        "subschemaSubentry": (SUBSCHEMA_DN.encode(),),
        "hasSubordinates": (b"TRUE" if subordinates else b"FALSE",),
        "entryUUID": (str(uuid.uuid5(uuid.NAMESPACE_OID, f"ldapgw/{path}")).encode(),),
        "entryDN": (dn.encode(),),
    }


# An attribute as it is returned: the encoding of its name in the request's spelling, and the name of its values.
RequestedAttribute = tuple[bytes, str]


# Different selections of phones that are kept read, and the most octets of one.
_KEPT, _LONGEST_KEPT = 256, 512


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """An attribute selection; two are the same only if they are one.

    :ivar named: user attributes asked for by name.
    :ivar operational: operational attributes asked for by name.
    :ivar names: the names in both.
    :ivar all_user: all user attributes (``*``, or nothing asked for).
    :ivar all_operational: all operational attributes (``+``, RFC 3673).
    """

    named: tuple[RequestedAttribute, ...]
    operational: tuple[RequestedAttribute, ...]
    names: frozenset[str]
    all_user: bool
    all_operational: bool

    @classmethod
    def parse(cls, attributes: tuple[str, ...]) -> Self:
        """Read an attribute selection; what names no attribute of ours (``1.1``) selects nothing.

        Some phones send "cn sn" as one name: it is two.
        """
        asked = [name for text in attributes for name in text.split()]
        spelt = {kind.name: name for name in reversed(asked) if (kind := attribute_type(name))}
        found: dict[str, tuple[bytes, AttributeType]] = {}
        for kind in (kind for name in asked for kind in _named(name)):
            found.setdefault(kind.name, (octets(spelt.get(kind.name, kind.name).encode()), kind))
        return cls(
            named=tuple((name, kind.name) for name, kind in found.values() if not kind.operational),
            operational=tuple((name, kind.name) for name, kind in found.values() if kind.operational),
            names=frozenset(found),
            all_user=not asked or "*" in asked,
            all_operational="+" in asked,
        )


def select(attributes: tuple[str, ...]) -> Selection:
    """The selection of what was asked for: the same one each time, unless nobody has asked for it for long."""
    return _select(attributes) if sum(map(len, attributes)) <= _LONGEST_KEPT else Selection.parse(attributes)


_select = lru_cache(_KEPT)(Selection.parse)


def _named(name: str) -> tuple[AttributeType, ...]:
    """The attributes that one name stands for; ``@`` and an object class stand for all of the class (RFC 4529)."""
    if name.startswith("@"):
        return attributes_of(name[1:])
    kind = attribute_type(name)
    return subtypes(kind) if kind else ()


# RFC 4511 4.5.2: SearchResultEntry ::= [APPLICATION 4] SEQUENCE { objectName, attributes }
SEARCH_RESULT_ENTRY = 0x64

_ENCODED_NAMES = {kind.name: ber.octets(kind.name.encode()) for kind in ATTRIBUTE_TYPES}
_NO_VALUES = ber.tlv(ber.SET, b"")

_ATTRIBUTE_NAMES = tuple(kind.name for kind in ATTRIBUTE_TYPES if not kind.operational)
_ATTRIBUTE_NUMBERS = {name: at for at, name in enumerate(_ATTRIBUTE_NAMES)}
# Begins each attribute's part of a text, and ends the last one; no haystack holds it.
TAG_START: Final = "\x1e"
ATTRIBUTE_TAGS = {name: TAG_START + chr(ord("A") + at) for name, at in _ATTRIBUTE_NUMBERS.items()}

# The sign of the names that find an entry without being shown.
ALIAS_LETTER: Final = "@"
# In place of a display name's haystack: it is that of cn.
SAME_AS_CN: Final = "\x1d"

_PERSON_NAMES = frozenset(("cn", "displayName", "givenName", "sn"))
NAME_TAGS = frozenset(map(ATTRIBUTE_TAGS.__getitem__, _PERSON_NAMES))
CN_TAG, OBJECT_CLASS_TAG, ALIAS_TAG = ATTRIBUTE_TAGS["cn"], ATTRIBUTE_TAGS["objectClass"], TAG_START + ALIAS_LETTER

# An attribute's values as the octets of their SET (empty: found by, but not returned), and their haystack.
PackedAttribute = tuple[bytes, str]


def attribute_tag(kind: AttributeType) -> str:
    """What stands before a user attribute's haystack in an entry's text; it is of two signs."""
    return ATTRIBUTE_TAGS[kind.name]


@dataclass(frozen=True, slots=True, repr=False)
class PackedAttributes:
    """User attributes packed."""

    values: bytes = b""
    text: str = TAG_START

    @classmethod
    def pack(cls, attributes: Mapping[str, PackedAttribute], aliases: str = "") -> Self:
        """Pack attributes, by their names.

        :param others: the haystack of names that find the entry without being shown.
        """
        values = b"".join(
            [bytes((_ATTRIBUTE_NUMBERS[name],)) + octets for name, (octets, _) in attributes.items() if octets]
        )
        cn = attributes.get("cn")
        texts = [
            ATTRIBUTE_TAGS[name] + (SAME_AS_CN if name == "displayName" and piece == cn else piece[1])
            for name, piece in attributes.items()
        ]
        if aliases:
            texts.append(ALIAS_TAG + aliases)
        return cls(values, "".join(texts) + TAG_START)

    def unpack(self) -> dict[str, bytes]:
        """The encoding of each attribute's values, by its name."""
        values, at, found = self.values, 0, {}
        while at < len(values):
            name, start = _ATTRIBUTE_NAMES[values[at]], at + 1
            length, at = values[at + 2], at + 3
            if length >= 0x80:
                octets = length & 0x7F
                length, at = int.from_bytes(values[at : at + octets], "big"), at + octets
            at += length
            found[name] = values[start:at]
        return found

    def search_text(self, kind: AttributeType) -> str | None:
        """The searchable form of a user attribute's values; None if it is absent."""
        found = self._tagged_text(ATTRIBUTE_TAGS[kind.name])
        if found == SAME_AS_CN:
            found = self._tagged_text(ATTRIBUTE_TAGS["cn"])
        if found is None or kind.name not in _PERSON_NAMES:
            return found
        return found + (self._tagged_text(ALIAS_TAG) or "")

    def _tagged_text(self, beginning: str) -> str | None:
        at = self.text.find(beginning)
        return None if at < 0 else self.text[at + 2 : self.text.index(TAG_START, at + 2)]


NO_ATTRIBUTES: Final = PackedAttributes()

# An entry without its place, and without what it shares with others: rdn, values, text, order and last change.
EntryRecord = tuple[bytes, bytes, str, str, float]


class Entry:
    """One entry of the directory; never changed once it is made.

    :ivar rdn: its name, as far as the origin does not say it.
    :ivar text: what its own attributes are searched in.
    :ivar common: attributes that it shares with others; they come first.
    :ivar order: sorts entries as people sort names (`ldapgw.directory.entry`); empty where there is one alone.
    :ivar origin: where it stands and comes from.
    """

    __slots__ = ("_updated", "_values", "parent", "rdn", "shared", "sort_key", "text")

    def __init__(
        self,
        rdn: bytes,
        own: PackedAttributes,
        parent: Parent,
        *,
        shared: PackedAttributes = NO_ATTRIBUTES,
        updated: float = 0.0,
        sort_key: str = "",
    ) -> None:
        """Put together what was packed before."""
        self.rdn = rdn
        self._values = own.values
        self.shared = shared
        self._updated = updated
        self.text = own.text
        self.parent = parent
        self.sort_key = sort_key

    def __repr__(self) -> str:
        """Without names or numbers: a log must not hold them."""
        return f"<Entry of {len(self._values)} octets>"

    @property
    def dn(self) -> str:
        """The distinguished name, as it is returned."""
        return (self.rdn + self.parent.dn_suffix).decode()

    def attribute(self, name: str) -> tuple[bytes, ...]:
        """The values of an attribute by any of its names; none if it is absent or unknown."""
        kind = attribute_type(name)
        if kind is None:
            return ()
        if kind.operational:
            return self.operational().get(kind.name, ())
        return decoded(self._sets().get(kind.name, b""))

    def operational(self) -> Attributes:
        """The operational attributes by name."""
        return self.parent.operational(self.dn, self._updated)

    def search_text(self, kind: AttributeType) -> str | None:
        """The searchable form of an attribute's values; None if it is absent."""
        if kind.operational:
            values = self.operational().get(kind.name)
            return (
                assertion.value_search_text(kind.comparison.family, [value.decode() for value in values])
                if values
                else None
            )
        own = PackedAttributes(self._values, self.text).search_text(kind)
        return self.shared.search_text(kind) if own is None else own

    def encode(self, selection: Selection, *, types_only: bool = False) -> bytes:
        """The whole SearchResultEntry, ready to stand behind a message id.

        :param types_only: attribute names without their values.
        """
        sets = self._sets()
        chosen = [(encoded, sets[name]) for encoded, name in selection.named if name in sets]
        if selection.all_user:
            chosen += [(_ENCODED_NAMES[name], values) for name, values in sets.items() if name not in selection.names]
        if selection.operational or selection.all_operational:
            chosen += self._operational(selection)
        if types_only:
            chosen = [(name, values and _NO_VALUES) for name, values in chosen]
        attributes = b"".join([ber.tlv(ber.SEQUENCE, name + values) for name, values in chosen])
        dn = ber.octets(self.rdn + self.parent.dn_suffix)
        return ber.tlv(SEARCH_RESULT_ENTRY, dn + ber.tlv(ber.SEQUENCE, attributes))

    def to_record(self) -> EntryRecord:
        """What is its own, to be written down."""
        return self.rdn, self._values, self.text, self.sort_key, self._updated

    def tagged_texts(self) -> list[str]:
        """What it is searched in: a sign and a haystack, each.

        The sign is the second one of an attribute's `mark`, or "@" of other names.
        """
        return self.shared.text.split(TAG_START)[1:-1] + self.text.split(TAG_START)[1:-1]

    def with_parent(self, parent: ParentEntry) -> Entry:
        """The same contact at another place of the tree."""
        own = PackedAttributes(self._values, self.text)
        return Entry(self.rdn, own, parent, shared=self.shared, updated=self._updated, sort_key=self.sort_key)

    def _sets(self) -> dict[str, bytes]:
        return self.shared.unpack() | PackedAttributes(self._values).unpack()

    def _operational(self, selection: Selection) -> Iterable[tuple[bytes, bytes]]:
        own = self.operational()
        asked = [(encoded, own[name]) for encoded, name in selection.operational if name in own]
        if selection.all_operational:
            asked += [(_ENCODED_NAMES[name], values) for name, values in own.items() if name not in selection.names]
        return [(encoded, encoded_set(values)) for encoded, values in asked]


def special_entry(
    dn: str, attributes: Mapping[str, Sequence[str]], operational: Attributes, *, lenient: bool, sort_key: str = ""
) -> Entry:
    """An entry that is no contact: the root DSE, the subschema, a tenant, a book, a label."""
    pieces: dict[str, PackedAttribute] = {}
    for name, texts in attributes.items():
        kind = attribute_type(name)
        if kind is not None:
            family = kind.comparison.family
            leniently = lenient and family is Family.TEXT
            sought = assertion.text_search_text(texts) if leniently else assertion.value_search_text(family, texts)
            pieces[kind.name] = encoded_texts(texts), sought
    return Entry(octets_of(dn), PackedAttributes.pack(pieces), FixedAttributes(operational), sort_key=sort_key)


def octets_of(text: str) -> bytes:
    """A text in UTF-8; half a surrogate pair, which JSON can hold and UTF-8 cannot, becomes "?"."""
    return text.encode("utf-8", "replace")


def encoded_texts(texts: Iterable[str]) -> bytes:
    """Texts as a SET OF OCTET STRING."""
    return encoded_set(map(octets_of, texts))


def encoded_set(values: Iterable[bytes]) -> bytes:
    """Octets as a SET OF OCTET STRING."""
    return ber.tlv(ber.SET, b"".join(map(ber.octets, values)))


def decoded(values: bytes) -> tuple[bytes, ...]:
    """The values of a SET OF OCTET STRING; none of an empty string."""
    reader = ber.BerReader.over(values)
    inside = reader.enter(ber.SET, "vals") if reader else reader
    found = []
    while inside:
        found.append(inside.octets("value"))
    return tuple(found)
