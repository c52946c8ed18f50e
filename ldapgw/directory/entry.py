# SPDX-License-Identifier: MIT
"""An entry: what LDAP returns for a contact, encoded once and searched as it stands.

An entry keeps each attribute's values as the octets of their SET, ready to be sent, and as a haystack (`haystack`),
ready to be searched.  Entries with the same attributes share one *shape*, a mapping of names to places, so that an
entry is two short tuples and no mapping of its own.  Operational attributes are worked out when somebody asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ldapgw import ber
from ldapgw.directory import haystack
from ldapgw.directory.origin import Attributes, Fixed, Origin, Place
from ldapgw.directory.schema import ATTRIBUTE_TYPES, AttributeType, Family, attribute_type
from ldapgw.directory.selection import Selection

# RFC 4511 4.5.2: SearchResultEntry ::= [APPLICATION 4] SEQUENCE { objectName, attributes }
SEARCH_RESULT_ENTRY = 0x64

_NAMES = {kind.name: ber.octets(kind.name.encode()) for kind in ATTRIBUTE_TYPES}
_NO_VALUES = ber.tlv(ber.SET, b"")


class Entry:
    """One entry of the directory; never changed once it is made.

    :ivar shape: the place of each user attribute, by its name.
    :ivar haystacks: the searchable form of each attribute's values, by its place.
    :ivar order: sorts entries as people sort names (`ldapgw.directory.order`); empty where there is one alone.
    """

    __slots__ = ("_dn", "_origin", "_sets", "_updated", "haystacks", "order", "shape")

    def __init__(
        self,
        dn: bytes,
        shape: Mapping[str, int],
        sets: tuple[bytes, ...],
        haystacks: tuple[str, ...],
        origin: Origin,
        *,
        updated: float = 0.0,
        order: str = "",
    ) -> None:
        """Put together what was encoded before.

        :param dn: the name's encoding.
        :param sets: the encoding of each attribute's values, by its place; empty: found by, but not returned.
        """
        self._dn = dn
        self._sets = sets
        self._origin = origin
        self._updated = updated
        self.shape = shape
        self.haystacks = haystacks
        self.order = order

    def __repr__(self) -> str:
        """Without names or numbers: a log must not hold them."""
        return f"<Entry of {len(self.shape)} attributes>"

    @property
    def dn(self) -> str:
        """The distinguished name, as it is returned."""
        return ber.Reader.over(self._dn).octets("objectName").decode()

    def attribute(self, name: str) -> tuple[bytes, ...]:
        """The values of an attribute by any of its names; none if it is absent or unknown."""
        kind = attribute_type(name)
        if kind is None:
            return ()
        if kind.operational:
            return self.operational().get(kind.name, ())
        at = self.shape.get(kind.name)
        return () if at is None else decoded(self._sets[at])

    def operational(self) -> Attributes:
        """The operational attributes by name."""
        return self._origin.operational(self.dn, self._updated)

    def haystack(self, kind: AttributeType) -> str | None:
        """The searchable form of an attribute's values; None if it is absent."""
        if kind.operational:
            values = self.operational().get(kind.name)
            return haystack.of_values(kind.kind.family, [value.decode() for value in values]) if values else None
        at = self.shape.get(kind.name)
        return None if at is None else self.haystacks[at]

    def encode(self, selection: Selection, *, types_only: bool = False) -> bytes:
        """The whole SearchResultEntry, ready to stand behind a message id.

        :param types_only: attribute names without their values.
        """
        shape, sets = self.shape, self._sets
        chosen = [(encoded, sets[shape[name]]) for encoded, name in selection.named if name in shape]
        if selection.all_user:
            chosen += [(_NAMES[name], sets[at]) for name, at in shape.items() if name not in selection.names]
        if selection.operational or selection.all_operational:
            chosen += self._operational(selection)
        if types_only:
            chosen = [(name, values and _NO_VALUES) for name, values in chosen]
        attributes = b"".join([ber.tlv(ber.SEQUENCE, name + values) for name, values in chosen if values])
        return ber.tlv(SEARCH_RESULT_ENTRY, self._dn + ber.tlv(ber.SEQUENCE, attributes))

    def moved(self, place: Place) -> Entry:
        """The same contact at another place of the tree."""
        rdn = self._origin.rdn(self.dn) if isinstance(self._origin, Place) else self.dn
        dn = encoded_text(f"{rdn},{place.dn}")
        return Entry(dn, self.shape, self._sets, self.haystacks, place, updated=self._updated, order=self.order)

    def _operational(self, selection: Selection) -> Iterable[tuple[bytes, bytes]]:
        own = self.operational()
        asked = [(encoded, own[name]) for encoded, name in selection.operational if name in own]
        if selection.all_operational:
            asked += [(_NAMES[name], values) for name, values in own.items() if name not in selection.names]
        return [(encoded, encoded_set(values)) for encoded, values in asked]


def special(
    dn: str, attributes: Mapping[str, Sequence[str]], operational: Attributes, *, lenient: bool, order: str = ""
) -> Entry:
    """An entry that is no contact: the root DSE, the subschema, a tenant, a book, a label."""
    kinds = [kind for kind in map(attribute_type, attributes) if kind]
    values = [tuple(attributes[kind.name]) for kind in kinds]
    haystacks = tuple(
        haystack.of_texts(texts) if lenient and kind.kind.family is Family.TEXT
        else haystack.of_values(kind.kind.family, texts)
        for kind, texts in zip(kinds, values, strict=True)
    )  # fmt: skip
    shape = {kind.name: at for at, kind in enumerate(kinds)}
    sets = tuple(map(encoded_texts, values))
    return Entry(encoded_text(dn), shape, sets, haystacks, Fixed(operational), order=order)


def encoded_text(text: str) -> bytes:
    """A text as an OCTET STRING; half a surrogate pair, which JSON can hold and UTF-8 cannot, becomes "?"."""
    return ber.octets(text.encode("utf-8", "replace"))


def encoded_texts(texts: Iterable[str]) -> bytes:
    """Texts as a SET OF OCTET STRING."""
    return ber.tlv(ber.SET, b"".join(map(encoded_text, texts)))


def encoded_set(values: Iterable[bytes]) -> bytes:
    """Octets as a SET OF OCTET STRING."""
    return ber.tlv(ber.SET, b"".join(map(ber.octets, values)))


def decoded(values: bytes) -> tuple[bytes, ...]:
    """The values of a SET OF OCTET STRING; none of an empty string."""
    reader = ber.Reader.over(values)
    inside = reader.enter(ber.SET, "vals") if reader else reader
    found = []
    while inside:
        found.append(inside.octets("value"))
    return tuple(found)
