# SPDX-License-Identifier: MIT
"""Which attributes a search returns (RFC 4511 4.5.1.8), worked out once a search."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Self

from ldapgw.ber import octets
from ldapgw.directory.schema import AttributeType, attribute_type, attributes_of, subtypes

# An attribute as it is returned: the encoding of its name in the request's spelling, and the name of its values.
Named = tuple[bytes, str]


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

    named: tuple[Named, ...]
    operational: tuple[Named, ...]
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
