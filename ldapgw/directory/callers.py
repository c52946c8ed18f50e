# SPDX-License-Identifier: MIT
"""Books that are open to callers' names only: who is calling, and nothing else.

Such an entry holds cn, sn, displayName and the one number that was asked for.  Its name is made of what it holds
anyway, right below the tenant, so that neither the book nor the contact's id shows; the filter is held against these
attributes alone, so that it cannot be used to feel for others.
"""

from __future__ import annotations

from collections.abc import Sequence

from ldapgw.directory import haystack
from ldapgw.directory.dn import Dn
from ldapgw.directory.entry import Entry, Packed, encoded_texts, octets_of
from ldapgw.directory.naming import NamingContext
from ldapgw.directory.needle import Test
from ldapgw.directory.origin import Fixed
from ldapgw.directory.person import OBJECT_CLASSES
from ldapgw.directory.schema import AttributeType, Family

_SHOWN = ("cn", "sn", "displayName")

Named = Sequence[tuple[AttributeType, Test]]


def caller(entry: Entry, named: Named, context: NamingContext) -> Entry | None:
    """What a stranger may know of a contact that has one of the numbers named by a filter; None if it has none.

    :param named: attributes with the numbers asked for in them.
    """
    numbers = {kind.name: _held(entry, kind, test) for kind, test in named}
    numbers = {name: held for name, held in numbers.items() if held}
    if not numbers:
        return None
    texts = {name: [value.decode() for value in entry.attribute(name)] for name in _SHOWN}
    number = next(value for held in numbers.values() for value in held)
    dn = Dn(((("cn", texts["cn"][0]), ("telephoneNumber", number)), *context.base.rdns))
    of_texts = haystack.of_texts if context.lenient else lambda values: haystack.of_values(Family.TEXT, values)
    pieces = {"objectClass": (b"", haystack.of_values(Family.OID, OBJECT_CLASSES))}
    pieces |= {name: (encoded_texts(values), of_texts(values)) for name, values in texts.items()}
    pieces |= {
        name: (encoded_texts(held), "".join(f"\n{line}" for line in held.values()) + "\n")
        for name, held in numbers.items()
    }
    return Entry(octets_of(str(dn)), Packed.of(pieces), Fixed({}), order=entry.order)


def _held(entry: Entry, kind: AttributeType, test: Test) -> dict[str, str]:
    """The values of an attribute that are the number asked for, with their searchable lines."""
    sought = entry.haystack(kind)
    if sought is None or not test(sought):
        return {}
    values = [value.decode() for value in entry.attribute(kind.name)]
    lines = haystack.lines_of(sought)
    return {value: line for value, line in zip(values, lines, strict=True) if test(f"\n{line}\n")}
