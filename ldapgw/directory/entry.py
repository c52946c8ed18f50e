# SPDX-License-Identifier: MIT
"""An entry holds the attributes that LDAP returns for a contact, for a book or for a tenant.

An entry has two strings, which hold its packed attributes (`ldapgw.directory.packed_attributes`).  Attributes that all
contacts share (their object classes) are packed once.  The DN and the operational attributes (RFC 4512 3.4) are made
from the entry's `Parent` on request.

A `Selection` is the parsed list of attributes that a search returns (RFC 4511 4.5.1.8), with the format of numbers.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple, Protocol, Self

from ldapgw import ber
from ldapgw.ber import octets
from ldapgw.directory import normalization
from ldapgw.directory.naming_context import NamingContext
from ldapgw.directory.packed_attributes import (
    NO_ATTRIBUTES,
    TAG_START,
    PackedAttribute,
    PackedAttributes,
    decoded,
    encoded_set,
    encoded_texts,
    find_uid,
    octets_of,
    unpack,
)
from ldapgw.directory.schema import (
    ATTRIBUTE_TYPES,
    NUMBER_TYPES,
    AttributeType,
    Family,
    attribute_type,
    attributes_of,
    subtypes,
)
from ldapgw.numbers import Number, phone_number
from ldapgw.numbers.phone_number import NumberFormat

# The precedence of entries that are in no book, such as entries for caller ID.
_LAST_PRECEDENCE: Final = 1 << 16

SUBSCHEMA_DN: Final = "cn=subschema"

Attributes = Mapping[str, tuple[bytes, ...]]


class Parent(Protocol):
    """The parent of entries; the parent computes the entries' DNs, shared attributes and operational attributes."""

    @property
    def shared(self) -> PackedAttributes:
        """Return the attributes that all entries of the parent share; each entry's own attributes follow."""

    @property
    def uuid_namespace(self) -> str:
        """Return the namespace that is combined with an entry's RDN to make the entry's UUID.

        The namespace never changes.  If the entry is no contact of a book, the namespace is empty (`FixedAttributes`).
        """

    @property
    def precedence(self) -> int:
        """Return a number that decides which entry of a person is shown: the entry with the lowest number."""

    @property
    def own_precedence(self) -> int:
        """Return the number that replaces `precedence` if the viewer owns the book."""

    def entry_dn(self, uid: bytes) -> bytes:
        """Return the DN of an entry, in UTF-8."""

    def operational(self, uid: bytes, updated: int) -> Attributes:
        """Return the operational attributes of an entry, by name.

        :param updated: the time of the last change, in seconds since the epoch; 0 if unknown.
        """


@dataclass(frozen=True, slots=True)
class FixedAttributes:
    """A `Parent` for a single entry, which stores the DN and the operational attributes of the entry."""

    dn: bytes
    attributes: Attributes = field(default_factory=dict)
    uuid_namespace: str = ""
    precedence: int = _LAST_PRECEDENCE
    own_precedence: int = _LAST_PRECEDENCE

    @property
    def shared(self) -> PackedAttributes:
        return NO_ATTRIBUTES

    def entry_dn(self, uid: bytes) -> bytes:  # noqa: ARG002 - as `Parent` has it
        return self.dn

    def operational(self, uid: bytes, updated: int) -> Attributes:  # noqa: ARG002 - as `Parent` has it
        return self.attributes


def structural_attributes(dn: str, structural: str, path: str, *, subordinates: bool) -> dict[str, tuple[bytes, ...]]:
    """Return the operational attributes of every entry of a tenant's tree (RFC 4512 3.4, RFC 4530, RFC 5020).

    :param path: the text from which the UUID is made.
    """
    return {
        "structuralObjectClass": (structural.encode(),),
        "subschemaSubentry": (SUBSCHEMA_DN.encode(),),
        "hasSubordinates": (b"TRUE" if subordinates else b"FALSE",),
        "entryUUID": (str(uuid.uuid5(uuid.NAMESPACE_OID, f"ldapgw/{path}")).encode(),),
        "entryDN": (dn.encode(),),
    }


# The formats that a single phone can have.  Only a whole tenant can have the format "typed", because the typed texts
# cannot be restored from entries in another format.
PHONE_FORMATS: Final = tuple(form for form in NumberFormat if form is not NumberFormat.TYPED)


def parse_written(text: str, form: NumberFormat, region: str, outside_line: str) -> Number | None:
    """Parse a number that was written in a format; return None if the number cannot be parsed.

    :param form: the format.  In the format ``dial``, the function removes the digits for an outside line, and accepts a
        number only if the number's country is known.
    """
    if form is not NumberFormat.DIAL:
        return phone_number.parse(text, region)
    number = phone_number.parse(text.removeprefix(outside_line), region)
    return number if number is not None and number.e164 else None


class NumberFormatter(NamedTuple):
    """A converter of numbers from a tenant's format to a phone's format.

    The class is a named tuple, because viewers (`Viewer`) hold formatters and have to be hashed fast.

    :ivar target: the phone's format.
    :ivar source: the tenant's format.
    """

    target: NumberFormat
    source: NumberFormat
    region: str
    outside_line: str

    def value(self, text: str, line: str) -> str:
        """Convert a number to the phone's format.

        :param text: the number in the tenant's format.
        :param line: the number's line in the search text of its attribute (`ldapgw.directory.normalization`).
        """
        if normalization.is_number_line(line):
            number: Number | None = normalization.number_of(line)
        else:
            number = parse_written(text, self.source, self.region, self.outside_line)
        if number is None:
            return text
        return phone_number.format_number(number, self.target, self.region, self.outside_line)

    def original(self, text: str) -> str:
        """Convert a number back to the tenant's format; the format "typed" cannot be restored.

        :param text: the number in the phone's format.
        """
        number = parse_written(text, self.target, self.region, self.outside_line)
        return phone_number.format_number(number, self.source, self.region, self.outside_line) if number else text

    def values(self, values: Iterable[bytes], search_text: str) -> tuple[bytes, ...]:
        """Convert the values of an attribute to the phone's format; equal results are returned once.

        :param values: the values in the tenant's format.
        """
        lines = normalization.lines_of(search_text)
        formatted = [self.value(value.decode(), line).encode() for value, line in zip(values, lines, strict=True)]
        return tuple(dict.fromkeys(formatted))


def number_formatter(form: NumberFormat | None, context: NamingContext) -> NumberFormatter | None:
    """Return the formatter for numbers of a tenant's entries, or None if the numbers already have the format.

    :param form: the format, or None for the tenant's own format.
    """
    if form is None or form is context.number_format:
        return None
    return NumberFormatter(form, context.number_format, context.region, context.outside_line)


TELEPHONE_NUMBER: Final = "telephoneNumber"
# The attributes from which a number is copied to telephoneNumber if the contact has no telephoneNumber of its own.
_COPIED: Final = tuple(kind for kind in NUMBER_TYPES if kind.name != TELEPHONE_NUMBER)

# Two names of a requested attribute: the name in the request, encoded, and the name in the schema.
RequestedAttribute = tuple[bytes, str]


# The cache holds at most `_MAX_CACHED` parsed selections, each of at most `_LONGEST_CACHED` characters.
_MAX_CACHED, _LONGEST_CACHED = 256, 512


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """An attribute selection, which is compared by identity.

    :ivar named: user attributes requested by name.
    :ivar operational: operational attributes requested by name.
    :ivar names: the names of the attributes in `named` and `operational`.
    :ivar all_user: whether the selection is empty or contains ``*``.  Both select all user attributes except binary
        attributes.
    :ivar all_operational: whether all operational attributes are selected (``+``, RFC 3673).
    :ivar has_photos: whether photos are selected.  Messages with photos are not cached, because photos are large.
    :ivar copied_from: the number attributes that are requested by name besides telephoneNumber.  If the only value of
        telephoneNumber is also a value of such an attribute, telephoneNumber is left out, so that the phone shows the
        number once.
    :ivar formatter: converts numbers to the format of the phone that searches; None if the numbers stay in the tenant's
        format.
    """

    named: tuple[RequestedAttribute, ...]
    operational: tuple[RequestedAttribute, ...]
    names: frozenset[str]
    all_user: bool
    all_operational: bool
    has_photos: bool
    copied_from: tuple[str, ...] = ()
    formatter: NumberFormatter | None = None

    @classmethod
    def parse(cls, attributes: tuple[str, ...], formatter: NumberFormatter | None = None) -> Self:
        """Parse an attribute selection; a name that is not in the schema (``1.1``) selects nothing.

        Some phones send "cn sn" as one name, or "cn,sn" if somebody has entered commas.  Both names select the
        attributes cn and sn (`names_in`).
        """
        requested = [name for text in attributes for name in names_in(text)]
        spellings = {kind.name: name for name in reversed(requested) if (kind := attribute_type(name))}
        selected: dict[str, tuple[bytes, AttributeType]] = {}
        for kind in (kind for name in requested for kind in _named(name)):
            selected.setdefault(kind.name, (octets(spellings.get(kind.name, kind.name).encode()), kind))
        all_user = not any(map(str.strip, attributes)) or "*" in requested
        has_copy = TELEPHONE_NUMBER in spellings and not all_user
        return cls(
            named=tuple((name, kind.name) for name, kind in selected.values() if not kind.operational),
            operational=tuple((name, kind.name) for name, kind in selected.values() if kind.operational),
            names=frozenset(selected),
            all_user=all_user,
            all_operational="+" in requested,
            has_photos=any(kind.comparison.family is Family.BINARY for _, kind in selected.values()),
            copied_from=tuple(kind.name for kind in _COPIED if kind.name in spellings) if has_copy else (),
            formatter=formatter,
        )

    @property
    def is_slow(self) -> bool:
        """Return whether an entry takes long to encode, because photos are copied or numbers are converted."""
        return self.has_photos or self.formatter is not None


def names_in(text: str) -> list[str]:
    """Split a text of an attribute selection at blanks and commas, which no attribute description contains."""
    return text.replace(",", " ").split()


def select(attributes: tuple[str, ...], formatter: NumberFormatter | None = None) -> Selection:
    """Parse a selection; equal requests get the same object while the object is cached."""
    if sum(map(len, attributes)) <= _LONGEST_CACHED:
        return _select(attributes, formatter)
    return Selection.parse(attributes, formatter)


_select = lru_cache(_MAX_CACHED)(Selection.parse)


def _named(name: str) -> tuple[AttributeType, ...]:
    """Return the attributes that a name selects; ``@`` and an object class select attributes of the class (RFC 4529).

    An object class does not select the photo, because a photo is larger than all other attributes together, and few
    phones show photos.
    """
    if name.startswith("@"):
        return tuple(kind for kind in attributes_of(name[1:]) if kind.comparison.family is not Family.BINARY)
    kind = attribute_type(name)
    return subtypes(kind) if kind else ()


# RFC 4511 4.5.2: SearchResultEntry ::= [APPLICATION 4] SEQUENCE { objectName, attributes }
SEARCH_RESULT_ENTRY: Final = 0x64

# The octet that takes the place of the messageID in a cached message.  A messageID is an INTEGER, nearly always of one
# octet.  No text in UTF-8 contains the octet.  `PLACEHOLDER_ID` is the whole encoded INTEGER, followed by the tag of
# the SearchResultEntry.
PLACEHOLDER: Final = b"\xff"
PLACEHOLDER_ID: Final = b"\x02\x01" + PLACEHOLDER + bytes((SEARCH_RESULT_ENTRY,))

_ENCODED_NAMES: Final = {kind.name: ber.octets(kind.name.encode()) for kind in ATTRIBUTE_TYPES}
_NO_VALUES: Final = ber.tlv(ber.SET, b"")

_BINARY: Final = frozenset(kind.name for kind in ATTRIBUTE_TYPES if kind.comparison.family is Family.BINARY)


@lru_cache(64)
def _shared_sets(values: bytes) -> dict[str, bytes]:
    """Unpack the attributes that all entries of a book share."""
    return unpack(values)


# An entry without its parent: values, text and sort key.
EntryRecord = tuple[bytes, str, bytes]


class Entry:
    """An entry of the directory.  The entry never changes.

    :ivar text: the tagged search texts of the entry's own attributes.
    :ivar sort_key: the key that sorts entries as people sort names; empty for the root DSE, the subschema, and the
        entry of a tenant.
    """

    __slots__ = ("_values", "parent", "sort_key", "text")

    def __init__(self, own: PackedAttributes, parent: Parent, *, sort_key: bytes = b"") -> None:
        self._values = own.values
        self.text = own.text
        self.parent = parent
        self.sort_key = sort_key

    def __repr__(self) -> str:
        # The text has no names and no numbers, because the text may get into a log.
        return f"<Entry of {len(self._values)} octets>"

    @property
    def uid(self) -> bytes:
        """Return the uid of the entry; empty if the entry has no uid."""
        return find_uid(self._values)

    @property
    def dn(self) -> str:
        return self.parent.entry_dn(self.uid).decode()

    @property
    def updated(self) -> int:
        """Return the time of the last change, in seconds since the epoch; 0 if unknown."""
        return PackedAttributes(self._values).updated

    def attribute(self, name: str, formatter: NumberFormatter | None = None) -> tuple[bytes, ...]:
        """Return the values of an attribute by any of its names; empty if the attribute is absent or unknown."""
        kind = attribute_type(name)
        if kind is None:
            return ()
        if kind.operational:
            return self.operational().get(kind.name, ())
        values = decoded(self.sets().get(kind.name, b""))
        if formatter is None or kind not in NUMBER_TYPES:
            return values
        return formatter.values(values, self.search_text(kind) or "")

    def texts(self, names: Iterable[str], formatter: NumberFormatter | None = None) -> dict[str, tuple[str, ...]]:
        """Return the values of several user attributes; an absent attribute has no values.

        The function is faster than a call of `attribute` for each name, because the entry is unpacked only once.

        :param names: the attributes' names in the schema.
        """
        sets = unpack(self._values)
        shared = _shared_sets(self.parent.shared.values)
        found: dict[str, tuple[str, ...]] = {}
        for name in names:
            packed = sets.get(name) or shared.get(name)
            if packed is None:
                found[name] = ()
            elif (
                formatter is None and len(packed) > 3 and packed[3] == len(packed) - 4
            ):  # most sets have one short value and take this shortcut
                found[name] = (packed[4:].decode("utf-8", "replace"),)
            else:
                found[name] = self._texts(name, packed, formatter)
        return found

    def _texts(self, name: str, packed: bytes, formatter: NumberFormatter | None) -> tuple[str, ...]:
        values, kind = decoded(packed), attribute_type(name)
        if formatter is not None and kind is not None and kind in NUMBER_TYPES:
            values = formatter.values(values, self.search_text(kind) or "")
        return tuple([value.decode("utf-8", "replace") for value in values])

    def operational(self) -> Attributes:
        return self.parent.operational(self.uid, self.updated)

    def search_text(self, kind: AttributeType) -> str | None:
        """Return the search text of an attribute's values; None if the attribute is absent."""
        if kind.operational:
            values = self.operational().get(kind.name)
            return (
                normalization.value_search_text(kind.comparison.family, [value.decode() for value in values])
                if values
                else None
            )
        own = PackedAttributes(self._values, self.text).search_text(kind)
        return self.parent.shared.search_text(kind) if own is None else own

    def encode(self, selection: Selection, *, types_only: bool = False) -> bytes:
        """Encode the whole SearchResultEntry, which follows the messageID in a message.

        :param types_only: whether to encode the attributes' names without their values.
        """
        own = unpack(self._values)
        sets = _shared_sets(self.parent.shared.values) | own
        if selection.formatter is not None:
            sets |= self._formatted_numbers(sets, selection, selection.formatter)
        if selection.copied_from and _has_copy(sets, selection.copied_from):
            del sets[TELEPHONE_NUMBER]
        selected = [(encoded, sets[name]) for encoded, name in selection.named if name in sets]
        if selection.all_user:
            left_out = selection.names | _BINARY
            selected += [(_ENCODED_NAMES[name], values) for name, values in sets.items() if name not in left_out]
        if selection.operational or selection.all_operational:
            selected += self._operational(selection)
        if types_only:
            selected = [(name, values and _NO_VALUES) for name, values in selected]
        attributes = b"".join([ber.tlv(ber.SEQUENCE, name + values) for name, values in selected])
        dn = ber.octets(self.parent.entry_dn(_uid(own)))
        return ber.tlv(SEARCH_RESULT_ENTRY, dn + ber.tlv(ber.SEQUENCE, attributes))

    def to_record(self) -> EntryRecord:
        """Return the record that a book file stores."""
        return self._values, self.text, self.sort_key

    def tagged_texts(self) -> list[str]:
        """Return the search text of each attribute, preceded by the attribute's letter.

        The letter is the second character of `attribute_tag`, or `ALIAS_LETTER` for aliases.
        """
        return self.parent.shared.text.split(TAG_START)[1:-1] + self.text.split(TAG_START)[1:-1]

    def with_parent(self, parent: Parent) -> Entry:
        """Return a copy below another parent."""
        return Entry(PackedAttributes(self._values, self.text), parent, sort_key=self.sort_key)

    def sets(self) -> dict[str, bytes]:
        """Return the encoding of each user attribute's SET, by the attribute's name."""
        return _shared_sets(self.parent.shared.values) | unpack(self._values)

    def _formatted_numbers(
        self, sets: Mapping[str, bytes], selection: Selection, formatter: NumberFormatter
    ) -> dict[str, bytes]:
        """Return the encoded sets of the selected number attributes, with their numbers in the format of the phone."""
        return {
            kind.name: encoded_set(formatter.values(decoded(sets[kind.name]), self.search_text(kind) or ""))
            for kind in NUMBER_TYPES
            if kind.name in sets and (selection.all_user or kind.name in selection.names)
        }

    def _operational(self, selection: Selection) -> Iterable[tuple[bytes, bytes]]:
        own = self.operational()
        selected = [(encoded, own[name]) for encoded, name in selection.operational if name in own]
        if selection.all_operational:
            selected += [(_ENCODED_NAMES[name], values) for name, values in own.items() if name not in selection.names]
        return [(encoded, encoded_set(values)) for encoded, values in selected]


def special_entry(
    dn: str, attributes: Mapping[str, Sequence[str]], operational: Attributes, *, lenient: bool, sort_key: bytes = b""
) -> Entry:
    """Make an entry that is no contact: the root DSE, the subschema, a tenant, a book or a label."""
    packed: dict[str, PackedAttribute] = {}
    for name, texts in attributes.items():
        kind = attribute_type(name)
        if kind is not None:
            search_text = normalization.search_text(kind.comparison.family, texts, lenient=lenient)
            packed[kind.name] = encoded_texts(texts), search_text
    return Entry(PackedAttributes.pack(packed), FixedAttributes(octets_of(dn), operational), sort_key=sort_key)


def _has_copy(sets: Mapping[str, bytes], copied_from: Iterable[str]) -> bool:
    """Return whether the only value of telephoneNumber is also a value of another attribute.

    :param copied_from: the names of the other attributes.
    """
    others = [sets[name] for name in copied_from if name in sets]
    number = decoded(sets.get(TELEPHONE_NUMBER, b"")) if others else ()
    return len(number) == 1 and any([number[0] in decoded(values) for values in others])  # noqa: C419  compiled


def _uid(sets: Mapping[str, bytes]) -> bytes:
    """Return the uid among the encoded sets of an entry; empty if the entry has no uid."""
    return next(iter(decoded(sets.get("uid", b""))), b"")
